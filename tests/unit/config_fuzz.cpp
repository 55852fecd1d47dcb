// Files that nobody would write: whatever comes in, what comes out is a configuration or errors.
// Fixed seeds, so that a failure can be seen again.
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "pipeline/config.hpp"
#include "tests/unit/fake_catalog.hpp"

namespace cifarpipe {
namespace {

namespace fs = std::filesystem;

struct Fuzz {
  Fuzz()
      : file((fs::temp_directory_path() / ("cifarpipe-fuzz-" + std::to_string(getpid()) + ".toml"))
                 .string()) {}
  ~Fuzz() { fs::remove(file); }

  // Errors or a configuration, never both, never neither.
  std::string load(const std::string& text, const std::vector<SetArgument>& sets = {}) {
    std::ofstream(file, std::ios::binary) << text;
    Diagnostics diagnostics;
    const auto c = load_configuration(file, sets, catalog, diagnostics);
    BOOST_TEST((c.has_value() != diagnostics.has_errors()), text);
    if (c) {
      for (const Cell& cell : c->cells) {
        if (&cell - c->cells.data() < 3) BOOST_TEST(!resolved_toml(*c, cell).empty());
      }
    }
    return diagnostics.render();
  }

  std::string file;
  test::FakeCatalog catalog = test::FakeCatalog::standard();
  std::mt19937 random{7};
};

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> seeds() {
  std::vector<std::string> out;
  for (const auto& entry :
       fs::directory_iterator(fs::path(CIFARPIPE_SOURCE_DIR) / "tests/golden")) {
    if (entry.path().extension() == ".toml") out.push_back(read(entry.path()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(config_fuzz, Fuzz)

BOOST_AUTO_TEST_CASE(random_bytes) {
  for (int i = 0; i < 1500; ++i) {
    std::string text(random() % 200, '\0');
    const bool printable = random() % 2 == 0;
    for (char& c : text) {
      c = static_cast<char>(printable ? "[]{}=.,\"'#\n ab1-_"[random() % 17] : random() % 256);
    }
    load(text);
  }
}

BOOST_AUTO_TEST_CASE(mutated_files) {
  const std::vector<std::string> all = seeds();
  for (int i = 0; i < 3000; ++i) {
    std::string text = all[random() % all.size()];
    for (int k = static_cast<int>(random() % 4); k >= 0 && !text.empty(); --k) {
      const std::size_t at = random() % text.size();
      const std::size_t n = 1 + random() % 12;
      switch (random() % 5) {
        case 0:
          text.erase(at, n);
          break;
        case 1:
          text.insert(at, text.substr(random() % text.size(), n));
          break;
        case 2:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 3:
          text.insert(at, 1, "[]{}=.,\"'#\n"[random() % 11]);
          break;
        default: {  // Whole lines change places.
          const std::string& other = all[random() % all.size()];
          const std::size_t from = other.empty() ? 0 : random() % other.size();
          text.insert(at, other.substr(from, 80));
        }
      }
    }
    load(text);
  }
}

BOOST_AUTO_TEST_CASE(mutated_arguments) {
  const std::string good =
      read(fs::path(CIFARPIPE_SOURCE_DIR) / "tests/golden/matrix_warnings.toml");
  const std::vector<std::string> args = {"train.lr=0.1",
                                         "stages.train.params.lr=[1,2]",
                                         "matrix.train.lr=[1, 2]",
                                         "pipeline.seed=3",
                                         "data.groups={a=[\"b\"]}",
                                         "stages.test.inputs.model=train.model",
                                         "matrix.include=[{train.lr=1}]",
                                         "stages.train.enabled=false",
                                         "download.token=abc",
                                         "tracking.mlflow.uri=http://a@b"};
  for (int i = 0; i < 1500; ++i) {
    std::string text = args[random() % args.size()];
    for (int k = static_cast<int>(random() % 3); k >= 0 && !text.empty(); --k) {
      const std::size_t at = random() % text.size();
      if (random() % 2 == 0)
        text.erase(at, 1 + random() % 3);
      else
        text.insert(at, 1, static_cast<char>(random() % 256));
    }
    load(good, {{text, 1}, {args[random() % args.size()], 2}});
  }
}

// "fuzz 1-edit typos of every key": each is caught, and nearly each is understood.
BOOST_AUTO_TEST_CASE(typos_of_every_key_are_caught_and_understood) {
  const std::string before = R"([pipeline]
name = "n"
seed = 1
[stages.download]
uses = "download"
[stages.data]
uses = "preprocess"
[stages.train]
uses = "train"
inputs.dataset = "data.dataset"
[stages.train.params]
epochs = 3
warmup = 0
optimizer = "sgd"
momentum = 0.5
augment = false
[cache]
numerics = "loose"
[tracking.mlflow]
uri = "http://h"
)";
  BOOST_REQUIRE(load(before).empty());
  const std::vector<std::string> keys = {
      "pipeline",  "name",     "seed",    "uses",     "dataset", "params",   "epochs", "warmup",
      "optimizer", "momentum", "augment", "numerics", "mlflow",  "tracking", "cache",  "stages"};
  int typos = 0, understood = 0;
  for (const std::string& key : keys) {
    for (int i = 0; i < 40; ++i) {
      std::string typo = key;
      const std::size_t at = random() % typo.size();
      const char letter = static_cast<char>('a' + random() % 26);
      switch (random() % 4) {
        case 0:
          typo.erase(at, 1);
          break;
        case 1:
          typo.insert(at, 1, letter);
          break;
        case 2:
          typo[at] = letter;
          break;
        default:
          if (at + 1 < typo.size()) std::swap(typo[at], typo[at + 1]);
      }
      if (typo == key) continue;
      std::string text = before;
      text.replace(text.find(key), key.size(), typo);
      const std::string said = load(text);
      BOOST_TEST(said.find("error") != std::string::npos, typo);
      ++typos;
      if (said.find("did you mean '" + key + "'") != std::string::npos) ++understood;
    }
  }
  BOOST_TEST_MESSAGE(understood << " of " << typos << " typos understood");
  BOOST_TEST(understood >= typos * 95 / 100);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace cifarpipe
