// Golden texts: what a user reads about a wrong file.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "pipeline/config.hpp"
#include "tests/unit/fake_catalog.hpp"

namespace cifarpipe {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<SetArgument> sets_in(const std::string& text) {
  std::vector<SetArgument> sets;
  std::istringstream in(text);
  const std::string lead = "#! --set ";
  for (std::string line; std::getline(in, line) && line.starts_with(lead);) {
    sets.push_back({line.substr(lead.size()), static_cast<int>(sets.size()) + 1});
  }
  return sets;
}

// What `cifarpipe check` would say, and for a good file what it means.
std::string outcome(const std::string& file) {
  const auto catalog = test::FakeCatalog::standard();
  Diagnostics diagnostics;
  const auto configuration = load_configuration(file, sets_in(read(file)), catalog, diagnostics);
  std::string out = diagnostics.render();
  out += "exit " + std::to_string(diagnostics.exit_code()) + "\n";
  if (!configuration) return out;
  for (const Cell& cell : configuration->cells) out += "cell '" + cell.name + "'\n";
  for (const OriginLine& line : origins(*configuration, configuration->cells.front())) {
    if (!line.place.known()) continue;
    // Paths of this machine do not belong into an expected text.
    const std::string value = line.secret ? "<secret>" : to_text(line.value);
    const bool absolute = value.starts_with("\"/");
    out += line.path + " = " + (absolute ? "<absolute path>" : value) + "  # " + line.place.str() +
           "\n";
  }
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(messages)

BOOST_AUTO_TEST_CASE(equal_the_golden_texts) {
  const fs::path folder = fs::path(CIFARPIPE_SOURCE_DIR) / "tests/golden";
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(".")) {
    if (entry.path().extension() == ".toml") files.push_back(entry.path().filename().string());
  }
  BOOST_TEST(files.size() >= 30u);
  const bool update = std::getenv("CIFARPIPE_UPDATE_GOLDEN") != nullptr;
  for (const std::string& file : files) {
    const std::string got = outcome(file);
    const fs::path expected = fs::path(file).replace_extension(".expected");
    if (update) {
      std::ofstream(expected, std::ios::binary) << got;
    } else {
      BOOST_TEST(got == read(expected), file << ": expected\n"
                                             << read(expected) << "---- but got\n"
                                             << got);
    }
  }
  fs::current_path(before);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace cifarpipe
