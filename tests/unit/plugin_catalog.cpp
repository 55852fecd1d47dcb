#include <boost/test/unit_test.hpp>
#include <fstream>

#include "plugins/abi.hpp"
#include "plugins/catalog.hpp"
#include "plugins/elf_file.hpp"
#include "tests/unit/plugin_fixture.hpp"

using namespace cifarpipe;
using namespace cifarpipe::testing;
namespace fs = std::filesystem;

namespace {

fs::path own() {
  return CIFARPIPE_TEST_PLUGINS;
}

std::string why(const PluginCatalog& catalog, std::string_view uses) {
  return catalog.problem_for(uses).value_or("");
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(plugin_catalog)

BOOST_AUTO_TEST_CASE(knows_stages_without_loading_them) {
  const PluginCatalog catalog({own()});
  for (const auto& problem : catalog.problems()) BOOST_ERROR(problem.message);
  const StageType* emit = catalog.find("emit");
  BOOST_REQUIRE(emit != nullptr);
  BOOST_TEST(emit->plugin_name == "emit");
  BOOST_TEST(emit->plugin_version == "1.0.0");
  BOOST_TEST(emit->plugin_path == test_plugin("emit").string());
  BOOST_TEST(emit->build_id == ElfFile(test_plugin("emit")).build_id());
  BOOST_TEST(emit->torch_version == "");
  BOOST_TEST(emit->cuda == false);
  BOOST_REQUIRE(emit->description.params.fields.size() == 3u);
  BOOST_TEST(std::get<std::string>(emit->description.params.fields[0].default_value) == "hello");
  BOOST_TEST(emit->description.params.fields[2].no_effect);
  BOOST_TEST(catalog.find("slow")->description.uses_seed);
  BOOST_TEST(catalog.find("fail")->plugin_name == "slow");
  BOOST_TEST(catalog.find("emi") == nullptr);
  BOOST_TEST(!catalog.problem_for("emit").has_value());
  const auto names = catalog.names();
  BOOST_TEST(std::is_sorted(names.begin(), names.end()));
  std::ifstream maps("/proc/self/maps");
  const std::string text{std::istreambuf_iterator<char>(maps), {}};
  BOOST_TEST(!contains(text, "misbehave"));
}

BOOST_AUTO_TEST_CASE(knows_who_links_libtorch) {
  const PluginCatalog catalog({own() / "torch"});
  const StageType* stage = catalog.find("with_torch");
  BOOST_REQUIRE(stage != nullptr);
  BOOST_TEST(stage->torch_version == host_stamp().torch);
  BOOST_TEST(stage->cuda == !host_stamp().torch_cuda.empty());
}

BOOST_AUTO_TEST_CASE(two_builds_of_a_stage_are_a_problem_of_that_stage_only) {
  const PluginCatalog catalog({own(), own() / "again"});
  BOOST_TEST(catalog.find("emit") == nullptr);
  BOOST_TEST(why(catalog, "emit") ==
             "stage 'emit' is offered by both " + test_plugin("emit").string() + " and " +
                 test_plugin("again/emit_again").string() +
                 "; remove one of the two or its folder from the search path");
  BOOST_TEST(catalog.find("slow") != nullptr);
}

BOOST_AUTO_TEST_CASE(the_same_build_twice_is_no_problem) {
  const PluginFolder folder;
  folder.write("copy.stage.so", bytes_of(test_plugin("emit")));
  fs::create_symlink(test_plugin("slow"), folder.path() / "link.stage.so");
  const PluginCatalog catalog({own(), folder.path(), own()});
  BOOST_TEST(catalog.problems().empty());
  BOOST_REQUIRE(catalog.find("emit") != nullptr);
  BOOST_TEST(catalog.find("emit")->plugin_path == test_plugin("emit").string());
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_used) {
  const PluginCatalog catalog({own() / "refused"});
  BOOST_TEST(catalog.names().empty());
  BOOST_TEST(catalog.problems().size() == 5u);
  BOOST_TEST(contains(why(catalog, "wrong_stamp"), "it was built by gcc 4"));
  BOOST_TEST(contains(why(catalog, "wrong_stamp"), "built with libtorch 1.4.0"));
  BOOST_TEST(contains(why(catalog, "wrong_api"), "SDK API 999"));
  BOOST_TEST(contains(why(catalog, "no_stamp"), "has no stamp"));
  BOOST_TEST(why(catalog, "no_entry") == test_plugin("refused/no_entry").string() +
                                             " does not describe its stages; rebuild it with "
                                             "cifarpipe_add_stage");
}

BOOST_AUTO_TEST_CASE(the_description_must_be_of_this_build) {
  const PluginFolder folder;
  std::string bytes = bytes_of(test_plugin("emit"));
  const std::string id = ElfFile(test_plugin("emit")).build_id();
  const std::size_t at = bytes.find("\"" + id + "\"");
  BOOST_REQUIRE(at != std::string::npos);
  bytes[at + 1] = bytes[at + 1] == '0' ? '1' : '0';
  folder.write("e.stage.so", bytes);
  // Any other damage to the section.
  bytes = bytes_of(test_plugin("slow"));
  bytes[bytes.find("{\"format\":1")] = '!';
  folder.write("slow.stage.so", bytes);
  const PluginCatalog catalog({folder.path()});
  // Its stages' names are known from the section, so 'emit' leads to the file though it is 'e'.
  BOOST_TEST(contains(why(catalog, "emit"), "holds the description of another build"));
  BOOST_TEST(contains(why(catalog, "slow"), "its description cannot be read"));
  BOOST_TEST(why(catalog, "slow").starts_with((folder.path() / "slow.stage.so").string()));
}

BOOST_AUTO_TEST_CASE(writable_by_others) {
  const PluginFolder folder;
  const auto file = folder.write("emit.stage.so", bytes_of(test_plugin("emit")));
  fs::permissions(file, fs::perms(0666));
  const PluginCatalog catalog({folder.path()});
  BOOST_TEST(contains(why(catalog, "join"), "can be written by others"));
}

BOOST_AUTO_TEST_CASE(only_files_with_the_suffix) {
  const PluginFolder folder;
  folder.write("emit.so", bytes_of(test_plugin("emit")));
  folder.write("emit.stage.so.bak", "x");
  const PluginCatalog catalog({folder.path()});
  BOOST_TEST(catalog.names().empty());
  BOOST_TEST(catalog.problems().empty());
}

BOOST_AUTO_TEST_CASE(missing_folders) {
  const PluginCatalog catalog({"/nowhere/given", "/nowhere/own"});
  BOOST_REQUIRE(catalog.problems().size() == 1u);
  BOOST_TEST(catalog.problems()[0].message ==
             "/nowhere/given, where plugins were to be looked for, is no folder");
}

BOOST_AUTO_TEST_CASE(search_path) {
  const auto path = plugin_search_path({"/cli/b", "/cli/a/../a"}, {"/file"},
                                       "/env1::relative:.:/env2/:/cli/b", "/opt/bin/cifarpipe");
  const std::vector<fs::path> expected = {"/cli/b", "/cli/a", "/file",
                                          "/env1",  "/env2/", "/opt/lib/cifarpipe/plugins"};
  BOOST_TEST(path.size() == expected.size());
  for (std::size_t i = 0; i < std::min(path.size(), expected.size()); ++i) {
    BOOST_TEST(path[i] == expected[i]);
  }
  BOOST_TEST(plugin_search_path({}, {}, nullptr, "/opt/bin/cifarpipe").size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
