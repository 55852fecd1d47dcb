// Well-behaved when it is built and described; misbehaves while it is loaded or registered if
// CIFARPIPE_TEST_FICKLE says how.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;

std::string_view wish() {
  const char* text = std::getenv("CIFARPIPE_TEST_FICKLE");
  return text == nullptr ? "" : text;
}

struct NoParams {
  static Schema<NoParams> schema() { return {}; }
};

class Fickle : public Stage {
 public:
  using Params = NoParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "fickle";
    d.summary = "Does nothing, if it is ever loaded.";
    if (wish() == "description") d.outputs = {{"out", "nonsense", "Its type has no kind."}};
    return d;
  }
  explicit Fickle(Params) {}
  void run(StageContext&) override {}
};

// Runs inside dlopen.
__attribute__((constructor)) void when_loaded() {
  if (wish() == "print") std::printf("printed while loading\n");
  if (wish() == "exit_in_load") std::exit(0);
  if (wish() == "segfault_in_load") std::raise(SIGSEGV);
}

void register_stages(StageRegistry& r) {
  if (wish() == "throw") throw Error("the licence has expired");
  if (wish() == "throw_strange") throw 42;
  if (wish() == "exit") std::exit(0);
  if (wish() == "nothing") return;
  r.add<Fickle>();
  if (wish() == "twice") r.add<Fickle>();
}

}  // namespace

CIFARPIPE_PLUGIN("fickle", "1.0.0", register_stages)
