#include "worker/job_runner.hpp"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <fstream>
#include <new>

#include "pipeline/file_ops.hpp"
#include "worker/numerics.hpp"

namespace cifarpipe {
namespace {

/// What the process has used since the last reset: so that a job's peak is its own.
class UsageMeter {
 public:
  UsageMeter() : start_(std::chrono::steady_clock::now()), cpu_ms_(cpu_now_ms()) {
    std::ofstream("/proc/self/clear_refs") << "5";  // Sets VmHWM back to the present size.
  }
  Usage read() const {
    Usage usage;
    usage.wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                        std::chrono::steady_clock::now() - start_)
                        .count();
    usage.cpu_ms = cpu_now_ms() - cpu_ms_;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmHWM:", 0) == 0) {
        usage.peak_rss_bytes = std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
      }
    }
    return usage;
  }

 private:
  static std::int64_t cpu_now_ms() {
    rusage r{};
    getrusage(RUSAGE_SELF, &r);
    const auto ms = [](const timeval& t) { return t.tv_sec * 1000 + t.tv_usec / 1000; };
    return ms(r.ru_utime) + ms(r.ru_stime);
  }
  std::chrono::steady_clock::time_point start_;
  std::int64_t cpu_ms_;
};

/// Only declared output ports may be in the work directory.
void refuse_undeclared(const JobOrder& order, const StageDescription& stage) {
  for (const auto& entry : std::filesystem::directory_iterator(order.work_dir)) {
    const std::string name = entry.path().filename().string();
    bool declared = false;
    for (const Port& port : stage.outputs) declared = declared || port.name == name;
    if (!declared) {
      throw Error(
          fmt::format("the stage wrote '{}' beside its outputs; a stage writes only below "
                      "the directories of the ports that it declares",
                      name));
    }
  }
}

void make_durable(const std::filesystem::path& dir, const std::vector<FileDigest>& files) {
  constexpr std::size_t kMany = 256;
  if (files.size() >= kMany) return file_ops().sync_file_system(dir);
  for (const FileDigest& file : files) file_ops().sync_file(dir / file.path);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (entry.is_directory()) file_ops().sync_dir(entry.path());
  }
  file_ops().sync_dir(dir);
}

/// Hashes what the stage wrote and makes it durable, port by port.
void seal_outputs(const JobOrder& order, const StageDescription& stage, EventSender& sender) {
  refuse_undeclared(order, stage);
  for (const Port& port : stage.outputs) {
    const auto dir = std::filesystem::path(order.work_dir) / port.name;
    std::vector<FileDigest> files = digest_tree(dir);
    make_durable(dir, files);
    // In parts, because a packet has a limit and an output may have thousands of files.
    constexpr std::size_t kFilesPerPacket = 200;
    std::size_t at = 0;
    do {
      Event event;
      event.kind = Event::Kind::outputs;
      event.name = port.name;
      const std::size_t end = std::min(files.size(), at + kFilesPerPacket);
      event.files.assign(files.begin() + static_cast<std::ptrdiff_t>(at),
                         files.begin() + static_cast<std::ptrdiff_t>(end));
      sender.send(event);
      at = end;
    } while (at < files.size());
  }
  file_ops().sync_dir(order.work_dir);
}

const StageRegistry::Entry& find_stage(PluginLoader& loader, const JobOrder& order) {
  const LoadedPlugin& plugin = loader.load(order.plugin_path, order.build_id);
  for (const StageRegistry::Entry& entry : plugin.stages) {
    if (entry.description.name == order.stage) return entry;
  }
  throw Error(fmt::format("{} registers no stage '{}' although its description names it; rebuild "
                          "it with cifarpipe_add_stage",
                          order.plugin_path, order.stage),
              ErrorKind::environment);
}

/// The stage's own life, exceptions and all.
void run_stage(const JobOrder& order, PluginLoader& loader, RingWriter& ring, EventSender& sender,
               std::stop_token stop) {
  const StageRegistry::Entry& entry = find_stage(loader, order);
  reset_numerics(order.numerics, order.seed);
  ring.begin_job(order.job, order.attempt);
  WorkerContext context(order, entry.description, ring, sender, std::move(stop));
  const std::unique_ptr<Stage> stage = entry.make(order.params);
  stage->run(context);
  seal_outputs(order, entry.description, sender);
}

Event failure(const std::string& message, ErrorKind kind) {
  Event event;
  event.kind = Event::Kind::failed;
  event.text = message;
  event.exit_code = static_cast<int>(kind);
  return event;
}

}  // namespace

void run_job(const JobOrder& order, PluginLoader& loader, RingWriter& ring, EventSender& sender,
             std::stop_token stop) {
  const UsageMeter meter;
  Event end;
  try {
    run_stage(order, loader, ring, sender, std::move(stop));
    end.kind = Event::Kind::done;
  } catch (const Interrupted&) {
    end.kind = Event::Kind::interrupted;
  } catch (const Error& error) {
    end = failure(error.what(), error.kind());
  } catch (const c10::Error& error) {
    end = failure(error.what_without_backtrace(), ErrorKind::stage);
  } catch (const std::bad_alloc&) {
    end = failure("out of memory: the worker's memory limit is reached", ErrorKind::stage);
  } catch (const std::filesystem::filesystem_error& error) {
    const bool full = error.code() == std::errc::no_space_on_device;
    end = failure(error.what(), full ? ErrorKind::environment : ErrorKind::stage);
  } catch (const std::exception& error) {
    end = failure(error.what(), ErrorKind::stage);
  } catch (...) {
    end = failure("the stage threw something that is not a std::exception", ErrorKind::stage);
  }
  end.usage = meter.read();
  sender.send(end);
}

}  // namespace cifarpipe
