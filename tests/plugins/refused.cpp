// Shared libraries that the loader must refuse; which of them is chosen by the compiler's command
// line. Built without cifarpipe_add_stage, which would refuse most of them too.
#include "plugins/plugin.hpp"

#if defined(REFUSED_WRONG_STAMP)
#define WRONG \
  "api=" CIFARPIPE_TEXT(CIFARPIPE_SDK_API) "\nheaders=0123456789abcdef\ncompiler=gcc 4\n" \
  "library=libstdc++ 4, abi 0\nsanitizers=address\ntorch=1.4.0\ntorch_git=abc\n"
CIFARPIPE_PLUGIN_WITH_STAMP(WRONG, "wrong_stamp", "1.0.0", [](cifarpipe::StageRegistry&) {})

#elif defined(REFUSED_WRONG_API)
CIFARPIPE_PLUGIN_WITH_STAMP("api=999\n", "wrong_api", "1.0.0", [](cifarpipe::StageRegistry&) {})

#elif defined(REFUSED_MISSING_SYMBOL)
extern void defined_nowhere();
CIFARPIPE_PLUGIN("missing_symbol", "1.0.0", [](cifarpipe::StageRegistry&) { defined_nowhere(); })

#elif defined(REFUSED_NO_ENTRY)
__attribute__((section(".note.cifarpipe"), used, CIFARPIPE_RETAIN, aligned(4)))
const cifarpipe::StampNote<sizeof(CIFARPIPE_STAMP)>
    stamp = {.text = CIFARPIPE_STAMP};

#elif defined(REFUSED_NO_STAMP)
extern "C" __attribute__((visibility("default"))) int nothing();
int nothing() {
  return 0;
}
#endif
