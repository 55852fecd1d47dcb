// One stage for each way in which a stage can misbehave while it runs. All write their output
// first, so that whoever publishes it in spite of the failure is caught.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <thread>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;
namespace fs = std::filesystem;

struct NoParams {
  static Schema<NoParams> schema() { return {}; }
};

struct StrangeException {
  int code = 42;
};

void throw_error(StageContext&) {
  throw std::runtime_error("thrown by the stage itself");
}
void throw_strange(StageContext&) {
  throw StrangeException{};
}
void throw_in_thread(StageContext&) {
  std::thread([] { throw std::runtime_error("thrown in a thread of the stage"); }).join();
}
void segfault(StageContext&) {
  volatile int* volatile nowhere = nullptr;  // Twice volatile: else the compiler leaves it out.
  *nowhere = 1;
}
void abort_now(StageContext&) {
  std::abort();
}
void exit_zero(StageContext&) {
  std::exit(0);
}
void exit_at_once(StageContext&) {
  ::_exit(0);
}

// Without the volatile array the compiler makes a loop of it.
int overflow(volatile char* above) {
  if (above == nullptr) return 0;  // Never; without an end the compiler refuses.
  volatile char frame[4096];
  frame[0] = static_cast<char>(above[0] + 1);
  return overflow(frame) + frame[0];  // The frame is used after the call, so each one stays.
}
void overflow_stack(StageContext&) {
  volatile char first = 0;
  std::printf("%d\n", overflow(&first));
}

void allocate(StageContext& context) {
  // Touched page by page, or the kernel would only promise it. Stops at 64 GB, in case nobody does.
  constexpr std::size_t kStep = std::size_t{64} << 20;
  for (int i = 0; i < 1024; ++i) {
    char* block = new char[kStep];
    for (std::size_t at = 0; at < kStep; at += 4096) block[at] = 1;
    context.progress({static_cast<double>(i), 1024, "blocks", {}});
  }
}

void undeclared_file(StageContext& context) {
  std::ofstream(context.output("out").parent_path() / "undeclared.txt") << "not declared\n";
}
void link_in_output(StageContext& context) {
  fs::create_symlink("/etc/hostname", context.output("out") / "link");
}
void fifo_in_output(StageContext& context) {
  ::mkfifo((context.output("out") / "fifo").c_str(), 0644);
}
void write_to_nowhere(StageContext& context) {
  context.output("no_such_port");
}

void print_much(StageContext& context) {
  std::cout << "from std::cout\n" << std::flush;
  std::fprintf(stderr, "from stderr\n");
  const std::string line(200, 'x');
  for (int i = 0; i < 20000; ++i) std::printf("%06d %s\n", i, line.c_str());
  std::printf("no newline at the end, and bytes that are no text: \x01\xff");
  std::fflush(stdout);
  for (int i = 0; i < 100; ++i) context.info("a line with\na newline and \x1b[31m colour");
}

void sleep_on(StageContext&) {
  // Deaf to the stop token, and to the signals that its thread could get.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  for (int i = 0; i < 600; ++i) ::sleep(1);
}

void strange_metrics(StageContext& context) {
  const double zero = 0;
  context.metric("loss", 1, zero / zero);
  context.metric("loss", 2, 1 / zero);
  context.metric("not_declared", 1, 1.0);
  context.metric("loss", -1, 1.0);
}

struct Case {
  const char* name;
  const char* summary;
  void (*act)(StageContext&);
};

constexpr Case kCases[] = {
    {"throws", "Throws a std::runtime_error.", throw_error},
    {"throws_strange", "Throws something that is no std::exception.", throw_strange},
    {"throws_in_thread", "Throws in a thread of its own.", throw_in_thread},
    {"segfaults", "Writes to a null pointer.", segfault},
    {"aborts", "Calls abort.", abort_now},
    {"exits", "Calls exit(0).", exit_zero},
    {"exits_at_once", "Calls _exit(0).", exit_at_once},
    {"overflows", "Recurses without end.", overflow_stack},
    {"allocates", "Allocates without end.", allocate},
    {"undeclared", "Writes a file beside its outputs.", undeclared_file},
    {"links", "Leaves a symbolic link in its output.", link_in_output},
    {"fifos", "Leaves a FIFO in its output.", fifo_in_output},
    {"wrong_port", "Asks for an output that it has not declared.", write_to_nowhere},
    {"prints", "Prints a lot to stdout, stderr and the log, and succeeds.", print_much},
    {"sleeps", "Sleeps for ten minutes and ignores every request to stop.", sleep_on},
    {"strange_metrics", "Reports NaN, infinity, an undeclared name and a negative step.",
     strange_metrics},
};

template <int N>
class Misbehaving : public Stage {
 public:
  using Params = NoParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = kCases[N].name;
    d.summary = kCases[N].summary;
    d.outputs = {{"out", "test/text", "The file text.txt."}};
    d.metrics = {{"loss", MetricInfo::Goal::minimize, "One point before anything happens."}};
    return d;
  }
  explicit Misbehaving(Params) {}

  void run(StageContext& context) override {
    std::ofstream(context.output("out") / "text.txt") << "written before\n";
    context.metric("loss", 0, 0.5);
    context.info("about to misbehave");
    kCases[N].act(context);
  }
};

template <int... N>
void add_all(StageRegistry& registry, std::integer_sequence<int, N...>) {
  (registry.add<Misbehaving<N>>(), ...);
}

}  // namespace

CIFARPIPE_PLUGIN("misbehave", "1.0.0", [](StageRegistry& r) {
  add_all(r, std::make_integer_sequence<int, static_cast<int>(std::size(kCases))>{});
})
