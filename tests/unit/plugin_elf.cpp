#include <elf.h>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "pipeline/error.hpp"
#include "plugins/elf_file.hpp"
#include "plugins/plugin_file.hpp"
#include "tests/unit/plugin_fixture.hpp"

using namespace cifarpipe;
using namespace cifarpipe::testing;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string problem_of(const std::filesystem::path& file) {
  return message_of([&] { read_plugin_file(file); });
}

// Everything that the program ever reads of a plugin file.
void read_everything(const std::filesystem::path& file) {
  const ElfFile elf(file);
  elf.build_id();
  elf.note(".note.cifarpipe", "cifarpipe", 1);
  for (const auto& section : elf.sections()) {
    if (section.type != SHT_NOBITS) elf.read(section, 1 << 20);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(plugin_elf)

BOOST_AUTO_TEST_CASE(reads_what_the_linker_wrote) {
  const ElfFile elf(test_plugin("emit"));
  BOOST_TEST(elf.build_id().size() == 40u);
  BOOST_TEST(elf.find(".text") != nullptr);
  BOOST_TEST(elf.find(".nothing") == nullptr);
  const auto note = elf.note(".note.cifarpipe", "cifarpipe", 1);
  BOOST_REQUIRE(note.has_value());
  BOOST_TEST(note->starts_with("api="));
  BOOST_TEST(!elf.note(".note.cifarpipe", "GNU", 1).has_value());
  BOOST_TEST(!elf.note(".note.cifarpipe", "cifarpipe", 2).has_value());
  BOOST_TEST(!elf.note(".text", "cifarpipe", 1).has_value());
}

BOOST_AUTO_TEST_CASE(says_what_a_file_is_not) {
  const PluginFolder folder;
  const auto text = folder.write("text.stage.so", std::string(1000, 'x'));
  BOOST_TEST(problem_of(text) ==
             text.string() + " is not a shared library: it does not begin as an ELF file");
  BOOST_TEST(contains(problem_of(folder.write("empty.stage.so", "")), "too short"));
  BOOST_TEST(contains(problem_of(folder.path()), "is not a regular file"));
  BOOST_TEST(contains(problem_of(folder.path() / "gone"), "No such file"));
  const auto fifo = folder.path() / "fifo.stage.so";
  BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0644) == 0);
  BOOST_TEST(contains(problem_of(fifo), "is not a regular file"));
  // A program is ELF, too.
  BOOST_TEST(contains(problem_of("/proc/self/exe"), "no stamp"));

  std::string bytes = bytes_of(test_plugin("emit"));
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.e_machine = EM_S390;
  std::memcpy(bytes.data(), &header, sizeof header);
  BOOST_TEST(contains(problem_of(folder.write("s390.stage.so", bytes)), "another kind of machine"));
}

BOOST_AUTO_TEST_CASE(a_file_cut_anywhere_is_refused) {
  const PluginFolder folder;
  const std::string bytes = bytes_of(test_plugin("emit"));
  for (std::size_t size = 0; size < bytes.size(); size += 1 + size / 7) {
    const auto file = folder.write("cut.stage.so", bytes.substr(0, size));
    BOOST_TEST(problem_of(file) != "", "not refused after " << size << " bytes");
  }
}

BOOST_AUTO_TEST_CASE(a_damaged_file_never_does_more_than_throw) {
  // The header, the notes and the table of sections with every byte set to values that hurt most.
  const PluginFolder folder;
  const std::string bytes = bytes_of(test_plugin("emit"));
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < 0x300; ++i) places.push_back(i);
  for (std::size_t i = header.e_shoff; i < bytes.size(); ++i) places.push_back(i);
  std::size_t refused = 0;
  for (const std::size_t place : places) {
    for (const char value : {'\x00', '\x7f', '\xff'}) {
      std::string damaged = bytes;
      damaged[place] = value;
      const auto file = folder.write("damaged.stage.so", damaged);
      try {
        read_everything(file);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  BOOST_TEST(refused > 100u);
}

BOOST_AUTO_TEST_CASE(needs_a_stamp) {
  BOOST_TEST(contains(problem_of(test_plugin("refused/no_stamp")), "it has no stamp"));
  BOOST_TEST(problem_of(test_plugin("refused/no_entry")) == "");
}

BOOST_AUTO_TEST_CASE(permissions) {
  PluginFile file;
  file.path = "/a/b.stage.so";
  file.owner = ::geteuid();
  file.mode = 0755;
  BOOST_TEST(!permission_problem(file).has_value());
  file.mode = 0775;
  BOOST_TEST(contains(permission_problem(file).value(), "written by others (mode 0775)"));
  file.mode = 0757;
  BOOST_TEST(permission_problem(file).has_value());
  file.mode = 0644;
  file.owner = 54321;
  BOOST_TEST(contains(permission_problem(file).value(), "belongs to another user (uid 54321)"));
  file.owner = 0;
  BOOST_TEST(!permission_problem(file).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
