#include <stdio.h>
#include <sys/wait.h>

#include <boost/test/unit_test.hpp>

#include "plugins/elf_file.hpp"
#include "plugins/schema_section.hpp"
#include "tests/unit/plugin_fixture.hpp"

using namespace cifarpipe;
using namespace cifarpipe::testing;

namespace {

struct Answer {
  int status = 0;  // As from waitpid.
  std::string out;
  std::string err;
};

Answer describe(const std::string& plugin, const std::string& wish = "") {
  const PluginFolder folder;
  const auto err = folder.path() / "err";
  const std::string command = "CIFARPIPE_TEST_FICKLE=" + wish + " '" + CIFARPIPE_WORKER +
                              "' --describe '" + test_plugin(plugin).string() + "' 2>'" +
                              err.string() + "'";
  Answer answer;
  FILE* pipe = ::popen(command.c_str(), "r");
  BOOST_REQUIRE(pipe != nullptr);
  char buffer[4096];
  for (std::size_t n; (n = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    answer.out.append(buffer, n);
  }
  answer.status = ::pclose(pipe);
  answer.err = bytes_of(err);
  return answer;
}

int exit_code(const Answer& answer) {
  return WIFEXITED(answer.status) ? WEXITSTATUS(answer.status) : -1;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(plugin_describe)

BOOST_AUTO_TEST_CASE(says_what_the_file_holds) {
  const Answer answer = describe("slow");
  BOOST_TEST(exit_code(answer) == 0);
  BOOST_TEST(answer.err == "");
  const PluginDescription plugin = parse_schema_section(answer.out);
  BOOST_TEST(plugin.name == "slow");
  BOOST_TEST(plugin.build_id == ElfFile(test_plugin("slow")).build_id());
  BOOST_REQUIRE(plugin.stages.size() == 2u);
  BOOST_TEST(plugin.stages[0].params.fields[1].unit == "ms");
}

BOOST_AUTO_TEST_CASE(a_plugin_with_libtorch) {
  const Answer answer = describe("torch/with_torch");
  BOOST_TEST(exit_code(answer) == 0);
  BOOST_TEST(parse_schema_section(answer.out).stages[0].numerics.threads);
}

BOOST_AUTO_TEST_CASE(what_a_plugin_prints_is_not_in_the_answer) {
  const Answer answer = describe("fickle", "print");
  BOOST_TEST(exit_code(answer) == 0);
  BOOST_TEST(answer.out.starts_with("{\"format\":"));
  BOOST_TEST(answer.err == "printed while loading\n");
}

BOOST_AUTO_TEST_CASE(a_plugin_that_fails_gives_no_answer) {
  Answer answer = describe("fickle", "throw");
  BOOST_TEST(exit_code(answer) == 3);
  BOOST_TEST(answer.out == "");
  BOOST_TEST(answer.err == "error: " + test_plugin("fickle").string() +
                               " failed to register its stages: the licence has expired\n");
  // However it ends the process: no answer, which cifarpipe_add_stage takes for a failure.
  for (const char* wish : {"exit", "exit_in_load", "segfault_in_load"}) {
    answer = describe("fickle", wish);
    BOOST_TEST(answer.out == "", "with " << wish);
  }
}

BOOST_AUTO_TEST_CASE(a_refused_file) {
  const Answer answer = describe("refused/wrong_stamp");
  BOOST_TEST(exit_code(answer) == 3);
  BOOST_TEST(answer.err.starts_with("error: "));
}

BOOST_AUTO_TEST_SUITE_END()
