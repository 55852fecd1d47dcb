// Archives and folders: what is taken, and that each bad entry is refused in one sentence that
// names it, with nothing written outside.
#include <sys/stat.h>
#include <unistd.h>

#include "stages/download/archive.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::download;
using namespace cifarpipe::test;

namespace {

void nothing(std::int64_t, std::int64_t) {}

/// Unpacks `entries` and gives back the refusal; checks that nothing landed outside of "in/out".
std::string refusal(const std::vector<ArchiveEntry>& entries, const Limits& limits = {},
                    const std::string& format = "tar") {
  const TempDir temp;
  const fs::path file = make_archive(temp.path() / ("bad." + format), entries, format);
  const fs::path out = temp.make("in/out");
  const std::string message =
      message_of([&] { extract_archive(file, "bad", out, limits, nothing); });
  for (const auto& entry : fs::recursive_directory_iterator(temp.path())) {
    const std::string path = entry.path().lexically_relative(temp.path()).generic_string();
    BOOST_CHECK_MESSAGE(path.rfind("in", 0) == 0 || path == "bad." + format,
                        path << " was written outside");
    BOOST_CHECK(path != "in/x");
    BOOST_CHECK(!entry.is_symlink());
  }
  return message;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(archives)

BOOST_AUTO_TEST_CASE(good_archives_come_out_whole) {
  const std::string large(300000, 'x');
  for (const std::string format : {"tar", "tar.gz", "zip"}) {
    const TempDir temp;
    const fs::path file = make_archive(temp.path() / "a",
                                       {{"./", "", AE_IFDIR},
                                        {"./d/", "", AE_IFDIR},
                                        {"./d/a.bin", large},
                                        {"d/empty", ""},
                                        {"e/f/g.txt", "text"}},
                                       format);
    std::int64_t last = 0;
    std::int64_t of = 0;
    extract_archive(file, "a", temp.make("out"), {}, [&](std::int64_t done, std::int64_t total) {
      BOOST_CHECK_GE(done, last);
      last = done;
      of = total;
    });
    const std::map<std::string, std::string> expected = {
        {"d/a.bin", large}, {"d/empty", ""}, {"e/f/g.txt", "text"}};
    BOOST_CHECK(tree(temp.path() / "out") == expected);
    BOOST_CHECK_EQUAL(of, static_cast<std::int64_t>(fs::file_size(file)));
  }
}

BOOST_AUTO_TEST_CASE(names_in_utf8_survive_any_locale) {
  const TempDir temp;
  // pax keeps UTF-8 in a header of its own; written here with the C library's locale, "C".
  const std::string name = "d/\xc3\xa4.txt";
  const fs::path file = make_archive(temp.path() / "a.zip", {{name, "x"}}, "zip");
  extract_archive(file, "a", temp.make("out"), {}, nothing);
  BOOST_CHECK_EQUAL(tree(temp.path() / "out").count(name), 1u);
}

BOOST_AUTO_TEST_CASE(no_entry_leads_out) {
  BOOST_CHECK_EQUAL(refusal({{"a", "1"}, {"../x", "2"}}),
                    "bad is refused: its entry '../x' leads out of the folder");
  check_contains(refusal({{"a/../../x", "2"}}), "'a/../../x' leads out of the folder");
  check_contains(refusal({{"a/..", "2"}}), "leads out of the folder");
  check_contains(refusal({{"/x", "2"}}), "'/x' is an absolute path");
  check_contains(refusal({{"../x", "2"}}, {}, "zip"), "'../x' leads out of the folder");
  check_contains(refusal({{"/tmp/cifarpipe-escape", "2"}}, {}, "zip"), "is an absolute path");
  BOOST_CHECK(!fs::exists("/tmp/cifarpipe-escape"));
}

BOOST_AUTO_TEST_CASE(links_and_devices_are_refused) {
  BOOST_CHECK_EQUAL(refusal({{"l", "", AE_IFLNK, "../x"}}),
                    "bad is refused: its entry 'l' is a symbolic link");
  // Also one that stays inside, and the classic: a link to outside, then a file through it.
  check_contains(refusal({{"a", "1"}, {"l", "", AE_IFLNK, "a"}}), "'l' is a symbolic link");
  check_contains(refusal({{"l", "", AE_IFLNK, ".."}, {"l/x", "1"}}), "'l' is a symbolic link");
  check_contains(refusal({{"a", "1"}, {"h", "", AE_IFREG, "a", true}}), "'h' is a hard link");
  check_contains(refusal({{"h", "", AE_IFREG, "/etc/passwd", true}}), "'h' is a hard link");
  check_contains(refusal({{"c", "", AE_IFCHR}}), "'c' is a character device");
  check_contains(refusal({{"b", "", AE_IFBLK}}), "'b' is a block device");
  check_contains(refusal({{"p", "", AE_IFIFO}}), "'p' is a pipe");
}

BOOST_AUTO_TEST_CASE(limits_hold) {
  Limits limits;
  limits.max_files = 2;
  BOOST_CHECK_EQUAL(refusal({{"a", "1"}, {"b", "2"}, {"c", "3"}}, limits),
                    "bad is refused: its entry 'c' is one more than max_files = 2");
  BOOST_CHECK_EQUAL(refusal({{"a", "1"}, {"b", "2"}}, limits), "");
  limits = {};
  limits.max_bytes = 100000;
  BOOST_CHECK_EQUAL(refusal({{"a", "1"}, {"b", std::string(100000, 'x')}}, limits),
                    "bad is refused: its entry 'b' takes the unpacked size over max_bytes = 100000 "
                    "(100.0 kB)");
  BOOST_CHECK_EQUAL(refusal({{"b", std::string(100000, 'x')}}, limits), "");
  // A bomb: 3 MB of zeros pack to 3 kB. The limit is on what comes out.
  check_contains(refusal({{"b", std::string(3000000, '\0')}}, limits, "tar.gz"), "max_bytes");
  check_contains(refusal({{"b", std::string(3000000, '\0')}}, limits, "zip"), "max_bytes");
}

BOOST_AUTO_TEST_CASE(odd_names) {
  check_contains(refusal({{"a", "1"}, {"a", "2"}}), "'a' occurs twice");
  check_contains(refusal({{"a", "1"}, {"a/b", "2"}}), "'a/b' needs a folder where there is a file");
  check_contains(refusal({{"a/b", "2"}, {"a", "1"}}), "'a' is a file and a folder at once");
  check_contains(refusal({{"a/" + std::string(256, 'n'), "2"}}), "more than 255 bytes");
  std::string deep;
  for (int i = 0; i < 70; ++i) deep += "d/";
  check_contains(refusal({{deep + "f", "2"}}), "more than 64 folders deep");
  BOOST_CHECK_EQUAL(entry_path("./a//b/./c/"), "a/b/c");
  BOOST_CHECK_EQUAL(entry_path("."), "");
  BOOST_CHECK_EQUAL(entry_path("..a/b.."), "..a/b..");
  BOOST_CHECK_EQUAL(message_of([] { entry_path("a\xff"); }), "'a\\xff' is not a UTF-8 name");
  BOOST_CHECK_EQUAL(message_of([] { entry_path("/\x1b[31m"); }),
                    "'/\\x1b[31m' is an absolute path");
}

BOOST_AUTO_TEST_CASE(damage_is_said_with_its_place) {
  const TempDir temp;
  std::string noise;  // Does not compress, so that the cut falls into the second file.
  for (std::uint32_t i = 0, x = 1; i < 200000; ++i)
    noise += static_cast<char>((x = x * 1664525u + 1013904223u) >> 24);
  for (const std::string format : {"tar", "tar.gz", "zip"}) {
    const fs::path file =
        make_archive(temp.path() / "whole", {{"a", "1"}, {"big.bin", noise}}, format);
    const std::string bytes = read(file);
    write(temp.path() / "cut", bytes.substr(0, bytes.size() / 2));
    const fs::path out = temp.make("out-" + format);
    const std::string message =
        message_of([&] { extract_archive(temp.path() / "cut", "cut", out, {}, nothing); });
    check_contains(message, "cut is damaged in 'big.bin': ");
  }
  // Cut off within the first block that unpacks, so that no entry is seen.
  const fs::path whole = make_archive(temp.path() / "whole", {{"big.bin", noise}}, "tar.gz");
  write(temp.path() / "early", read(whole).substr(0, 3000));
  BOOST_CHECK_EQUAL(message_of([&] {
                      extract_archive(temp.path() / "early", "early", temp.make("early-out"), {},
                                      nothing);
                    }),
                    "early is damaged or cut off (truncated gzip input): fetch it again, or pack "
                    "it anew");
  write(temp.path() / "text", "<html>Not found</html>\n" + std::string(2000, ' '));
  write(temp.path() / "empty", "");
  for (const std::string name : {"text", "empty"}) {
    check_contains(message_of([&] {
                     extract_archive(temp.path() / name, name, temp.make("out"), {}, nothing);
                   }),
                   name + " is not a tar or zip archive");
  }
  const fs::path hollow = make_archive(temp.path() / "hollow", {{"d/", "", AE_IFDIR}});
  BOOST_CHECK_EQUAL(
      message_of([&] { extract_archive(hollow, "hollow", temp.make("out2"), {}, nothing); }),
      "hollow holds no files");
}

BOOST_AUTO_TEST_CASE(folders) {
  const TempDir temp;
  write(temp.path() / "in/a/b.bin", std::string(3000000, 'b'));
  write(temp.path() / "in/c", "");
  std::int64_t last = 0;
  copy_folder(temp.path() / "in", temp.make("out"), {}, [&](std::int64_t done, std::int64_t total) {
    last = done;
    BOOST_CHECK_EQUAL(total, 3000000);
  });
  BOOST_CHECK_EQUAL(last, 3000000);
  BOOST_CHECK(tree(temp.path() / "in") == tree(temp.path() / "out"));

  const auto problem = [&](const Limits& limits) {
    fs::remove_all(temp.path() / "out");
    const std::string message =
        message_of([&] { copy_folder(temp.path() / "in", temp.make("out"), limits, nothing); });
    BOOST_CHECK(fs::is_empty(temp.path() / "out"));  // Found before anything is written.
    return message;
  };
  Limits small;
  small.max_bytes = 2999999;
  check_contains(problem(small), "'a/b.bin' takes the size over max_bytes = 2999999");
  Limits few;
  few.max_files = 2;
  check_contains(problem(few), "is one more than max_files = 2");
  fs::create_symlink("/etc/passwd", temp.path() / "in/link");
  check_contains(problem({}), "'link' is a symbolic link");
  fs::remove(temp.path() / "in/link");
  BOOST_REQUIRE_EQUAL(::mkfifo((temp.path() / "in/pipe").c_str(), 0600), 0);
  check_contains(problem({}), "'pipe' is neither a file nor a folder");
  check_contains(
      message_of([&] { copy_folder(temp.make("nothing"), temp.path() / "out", {}, nothing); }),
      "holds no files");
}

BOOST_AUTO_TEST_CASE(stops_when_asked) {
  const TempDir temp;
  const fs::path file = make_archive(temp.path() / "a", {{"big", std::string(3000000, 'x')}});
  int calls = 0;
  BOOST_CHECK_THROW(extract_archive(file, "a", temp.make("out"), {},
                                    [&](std::int64_t, std::int64_t) {
                                      if (++calls == 3) throw Interrupted();
                                    }),
                    Interrupted);
  BOOST_CHECK_EQUAL(calls, 3);
}

BOOST_AUTO_TEST_SUITE_END()
