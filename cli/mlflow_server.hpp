// An `mlflow server` as a child: found, started in a session of its own, watched, and stopped with
// all of its processes. When this process dies, by whatever signal, it ends too. Main thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::cli {

/// INT, TERM, HUP and CHLD wait for whoever asks, from the making of this on: nothing is missed
/// between two looks, and nothing polls faster than it must.
class SignalQueue {
 public:
  SignalQueue();
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  /// The next signal, or 0 after this time.
  int wait(int milliseconds);
  static bool asks_to_stop(int signal);
};

/// The variables of this process but for MLflow's: a server of our own, and what speaks to it, are
/// steered by none of them.
std::vector<std::string> environment_without_mlflow();

/// The program in PATH, else in `.venv/bin` of one of these folders; empty if there is none.
std::filesystem::path find_mlflow(const std::vector<std::filesystem::path>& folders);

/// Whether a program may listen there now; `port` 0: whether any port is free, which it then is.
bool is_free_port(const std::string& host, int& port);
/// "http://127.0.0.1:5000": where a server that listens on `host` is reached from here.
std::string server_url(const std::string& host, int port);
/// Whether a server answers GET /health with 200 within a second.
bool is_healthy(const std::string& host, int port);

class MlflowServer {
 public:
  struct Options {
    std::filesystem::path program;
    std::filesystem::path folder;  ///< Its database, artifacts and log; is there.
    std::string host;
    int port = 0;
  };
  explicit MlflowServer(Options options);
  ~MlflowServer();  ///< Stops it.
  MlflowServer(const MlflowServer&) = delete;

  /// Until it answers; false if a signal asked to stop before. Throws Error with the last words of
  /// its log if it ends or does not answer in time.
  bool wait_until_healthy(SignalQueue& signals);
  bool is_alive();
  /// Asks it to end, then makes it; returns when no process of it is left.
  void stop();
  std::filesystem::path log() const { return options_.folder / "server.log"; }
  /// "exit(1)", with the last lines of the log.
  std::string last_words() const;

 private:
  Options options_;
  pid_t pid_ = -1;
  bool ended_ = false;
  std::string how_;
};

}  // namespace cifarpipe::cli
