#include "pipeline/system_metrics.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <ctime>

#include "pipeline/error.hpp"
#include "pipeline/run_sampler.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/queries.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* kNetwork =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
    "    lo: 84340106   11043    0    0    0     0          0         0 84340106   11043    0    0"
    "    0     0       0          0\n"
    "  eth0:226373883    5197    0    0    0     0          0         0   299470    3589    0    0"
    "    0     0       0          0\n";

/// A child that computes until it is told to end, with a child of its own that does too.
class BusyPair {
 public:
  BusyPair() {
    int ends[2];
    BOOST_REQUIRE(pipe(ends) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      const pid_t grandchild = fork();
      if (grandchild == 0) spin(ends[1]);
      spin(ends[1]);
    }
    close(ends[1]);
    char ready = 0;  // One byte from each: both are spinning.
    for (int i = 0; i < 2; ++i) BOOST_REQUIRE(read(ends[0], &ready, 1) == 1);
    close(ends[0]);
  }
  ~BusyPair() {
    for (const pid_t child : children()) kill(child, SIGKILL);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  std::vector<pid_t> children() const {
    const std::string file =
        "/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children";
    std::FILE* in = std::fopen(file.c_str(), "r");
    if (in == nullptr) return {};
    char text[256] = {};
    const std::size_t n = std::fread(text, 1, sizeof text - 1, in);
    std::fclose(in);
    return parse_children({text, n});
  }

 private:
  [[noreturn]] static void spin(int ready) {
    if (write(ready, "x", 1) != 1) _exit(1);
    alarm(60);  // Should the test die.
    for (;;) asm volatile("");
  }
  pid_t pid_ = -1;
};

/// Computes until this process has used so much CPU time.
void use_cpu(double s) {
  const auto end = std::clock() + static_cast<std::clock_t>(s * CLOCKS_PER_SEC);
  while (std::clock() < end) asm volatile("");
}

double value_of(const SystemValues& values, const std::string& name) {
  for (const auto& [key, value] : values) {
    if (key == name) return value;
  }
  BOOST_ERROR("no " + name);
  return -1;
}

Machine machine(int cores) {
  Machine m;
  m.cores = cores;
  m.memory_bytes = 1'000'000'000;
  return m;
}

BOOST_AUTO_TEST_SUITE(system_metrics)

BOOST_AUTO_TEST_CASE(process_texts) {
  const auto stat = parse_process_stat(
      "2390 (a) (b c) R 2386 2386 25744 0 -1 4194304 102 0 0 0 7 5 11 13 20 0 1 0 1351336 3133440 "
      "412 18446744073709551615 94186129137664 94186129157545 0 0\n");
  BOOST_REQUIRE(stat.has_value());
  BOOST_TEST(stat->pid == 2390);
  BOOST_TEST(stat->parent == 2386);
  BOOST_TEST(stat->state == 'R');
  BOOST_TEST(stat->ticks == 12u);
  BOOST_TEST(stat->reaped_ticks == 24u);
  BOOST_TEST(stat->start == 1351336u);
  for (const char* bad : {"", "12", "12 (x)", "12 (x) R 1 2 3", "x (y) R 1 1 1 1", ")("}) {
    BOOST_TEST(!parse_process_stat(bad).has_value(), bad);
  }
  const auto memory = parse_process_memory("765 440 412 5 0 123 0\n");
  BOOST_REQUIRE(memory.has_value());
  BOOST_TEST(memory->resident == 440u);
  BOOST_TEST(memory->shared == 412u);
  BOOST_TEST(!parse_process_memory("765").has_value());
  BOOST_CHECK((parse_children("12 345 \n") == std::vector<pid_t>{12, 345}));
  BOOST_TEST(parse_children("").empty());
}

BOOST_AUTO_TEST_CASE(network_text) {
  const auto use = parse_network(kNetwork);
  BOOST_REQUIRE(use.has_value());
  BOOST_TEST(use->received == 84340106u + 226373883u);
  BOOST_TEST(use->sent == 84340106u + 299470u);
  BOOST_TEST(!parse_network("").has_value());
  BOOST_TEST(!parse_network("eth0: 1 2\n").has_value());
}

BOOST_AUTO_TEST_CASE(a_busy_child_and_its_child_are_counted) {
  const BusyPair busy;
  const pid_t worker[] = {busy.pid()};
  SystemMeter meter(1, 1'000'000'000);
  meter.begin(look_at_system(worker, "/", nullptr), worker);
  // Until they have used 0.3 s together, however slow the machine is.
  const auto begin = steady_clock::now();
  const std::uint64_t before = tree_use(busy.pid()).ticks;
  const auto wanted = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK)) * 3 / 10;
  while (tree_use(busy.pid()).ticks < before + wanted) {
    BOOST_REQUIRE((steady_clock::now() - begin < std::chrono::seconds(60)));
    usleep(5000);
  }
  const SystemMoment moment = look_at_system(worker, "/", nullptr);
  const double wall = std::chrono::duration<double>(moment.time - begin).count();
  const SystemValues values = meter.measure(moment, worker);
  const double cpu = value_of(values, "system/cpu_utilization_percentage");
  BOOST_TEST(cpu >= std::min(100.0, 0.25 / wall * 100));
  BOOST_TEST(cpu <= 100);
  BOOST_TEST(value_of(values, "system/system_memory_usage_megabytes") > 0.5);
  BOOST_TEST(value_of(values, "system/disk_available_megabytes") > 0);
  // Without the worker there is little: this process waited.
  SystemMeter alone(1, 1'000'000'000);
  alone.begin(look_at_system({}, "/", nullptr), {});
  usleep(100'000);
  BOOST_TEST(value_of(alone.measure(look_at_system({}, "/", nullptr), {}),
                      "system/cpu_utilization_percentage") < 60);
}

BOOST_AUTO_TEST_CASE(time_of_a_child_that_has_ended_is_kept) {
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      use_cpu(0.2);
      _exit(0);
    }
    waitpid(grandchild, nullptr, 0);
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, WUNTRACED);
  BOOST_TEST(WIFSTOPPED(status));
  BOOST_TEST(tree_use(child).ticks >= static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK)) * 15 / 100);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  BOOST_TEST(tree_use(child).start == 0u);  // Gone: nothing is said of it.
}

BOOST_AUTO_TEST_CASE(numbers_are_of_what_may_be_used) {
  SystemMoment first;
  first.time = steady_clock::time_point{} + std::chrono::hours(1);
  first.own = {1, 100, 0, 0};
  first.workers[7] = {5, 1000, 0, 0};
  first.network = NetworkUse{1'000'000, 5};
  SystemMoment later = first;
  later.time += std::chrono::seconds(10);
  const auto tick = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  later.own = {1, 100 + tick, 20'000'000, 30'000'000};
  later.workers[7] = {5, 1000 + 9 * tick, 100'000'000, 80'000'000};
  later.workers[8] = {6, 2 * tick, 50'000'000, 70'000'000};  // Has begun since.
  later.network = NetworkUse{3'500'000, 100'005};
  later.disk = DiskUse{300'000'000, 700'000'000};
  const pid_t one[] = {7};
  const pid_t both[] = {7, 8};
  SystemMeter meter(4, 1'000'000'000);
  meter.begin(first, one);
  const SystemValues values = meter.measure(later, both);
  // 12 s of CPU time in 10 s on 4 cores.
  BOOST_TEST(value_of(values, "system/cpu_utilization_percentage") == 30.0);
  // What each has for itself, and the largest share of what they have in common.
  BOOST_TEST(value_of(values, "system/system_memory_usage_megabytes") == 250.0);
  BOOST_TEST(value_of(values, "system/system_memory_usage_percentage") == 25.0);
  BOOST_TEST(value_of(values, "system/disk_usage_percentage") == 30.0);
  BOOST_TEST(value_of(values, "system/disk_usage_megabytes") == 300.0);
  BOOST_TEST(value_of(values, "system/disk_available_megabytes") == 700.0);
  BOOST_TEST(value_of(values, "system/network_receive_megabytes") == 2.5);
  BOOST_TEST(value_of(values, "system/network_transmit_megabytes") == 0.1);
  BOOST_TEST(values.size() == 8u);
  // Another process with the same number begins anew; the network goes on counting.
  SystemMoment last = later;
  last.time += std::chrono::seconds(10);
  last.workers[8] = {900, 4 * tick, 0, 0};
  last.network = NetworkUse{4'000'000, 100'005};
  const SystemValues then = meter.measure(last, both);
  BOOST_TEST(value_of(then, "system/cpu_utilization_percentage") == 10.0);
  BOOST_TEST(value_of(then, "system/network_receive_megabytes") == 3.0);
}

BOOST_AUTO_TEST_CASE(gpus_of_a_driver) {
  BOOST_CHECK(Nvml::open("libthere-is-no-such-library.so.1") == nullptr);
  const auto nvml = Nvml::open(CIFARPIPE_FAKE_NVML);
  BOOST_REQUIRE(nvml != nullptr);
  BOOST_TEST(nvml->driver() == "999.1");
  BOOST_CHECK((nvml->names() == std::vector<std::string>{"Fake GPU 0", "Fake GPU 1"}));
  SystemMeter meter(1, 1000);
  meter.begin(look_at_system({}, "/", nvml.get()), {});
  const SystemValues values = meter.measure(look_at_system({}, "/", nvml.get()), {});
  BOOST_TEST(value_of(values, "system/gpu_0_memory_usage_percentage") == 25.0);
  BOOST_TEST(value_of(values, "system/gpu_0_memory_usage_megabytes") == 2000.0);
  BOOST_TEST(value_of(values, "system/gpu_0_utilization_percentage") == 42.0);
  BOOST_TEST(value_of(values, "system/gpu_0_power_usage_watts") == 70.5);
  BOOST_TEST(value_of(values, "system/gpu_0_power_usage_percentage") == 20.1);
  BOOST_TEST(value_of(values, "system/gpu_1_utilization_percentage") == 43.0);
}

BOOST_AUTO_TEST_CASE(options_from_the_file_and_the_environment) {
  Configuration configuration;
  using Values = std::map<std::string, std::string>;
  const auto options = [&](const Values& values) {
    return sampler_options(configuration, [=](const std::string& name) {
      const auto found = values.find(name);
      return found == values.end() ? std::nullopt : std::optional<std::string>(found->second);
    });
  };
  const std::string on = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING";
  const std::string interval = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL";
  const std::string samples = "MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING";
  BOOST_TEST(options({}).enabled);
  BOOST_TEST(options({}).interval_s == 10);
  BOOST_TEST(options({}).samples_a_point == 1);
  BOOST_TEST(options({}).node == "");
  BOOST_TEST(!options({{on, "false"}, {interval, ""}}).enabled);
  BOOST_TEST(options({{interval, "2.5"}}).interval_s == 2.5);
  BOOST_TEST(options({{interval, "1e-9"}}).interval_s == 0.1);
  BOOST_TEST(options({{samples, "3"}}).samples_a_point == 3);
  BOOST_TEST(options({{"MLFLOW_SYSTEM_METRICS_NODE_ID", " n1 "}}).node == "n1");
  for (const char* bad : {"maybe", "2"}) BOOST_CHECK_THROW(options({{on, bad}}), Error);
  for (const char* bad : {"soon", "0", "-1", "nan", "inf", "1s"}) {
    BOOST_CHECK_THROW(options({{interval, bad}}), Error);
  }
  for (const char* bad : {"0", "1.5"}) BOOST_CHECK_THROW(options({{samples, bad}}), Error);
  configuration.origins["tracking.system_metrics"] = {};
  configuration.origins["tracking.system_metrics_interval"] = {};
  configuration.system_metrics_interval_s = 3;
  BOOST_TEST(options({{on, "false"}, {interval, "7"}}).enabled);
  BOOST_TEST(options({{on, "false"}, {interval, "7"}}).interval_s == 3);
}

struct Sampled {
  testing::TempDir dir;
  SqliteRecorder recorder{dir / "cifarpipe.db"};
  RunQueries queries{recorder.database()};

  Sampled() {
    for (const char* id : {"aa", "bb"}) {
      NewRun run;
      run.id = id;
      run.name = id;
      recorder.create_run(run);
    }
  }
  std::vector<std::int64_t> steps(const std::string& id) {
    std::vector<std::int64_t> out;
    for (const MetricPoint& p : queries.points(id, "system/system_memory_usage_megabytes")) {
      out.push_back(p.step);
    }
    return out;
  }
};

BOOST_FIXTURE_TEST_CASE(samples_come_soon_and_then_rarely, Sampled) {
  RunSampler sampler({true, 10}, machine(2), dir.path(), recorder);
  auto now = steady_clock::now();
  const auto begin = now;
  sampler.watch({{"aa", {getpid()}}}, now);
  std::vector<double> taken;
  for (int i = 0; i < 450; ++i) {
    now += milliseconds(100);
    const std::size_t before = steps("aa").size();
    sampler.tick(now);
    if (steps("aa").size() > before) {
      taken.push_back(std::round(std::chrono::duration<double>(now - begin).count()));
    }
  }
  BOOST_TEST(taken == (std::vector<double>{1, 2, 4, 8, 16, 26, 36}),
             boost::test_tools::per_element());
  BOOST_TEST(steps("aa") == (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6}),
             boost::test_tools::per_element());
  BOOST_TEST(steps("bb").empty());
  // Nothing while nothing of it is going on; then it goes on where it was.
  sampler.watch({{"bb", {getpid()}}}, now);
  sampler.tick(now + std::chrono::seconds(100));
  BOOST_TEST(steps("aa").size() == 7u);
  BOOST_TEST(steps("bb").size() == 1u);
  sampler.watch({{"aa", {getpid()}}}, now);
  sampler.tick(now + std::chrono::seconds(2));
  BOOST_TEST(steps("aa").size() == 8u);
}

BOOST_FIXTURE_TEST_CASE(another_attempt_goes_on_counting, Sampled) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    RunSampler sampler({true, 10}, machine(2), dir.path(), recorder);
    const auto now = steady_clock::now();
    sampler.watch({{"aa", {getpid()}}}, now);
    sampler.tick(now + std::chrono::seconds(1));
    sampler.tick(now + std::chrono::seconds(3));
  }
  BOOST_TEST(steps("aa") == (std::vector<std::int64_t>{0, 1, 2, 3}),
             boost::test_tools::per_element());
  BOOST_TEST(queries.run_points("aa", "system/system_memory_usage_megabytes", 1).size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_point_is_the_mean_of_samples_of_a_node, Sampled) {
  RunSampler sampler({true, 1, 2, "n1"}, machine(2), dir.path(), recorder);
  auto now = steady_clock::now();
  sampler.watch({{"aa", {getpid()}}}, now);
  for (int i = 0; i < 5; ++i) sampler.tick(now += std::chrono::seconds(1));
  const auto points = queries.points("aa", "system/n1/system_memory_usage_megabytes");
  BOOST_REQUIRE(points.size() == 2u);  // The fifth sample waits for a sixth.
  BOOST_TEST(points[1].step == 1);
  BOOST_TEST(points[0].value > 0.5);
  BOOST_TEST(steps("aa").empty());
}

BOOST_FIXTURE_TEST_CASE(switched_off_there_is_nothing, Sampled) {
  RunSampler sampler({false, 0.1}, machine(2), dir.path(), recorder);
  const auto now = steady_clock::now();
  sampler.watch({{"aa", {getpid()}}}, now);
  sampler.tick(now + std::chrono::seconds(100));
  BOOST_TEST(queries.system_metrics("aa").empty());
}

BOOST_FIXTURE_TEST_CASE(stored_and_summed_up, Sampled) {
  recorder.store_run_sample("aa", {1000, {{"system/a", 2.0}, {"system/b", std::nan("")}}});
  recorder.store_run_sample("aa", {2000, {{"system/a", 1.0}}});
  recorder.store_run_sample("aa", {2500, {}});
  recorder.store_run_sample("aa", {3000, {{"system/b", 7.0}}});
  const auto summaries = queries.system_metrics("aa");
  BOOST_REQUIRE(summaries.size() == 2u);
  BOOST_TEST(summaries[0].key == "system/a");
  BOOST_TEST(summaries[0].points == 2);
  BOOST_TEST(summaries[0].last == 1.0);
  BOOST_TEST(summaries[0].step == 1);
  BOOST_TEST(summaries[0].time_ms == 2000);
  BOOST_TEST(*summaries[0].min == 1.0);
  BOOST_TEST(*summaries[0].max == 2.0);
  BOOST_TEST(summaries[1].step == 2);  // A step is a sample's, whatever it has.
  BOOST_TEST(queries.metrics("aa").empty());
  Statement view(recorder.database(),
                 "SELECT count(*), sum(not_finite = 'nan'), max(step) FROM run_metrics "
                 "WHERE run_id = 'aa' AND key LIKE 'system/%'");
  BOOST_REQUIRE(view.step());
  BOOST_TEST(view.integer(0) == 4);
  BOOST_TEST(view.integer(1) == 1);
  BOOST_TEST(view.integer(2) == 2);
  Statement summary(recorder.database(),
                    "SELECT last, min, max FROM run_metric_summary WHERE key = 'system/b'");
  BOOST_REQUIRE(summary.step());
  BOOST_TEST(summary.real(0) == 7.0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
