// The stage as a whole: every kind of source, pins, what it records and what it leaves behind.
#include "stages/download/download_stage.hpp"

#include "tests/data/http_server.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::download;
using namespace cifarpipe::test;

namespace {

constexpr const char* kWrongMd5 = "0123456789abcdef0123456789abcdef";

const std::map<std::string, std::string> kFiles = {{"d/a.bin", std::string(5000, 'a')},
                                                   {"d/b.txt", "text"}};

fs::path archive_in(const fs::path& dir) {
  std::vector<ArchiveEntry> entries;
  for (const auto& [name, content] : kFiles) entries.push_back({name, content});
  return make_archive(dir / "data.tar.gz", entries, "tar.gz");
}

DownloadParams params(const std::string& source) {
  DownloadParams p;
  p.source = source;
  p.retries = 0;
  return p;
}

std::string failure(FakeContext& context, const DownloadParams& p) {
  return message_of([&] { DownloadStage(p).run(context); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(download_stage)

BOOST_AUTO_TEST_CASE(description) {
  const StageDescription d = DownloadStage::describe();
  BOOST_CHECK_EQUAL(d.name, "download");
  BOOST_CHECK(d.inputs.empty());
  BOOST_CHECK_EQUAL(d.outputs.at(0).type, "files/raw");
  const ParamSchema schema = DownloadParams::schema().info();
  BOOST_CHECK(schema.find("source")->input_path);
  BOOST_CHECK(schema.find("retries")->no_effect);
  BOOST_CHECK(!schema.find("train_images")->no_effect);
}

BOOST_AUTO_TEST_CASE(sources) {
  using Kind = Source::Kind;
  BOOST_CHECK(parse_source("synthetic").kind == Kind::synthetic);
  BOOST_CHECK(parse_source("./synthetic").kind == Kind::local);
  BOOST_CHECK_EQUAL(parse_source("cifar10").url,
                    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz");
  BOOST_CHECK(parse_source("HTTPS://h/x").kind == Kind::http);
  BOOST_CHECK_EQUAL(parse_source("file:///a%20b/c%2").path, fs::path("/a b/c%2"));
  BOOST_CHECK_EQUAL(parse_source("file://localhost/a").path, fs::path("/a"));
  check_contains(message_of([] { parse_source("file://host/a"); }), "of another machine");
  check_contains(message_of([] { parse_source("ftp://me:pw@h/x"); }),
                 "source = \"ftp://h/x\" cannot be read: only http://, https:// and file://");
}

BOOST_AUTO_TEST_CASE(archive_and_folder_of_this_machine) {
  const TempDir temp;
  const fs::path archive = archive_in(temp.path());
  for (const std::string& source : {archive.string(), "file://" + archive.string()}) {
    const TempDir work;
    FakeContext context(work.path());
    DownloadStage(params(source)).run(context);
    BOOST_CHECK(tree(context.output("files")) == kFiles);
    BOOST_CHECK(fs::is_empty(context.resume_dir()));
  }
  FakeContext context(temp.make("work"));
  for (const auto& [name, content] : kFiles) write(temp.path() / "folder" / name, content);
  DownloadStage(params((temp.path() / "folder").string())).run(context);
  BOOST_CHECK(tree(context.output("files")) == kFiles);

  BOOST_CHECK_EQUAL(failure(context, params("/no/such")), "source = \"/no/such\" does not exist");
  BOOST_CHECK_EQUAL(failure(context, params("/dev/null")),
                    "source = \"/dev/null\" is neither a file nor a folder");
  DownloadParams pinned = params((temp.path() / "folder").string());
  pinned.md5 = kWrongMd5;
  check_contains(failure(context, pinned), "sha256 and md5 are of an archive; ");
}

BOOST_AUTO_TEST_CASE(from_a_server) {
  const TempDir temp;
  const std::string content = read(archive_in(temp.path()));
  HttpServer server([&](const HttpQuery& q) { return serve_file(q, content, "\"e1\""); });
  FakeContext context(temp.make("work"));
  DownloadStage(params(server.url("/data.tar.gz"))).run(context);
  BOOST_CHECK(tree(context.output("files")) == kFiles);
  BOOST_CHECK_EQUAL(context.records["etag"], "\"e1\"");
  BOOST_CHECK_EQUAL(context.records["url"], server.url("/data.tar.gz"));
  BOOST_CHECK_EQUAL(context.records["archive_sha256"].size(), 64u);
  BOOST_CHECK(fs::is_empty(context.resume_dir()));
}

BOOST_AUTO_TEST_CASE(pins) {
  const TempDir temp;
  const fs::path archive = archive_in(temp.path());
  const std::string content = read(archive);
  HttpServer server([&](const HttpQuery& q) { return serve_file(q, content, "\"e1\""); });
  const Pins real = digests_of(archive, [] {});
  FakeContext context(temp.make("work"));
  DownloadParams p = params(server.url("/d"));
  p.md5 = kWrongMd5;
  BOOST_CHECK_EQUAL(failure(context, p),
                    server.url("/d") + " has the MD5 " + real.md5 + " but " + kWrongMd5 +
                        " is expected: it is damaged or not the file that was meant");
  BOOST_CHECK(fs::is_empty(context.resume_dir()));     // Wrong bytes are not gone on with.
  BOOST_CHECK(fs::is_empty(context.output("files")));  // And nothing was unpacked.
  p = params(archive.string());
  p.sha256 = std::string(64, 'a');
  check_contains(failure(context, p), " has the SHA-256 " + real.sha256 + " but aaaaaa");

  p.sha256 = real.sha256;
  p.md5 = real.md5;
  for (char& c : p.md5) c = static_cast<char>(std::toupper(c));
  BOOST_CHECK_EQUAL(failure(context, p), "");
  p.sha256 = "abc";
  BOOST_CHECK_EQUAL(failure(context, p),
                    "'sha256' = \"abc\" is not a digest: 64 hex digits are expected");
}

BOOST_AUTO_TEST_CASE(a_damaged_archive_is_fetched_anew) {
  const TempDir temp;
  const std::string content = read(archive_in(temp.path()));
  for (const std::string& bad : {content.substr(0, content.size() / 2), std::string("<html>")}) {
    HttpServer server([&](const HttpQuery& q) {
      return serve_file(q, q.number == 1 ? bad : content, "\"e" + std::to_string(q.number) + "\"");
    });
    const TempDir work;
    FakeContext context(work.path());
    const DownloadParams p = params(server.url("/d"));
    check_contains(failure(context, p), server.url("/d") + " is ");
    BOOST_CHECK(fs::is_empty(context.resume_dir()));
    fs::remove_all(context.output("files"));
    BOOST_CHECK_EQUAL(failure(context, p), "");
    BOOST_CHECK(tree(context.output("files")) == kFiles);
  }
}

BOOST_AUTO_TEST_CASE(known_digests) {
  const TempDir temp;
  write(temp.path() / "abc", "abc");
  const Pins pins = digests_of(temp.path() / "abc", [] {});
  BOOST_CHECK_EQUAL(pins.md5, "900150983cd24fb0d6963f7d28e17f72");
  BOOST_CHECK_EQUAL(pins.sha256,
                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

BOOST_AUTO_TEST_CASE(interrupted_and_gone_on) {
  const TempDir temp;
  const std::string content = read(archive_in(temp.path()));
  FakeContext context(temp.make("work"));
  HttpServer server([&](const HttpQuery& q) {
    HttpAnswer answer = serve_file(q, content, "\"e1\"");
    if (q.number == 1) {
      answer.drop_after = 50;
      answer.hang_ms = 10000;
    }
    return answer;
  });
  context.on_progress = [&](const Progress&) { context.stopper.request_stop(); };
  BOOST_CHECK_THROW(DownloadStage(params(server.url("/d"))).run(context), Interrupted);
  BOOST_CHECK_EQUAL(fs::file_size(context.resume_dir() / "archive.part"), 50u);
  context.stopper = std::stop_source();
  context.on_progress = nullptr;
  DownloadStage(params(server.url("/d"))).run(context);
  BOOST_CHECK_EQUAL(server.requests[1].headers["range"], "bytes=50-");
  BOOST_CHECK(tree(context.output("files")) == kFiles);
  check_contains(context.logs.back().second, "of which 50 bytes were here already");
}

BOOST_AUTO_TEST_SUITE_END()
