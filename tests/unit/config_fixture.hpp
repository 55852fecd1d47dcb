// What the tests of configurations share: files in a folder that goes away, loaded with stages made
// by hand.
#pragma once

#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config.hpp"
#include "tests/unit/fake_catalog.hpp"

namespace cifarpipe::test {

namespace fs = std::filesystem;

inline const std::string kChain = R"([stages.download]
uses = "download"
[stages.data]
uses = "preprocess"
[stages.train]
uses = "train"
[stages.test]
uses = "evaluate"
)";

struct Folder {
  Folder() {
    char name[] = "/tmp/cifarpipe-config-XXXXXX";
    path = fs::canonical(mkdtemp(name));
  }
  ~Folder() { fs::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary) << text;
    return (path / name).string();
  }
  fs::path path;
};

struct Loader : Folder {
  std::optional<Configuration> file(const std::string& path, std::vector<std::string> sets = {}) {
    diagnostics = {};
    std::vector<SetArgument> numbered;
    for (const std::string& set : sets) {
      numbered.push_back({set, static_cast<int>(numbered.size()) + 1});
    }
    return load_configuration(path, numbered, catalog, diagnostics);
  }
  std::optional<Configuration> text(const std::string& text, std::vector<std::string> sets = {}) {
    return file(write("pipeline.toml", text), std::move(sets));
  }
  Configuration good(const std::string& content, std::vector<std::string> sets = {}) {
    auto configuration = text(content, std::move(sets));
    BOOST_REQUIRE_MESSAGE(configuration, diagnostics.render());
    return *configuration;
  }

  FakeCatalog catalog = FakeCatalog::standard();
  Diagnostics diagnostics;
};

template <class T>
T param(const Cell& cell, std::string_view stage, std::string_view name) {
  for (const StageInstance& s : cell.stages) {
    if (s.name == stage) return std::get<T>(*find_value(s.params, name));
  }
  throw std::logic_error("no such stage");
}

}  // namespace cifarpipe::test
