// The downloader against a server in this process that behaves well, badly and wickedly.
#include "stages/download/http.hpp"

#include <chrono>

#include "tests/data/http_server.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::download;
using namespace cifarpipe::test;

namespace {

using Clock = std::chrono::steady_clock;

std::string random_text(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t x = 12345;
  for (char& c : text) c = static_cast<char>((x = x * 1664525u + 1013904223u) >> 24);
  return text;
}

const std::string kContent = random_text(300000);
const std::string kEtag = "\"v1\"";

/// A download into a temporary folder, with short waits.
struct Download {
  TempDir temp;
  HttpRequest request;
  std::vector<std::string> warnings;
  std::stop_source stopper;

  explicit Download(const std::string& url) {
    request.url = url;
    request.file = temp.path() / "part";
    request.first_wait_ms = 1;
    request.timeout_s = 5;
  }
  HttpResult run() {
    HttpEvents events;
    events.warn = [&](std::string_view line) { warnings.emplace_back(line); };
    return fetch(request, events, stopper.get_token());
  }
  std::string failure() {
    return message_of([&] { run(); });
  }
  std::string content() const { return read(request.file); }
};

std::string header(const HttpQuery& query, const std::string& name) {
  const auto found = query.headers.find(name);
  return found == query.headers.end() ? "" : found->second;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(http)

BOOST_AUTO_TEST_CASE(a_whole_file) {
  HttpServer server([](const HttpQuery& q) { return serve_file(q, kContent, kEtag); });
  Download d(server.url("/a.tar.gz?token=secret"));
  const HttpResult result = d.run();
  BOOST_CHECK(d.content() == kContent);
  BOOST_CHECK_EQUAL(result.etag, kEtag);
  BOOST_CHECK_EQUAL(result.bytes, 300000);
  BOOST_CHECK_EQUAL(result.resumed_at, 0);
  BOOST_CHECK_EQUAL(header(server.requests[0], "range"), "");
  BOOST_CHECK_EQUAL(server.requests[0].path, "/a.tar.gz?token=secret");
  // Whole already: not asked for again.
  d.run();
  BOOST_CHECK_EQUAL(server.requests.size(), 1u);
  BOOST_CHECK(read(d.temp.path() / "part.state").find("secret") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(goes_on_after_a_break) {
  HttpServer server([](const HttpQuery& q) {
    HttpAnswer answer = serve_file(q, kContent, kEtag);
    if (q.number == 1) answer.drop_after = 100000;
    if (q.number == 2) answer.drop_after = 50000;
    return answer;
  });
  Download d(server.url("/a"));
  d.run();
  BOOST_CHECK(d.content() == kContent);
  BOOST_REQUIRE_EQUAL(server.requests.size(), 3u);
  BOOST_CHECK_EQUAL(header(server.requests[1], "range"), "bytes=100000-");
  BOOST_CHECK_EQUAL(header(server.requests[1], "if-range"), kEtag);
  BOOST_CHECK_EQUAL(header(server.requests[2], "range"), "bytes=150000-");
  BOOST_REQUIRE_EQUAL(d.warnings.size(), 2u);
  check_contains(d.warnings[0], "/a could not be read (");
  check_contains(d.warnings[0], "; try 2 of 6 in 0.0 s");
}

BOOST_AUTO_TEST_CASE(goes_on_in_a_later_process) {
  HttpServer server([](const HttpQuery& q) {
    HttpAnswer answer = serve_file(q, kContent, kEtag);
    if (q.number == 1) answer.drop_after = 100000;
    return answer;
  });
  Download d(server.url("/a"));
  d.request.retries = 0;
  check_contains(d.failure(), "; gave up after 1 try");
  BOOST_CHECK_EQUAL(fs::file_size(d.request.file), 100000u);
  const HttpResult result = d.run();
  BOOST_CHECK(d.content() == kContent);
  BOOST_CHECK_EQUAL(result.resumed_at, 100000);
  // The part of another URL is none of this one.
  write(d.request.file, "something");
  d.request.url = server.url("/b");
  d.run();
  BOOST_CHECK(d.content() == kContent);
  BOOST_CHECK_EQUAL(header(server.requests.back(), "range"), "");
}

BOOST_AUTO_TEST_CASE(a_server_that_ignores_ranges) {
  HttpServer server([](const HttpQuery& q) {
    HttpAnswer answer;
    answer.headers.push_back("ETag: " + kEtag);
    answer.body = kContent;
    if (q.number == 1) answer.drop_after = 100000;
    return answer;
  });
  Download d(server.url("/a"));
  d.run();
  BOOST_CHECK_EQUAL(header(server.requests[1], "range"), "bytes=100000-");
  BOOST_CHECK(d.content() == kContent);  // From the start again, not appended.
}

BOOST_AUTO_TEST_CASE(a_file_that_changed_meanwhile) {
  const std::string other = random_text(200000) + "!";
  HttpServer server([&](const HttpQuery& q) {
    if (q.number > 1) return serve_file(q, other, "\"v2\"");
    HttpAnswer answer = serve_file(q, kContent, kEtag);
    answer.drop_after = 100000;
    return answer;
  });
  Download d(server.url("/a"));
  BOOST_CHECK_EQUAL(d.run().etag, "\"v2\"");
  BOOST_CHECK(d.content() == other);
}

BOOST_AUTO_TEST_CASE(a_server_that_lies_about_ranges) {
  // 206 with another start, with another size, with another version: each is given up and fetched
  // whole instead.
  const std::vector<std::vector<std::string>> lies = {
      {"Content-Range: bytes 0-299999/300000", "ETag: " + kEtag},
      {"Content-Range: bytes 100000-399999/400000", "ETag: " + kEtag},
      {"Content-Range: bytes 100000-299999/300000", "ETag: \"v2\""},
      {"ETag: " + kEtag}};
  for (const auto& headers : lies) {
    HttpServer server([&](const HttpQuery& q) {
      HttpAnswer answer = serve_file(q, kContent, kEtag);
      if (q.number == 1) answer.drop_after = 100000;
      if (q.number == 2) {
        answer.headers = headers;
        answer.body = std::string(200000, 'L');
      }
      return answer;
    });
    Download d(server.url("/a"));
    d.run();
    BOOST_CHECK(d.content() == kContent);
    BOOST_CHECK_EQUAL(header(server.requests[2], "range"), "");
    check_contains(d.warnings.at(1), "answered with another part than the one asked for");
  }
}

BOOST_AUTO_TEST_CASE(a_part_that_is_longer_than_the_file) {
  HttpServer server([&](const HttpQuery& q) {
    if (q.number > 1) return serve_file(q, kContent.substr(0, 50000), kEtag);
    HttpAnswer answer = serve_file(q, kContent, kEtag);
    answer.drop_after = 100000;
    return answer;
  });
  Download d(server.url("/a"));
  d.run();
  check_contains(d.warnings.at(1), "has changed since the download began");
  BOOST_CHECK(d.content() == kContent.substr(0, 50000));
}

BOOST_AUTO_TEST_CASE(without_a_version_to_compare) {
  const auto answer = [](const HttpQuery& q) {
    HttpAnswer a = serve_file(q, kContent, "W/\"weak\"");
    if (q.number == 1) a.drop_after = 100000;
    return a;
  };
  {
    HttpServer server(answer);
    Download d(server.url("/a"));
    d.run();
    BOOST_CHECK(d.content() == kContent);
    BOOST_CHECK_EQUAL(header(server.requests[1], "range"), "");  // A weak ETag promises nothing.
  }
  {
    HttpServer server(answer);
    Download d(server.url("/a"));
    d.request.pinned = true;  // A digest will tell.
    d.run();
    BOOST_CHECK(d.content() == kContent);
    BOOST_CHECK_EQUAL(header(server.requests[1], "range"), "bytes=100000-");
    BOOST_CHECK_EQUAL(header(server.requests[1], "if-range"), "");
  }
}

BOOST_AUTO_TEST_CASE(servers_that_are_busy) {
  for (const std::string status : {"500 Oops", "503 Busy", "429 Too Many Requests", "408 Slow"}) {
    HttpServer server([&](const HttpQuery& q) {
      if (q.number > 2) return serve_file(q, kContent, kEtag);
      HttpAnswer answer;
      answer.status = status;
      answer.body = "<html>come back</html>";
      return answer;
    });
    Download d(server.url("/a"));
    d.run();
    BOOST_CHECK(d.content() == kContent);
    BOOST_CHECK_EQUAL(d.warnings.size(), 2u);
    check_contains(d.warnings[0], "/a answered " + status + "; try 2 of 6");
  }
}

BOOST_AUTO_TEST_CASE(answers_that_no_other_try_heals) {
  for (const std::string status : {"404 Not Found", "403 Forbidden", "401 Unauthorized"}) {
    HttpServer server([&](const HttpQuery&) {
      HttpAnswer answer;
      answer.status = status;
      answer.body = "<html>no</html>";
      return answer;
    });
    Download d(server.url("/a?key=secret"));
    BOOST_CHECK_EQUAL(d.failure(), server.url("/a?…") + " answered " + status);
    BOOST_CHECK_EQUAL(server.requests.size(), 1u);
    BOOST_CHECK_EQUAL(d.content(), "");
  }
}

BOOST_AUTO_TEST_CASE(retry_after) {
  HttpServer server([](const HttpQuery& q) {
    if (q.number > 1) return serve_file(q, kContent, kEtag);
    HttpAnswer answer;
    answer.status = "503 Busy";
    answer.headers.push_back("Retry-After: 1");
    return answer;
  });
  Download d(server.url("/a"));
  const auto start = Clock::now();
  d.run();
  BOOST_CHECK(Clock::now() - start >= std::chrono::milliseconds(1000));
  check_contains(d.warnings.at(0), "in 1.0 s");

  HttpServer far([](const HttpQuery&) {
    HttpAnswer answer;
    answer.status = "503 Busy";
    answer.headers.push_back("Retry-After: 3600");
    return answer;
  });
  Download e(far.url("/a"));
  BOOST_CHECK_EQUAL(e.failure(),
                    far.url("/a") + " answered 503 Busy, and asks to come back only in 3600 s");
}

BOOST_AUTO_TEST_CASE(tries_end) {
  HttpServer server([](const HttpQuery&) {
    HttpAnswer answer;
    answer.status = "503 Busy";
    return answer;
  });
  Download d(server.url("/a"));
  d.request.retries = 2;
  BOOST_CHECK_EQUAL(d.failure(), server.url("/a") + " answered 503 Busy; gave up after 3 tries");
  BOOST_CHECK_EQUAL(server.requests.size(), 3u);
}

BOOST_AUTO_TEST_CASE(redirects) {
  std::string target = "/real";
  HttpServer server([&](const HttpQuery& q) {
    if (q.path == "/real") return serve_file(q, kContent, kEtag);
    HttpAnswer answer;
    answer.status = "302 Found";
    answer.headers = {"Location: " + target};
    answer.body = "moved";
    return answer;
  });
  Download d(server.url("/a"));
  BOOST_CHECK_EQUAL(d.run().final_url, server.url("/real"));
  BOOST_CHECK(d.content() == kContent);

  for (const std::string bad : {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"}) {
    target = bad;
    Download e(server.url("/a"));
    BOOST_CHECK_EQUAL(e.failure(), server.url("/a") + " redirects to " + bad +
                                       ": only http and https are followed");
    BOOST_CHECK_EQUAL(e.content(), "");
  }
  target = "/loop";
  Download f(server.url("/a"));
  BOOST_CHECK_EQUAL(f.failure(), server.url("/a") + " redirects more than 10 times");
}

BOOST_AUTO_TEST_CASE(too_large) {
  // Said at once, or found on the way.
  for (const bool no_length : {false, true}) {
    HttpServer server([&](const HttpQuery& q) {
      HttpAnswer answer = serve_file(q, kContent, kEtag);
      answer.no_length = no_length;
      return answer;
    });
    Download d(server.url("/a"));
    d.request.max_bytes = 299999;
    BOOST_CHECK_EQUAL(d.failure(),
                      server.url("/a") + " is larger than max_bytes = 299999 (300.0 kB)");
    BOOST_CHECK_EQUAL(d.content(), "");
    d.request.max_bytes = 300000;
    d.run();
    BOOST_CHECK(d.content() == kContent);
  }
}

BOOST_AUTO_TEST_CASE(a_silent_server) {
  HttpServer server([](const HttpQuery& q) {
    HttpAnswer answer = serve_file(q, kContent, kEtag);
    if (q.number == 1) {
      answer.drop_after = 1000;
      answer.hang_ms = 10000;
    }
    return answer;
  });
  Download d(server.url("/a"));
  d.request.timeout_s = 1;
  const auto start = Clock::now();
  d.run();
  BOOST_CHECK(d.content() == kContent);
  BOOST_CHECK(Clock::now() - start < std::chrono::seconds(4));
  check_contains(d.warnings.at(0), "/a sent nothing for 1 s; try 2 of 6");
}

BOOST_AUTO_TEST_CASE(stops_at_once) {
  HttpServer server([](const HttpQuery& q) {
    HttpAnswer answer = serve_file(q, kContent, kEtag);
    answer.drop_after = 100000;
    answer.hang_ms = 20000;
    return answer;
  });
  Download d(server.url("/a"));
  std::thread person([&] {
    std::error_code none_yet;
    while (fs::file_size(d.request.file, none_yet) != 100000u) std::this_thread::yield();
    d.stopper.request_stop();
  });
  const auto start = Clock::now();
  BOOST_CHECK_THROW(d.run(), Interrupted);
  BOOST_CHECK(Clock::now() - start < std::chrono::seconds(2));
  person.join();
  BOOST_CHECK_EQUAL(fs::file_size(d.request.file), 100000u);  // Kept for the next time.
}

BOOST_AUTO_TEST_CASE(stops_while_it_waits) {
  Download d("http://127.0.0.1:1/a");  // Nobody listens there.
  d.request.first_wait_ms = 60000;
  std::thread person([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    d.stopper.request_stop();
  });
  const auto start = Clock::now();
  BOOST_CHECK_THROW(d.run(), Interrupted);
  BOOST_CHECK(Clock::now() - start < std::chrono::seconds(5));
  person.join();
  BOOST_CHECK_EQUAL(d.warnings.size(), 1u);
}

BOOST_AUTO_TEST_CASE(empty_file) {
  HttpServer server([](const HttpQuery& q) { return serve_file(q, "", kEtag); });
  Download d(server.url("/a"));
  BOOST_CHECK_EQUAL(d.run().bytes, 0);
}

BOOST_AUTO_TEST_CASE(urls_in_messages) {
  BOOST_CHECK_EQUAL(shown_url("https://user:pw@host/a/b?X-Signature=1#f"), "https://host/a/b?…");
  BOOST_CHECK_EQUAL(shown_url("https://host/a@b"), "https://host/a@b");
  BOOST_CHECK_EQUAL(shown_url("https://user@host"), "https://host");
  BOOST_CHECK_EQUAL(shown_url("http://h/\x1b[2J"), "http://h/\\x1b[2J");
}

BOOST_AUTO_TEST_SUITE_END()
