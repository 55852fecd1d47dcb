#include <stdlib.h>

#include <boost/test/unit_test.hpp>

#include "pipeline/error.hpp"
#include "plugins/elf_file.hpp"
#include "plugins/loader.hpp"
#include "tests/unit/plugin_fixture.hpp"

using namespace cifarpipe;
using namespace cifarpipe::testing;
namespace fs = std::filesystem;

namespace {

std::string refusal(const fs::path& file, std::string_view build_id = {}) {
  try {
    PluginLoader loader;
    loader.load(file, build_id);
  } catch (const Error& e) {
    BOOST_TEST(e.exit_code() == 3);
    return e.what();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Sets the wish of the plugin `fickle` for as long as it lives.
struct Wish {
  explicit Wish(const char* wish) { ::setenv("CIFARPIPE_TEST_FICKLE", wish, 1); }
  ~Wish() { ::unsetenv("CIFARPIPE_TEST_FICKLE"); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(plugin_loader)

BOOST_AUTO_TEST_CASE(loads_once) {
  PluginLoader loader;
  const std::string id = ElfFile(test_plugin("emit")).build_id();
  const LoadedPlugin& plugin = loader.load(test_plugin("emit"), id);
  BOOST_TEST(plugin.name == "emit");
  BOOST_TEST(plugin.version == "1.0.0");
  BOOST_TEST(plugin.build_id == id);
  BOOST_TEST(plugin.stages.size() == 2u);
  BOOST_TEST(&loader.load(test_plugin("emit")) == &plugin);
  BOOST_REQUIRE(loader.find("join") != nullptr);
  BOOST_TEST(loader.find("slow") == nullptr);
  const auto stage = loader.find("emit")->make({{"text", Value(std::string("x"))}});
  BOOST_TEST(stage != nullptr);
}

BOOST_AUTO_TEST_CASE(refuses_another_build) {
  BOOST_TEST(contains(refusal(test_plugin("emit"), "0123456789abcdef0123"),
                      "was rebuilt after this run was planned"));
}

BOOST_AUTO_TEST_CASE(refuses_before_any_code_runs) {
  BOOST_TEST(contains(refusal(test_plugin("refused/wrong_stamp")), "it was built by gcc 4"));
  BOOST_TEST(contains(refusal(test_plugin("refused/wrong_api")), "SDK API 999"));
  BOOST_TEST(contains(refusal(test_plugin("refused/no_stamp")), "no stamp"));
  BOOST_TEST(contains(refusal(test_plugin("nothing_there")), "No such file"));
  BOOST_TEST(contains(refusal(CIFARPIPE_TEST_PLUGINS), "is not a regular file"));
  const PluginFolder folder;
  const auto file = folder.write("emit.stage.so", bytes_of(test_plugin("emit")));
  fs::permissions(file, fs::perms(0777));
  BOOST_TEST(contains(refusal(file), "can be written by others"));
}

BOOST_AUTO_TEST_CASE(refuses_what_the_dynamic_linker_refuses) {
  const std::string text = refusal(test_plugin("refused/missing_symbol"));
  BOOST_TEST(contains(text, "missing_symbol.stage.so cannot be loaded: "));
  BOOST_TEST(contains(text, "undefined symbol"));
}

BOOST_AUTO_TEST_CASE(refuses_without_an_entry) {
  BOOST_TEST(contains(refusal(test_plugin("refused/no_entry")), "has no entry 'cifarpipe_plugin'"));
}

BOOST_AUTO_TEST_CASE(refuses_what_goes_wrong_while_registering) {
  const auto with = [](const char* wish) {
    const Wish set(wish);
    return refusal(test_plugin("fickle"));
  };
  const std::string name = test_plugin("fickle").string();
  BOOST_TEST(with("throw") == name + " failed to register its stages: the licence has expired");
  BOOST_TEST(with("throw_strange") ==
             name + " failed to register its stages: it threw something that is no std::exception");
  BOOST_TEST(with("twice") == name + " registers the stage 'fickle' twice");
  BOOST_TEST(with("nothing") == name + " registers no stage");
  BOOST_TEST(with("description") ==
             name +
                 " describes its stage 'fickle' wrongly: the type of output 'out' must be "
                 "family/kind, not 'nonsense'");
  BOOST_TEST(with("") == "");
}

BOOST_AUTO_TEST_CASE(a_refused_plugin_leaves_nothing_behind) {
  PluginLoader loader;
  loader.load(test_plugin("emit"));
  const auto* before = loader.find("emit");
  const std::string text = message_of([&] { loader.load(test_plugin("again/emit_again")); });
  BOOST_TEST(text == test_plugin("again/emit_again").string() + " offers the stage 'emit', which " +
                         test_plugin("emit").string() + " offers already");
  BOOST_TEST(loader.find("emit") == before);
  {
    const Wish set("twice");
    message_of([&] { loader.load(test_plugin("fickle")); });
  }
  BOOST_TEST(loader.find("fickle") == nullptr);
  loader.load(test_plugin("fickle"));
  BOOST_TEST(loader.find("fickle") != nullptr);
}

BOOST_AUTO_TEST_SUITE_END()
