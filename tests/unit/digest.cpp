#include "pipeline/digest.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "pipeline/error.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
namespace fs = std::filesystem;

std::uint32_t crc_of(std::string_view text, std::uint32_t seed = 0) {
  return crc32c(std::as_bytes(std::span(text)), seed);
}

/// The message of the Error that `call` throws; "" if it throws none.
template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(digest)

BOOST_AUTO_TEST_CASE(sha256_has_the_published_values) {
  BOOST_TEST(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  BOOST_TEST(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 parts;
  parts.update("a");
  parts.update("");
  parts.update("bc");
  BOOST_TEST(hex(parts.finish()) == sha256("abc"));
}

BOOST_AUTO_TEST_CASE(crc32c_has_the_published_values) {
  BOOST_TEST(crc_of("") == 0u);
  BOOST_TEST(crc_of("123456789") == 0xe3069283u);
  BOOST_TEST(crc_of(std::string(32, '\0')) == 0x8a9136aau);
  BOOST_TEST(crc_of(std::string(32, '\xff')) == 0x62a8ab43u);
}

BOOST_AUTO_TEST_CASE(crc32c_can_be_chained_at_any_byte) {
  const std::string text = "the quick brown fox jumps over the lazy dog, twice";
  for (std::size_t i = 0; i <= text.size(); ++i) {
    BOOST_TEST(crc_of(text.substr(i), crc_of(text.substr(0, i))) == crc_of(text));
  }
}

BOOST_AUTO_TEST_CASE(files_larger_than_the_buffer) {
  const TempDir dir;
  const std::string text(3 * 256 * 1024 + 17, 'x');
  real_file_ops().write_file(dir / "big", text);
  BOOST_TEST(sha256_file(dir / "big") == sha256(text));
  real_file_ops().write_file(dir / "abc", "abc");
  BOOST_TEST(md5_file(dir / "abc") == "900150983cd24fb0d6963f7d28e17f72");
  BOOST_TEST(contains(message_of([&] { sha256_file(dir / "none"); }), "No such file"));
  BOOST_TEST(contains(message_of([&] { sha256_file(dir.path()); }), "Is a directory"));
}

BOOST_AUTO_TEST_CASE(a_tree_is_listed_in_the_order_of_paths) {
  const TempDir dir;
  fs::create_directories(dir / "a/b");
  fs::create_directories(dir / "empty");
  real_file_ops().write_file(dir / "a/b/c", "1");
  real_file_ops().write_file(dir / "a.txt", "22");
  real_file_ops().write_file(dir / "Z", "");
  const std::vector<FileDigest> files = digest_tree(dir.path());
  BOOST_REQUIRE_EQUAL(files.size(), 3u);
  BOOST_TEST(files[0].path == "Z");
  BOOST_TEST(files[1].path == "a.txt");
  BOOST_TEST(files[1].size == 2u);
  BOOST_TEST(files[2].path == "a/b/c");
  BOOST_TEST(files[2].sha256 == sha256("1"));
  BOOST_TEST(list_tree(dir.path())[2].path == "a/b/c");
  BOOST_TEST(list_tree(dir.path())[2].sha256 == "");
}

BOOST_AUTO_TEST_CASE(what_is_no_file_is_refused_by_name) {
  const TempDir dir;
  fs::create_directories(dir / "port");
  const auto refuse = [&](std::string_view name, std::string_view kind) {
    const std::string message = message_of([&] { digest_tree(dir.path()); });
    BOOST_TEST(contains(message, name), message);
    BOOST_TEST(contains(message, kind), message);
    fs::remove_all(dir / "port");
    fs::create_directories(dir / "port");
  };
  fs::create_symlink("/etc/passwd", dir / "port/link");
  refuse("port/link", "a symbolic link");
  fs::create_directory_symlink("/etc", dir / "port/folder");
  refuse("port/folder", "a symbolic link");
  fs::create_directory_symlink("/etc", dir / "root");
  BOOST_CHECK_THROW(digest_tree(dir / "root"), Error);  // The folder itself may be no link either.
  fs::remove(dir / "root");
  BOOST_REQUIRE(::mkfifo((dir / "port/pipe").c_str(), 0600) == 0);
  refuse("port/pipe", "a pipe");

  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (dir / "port/s").c_str());
  BOOST_REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  refuse("port/s", "a socket");
  ::close(fd);

  real_file_ops().write_file(dir / "port/\xff", "");
  refuse("port/", "not UTF-8");
}

BOOST_AUTO_TEST_CASE(a_set_of_files_has_one_digest_in_any_order) {
  const FileDigest a{"a", 1, sha256("1")};
  const FileDigest b{"b", 1, sha256("2")};
  BOOST_TEST(combined_digest({a, b}) == combined_digest({b, a}));
  BOOST_TEST(combined_digest({a}) != combined_digest({a, b}));
  BOOST_TEST(combined_digest({{"a", 1, b.sha256}, {"b", 1, a.sha256}}) != combined_digest({a, b}));
  BOOST_TEST(combined_digest({}) == sha256(""));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
