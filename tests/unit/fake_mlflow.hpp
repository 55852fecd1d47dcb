// An MLflow server inside the test: HTTP over a raw socket on a free port, a small MLflow in memory
// behind it that keeps the rules real servers were seen to have (limits, immutable parameters,
// equal points kept once, the NaN of old versions), and faults on command.
//
//   FakeMlflow server;                        // or with FakeOptions: a version, a login, …
//   server.fail({FakeFault::Kind::lose, "runs/create"});   // the next one: done, but not answered
//   Client client(settings_of(server.uri()));
//   …
//   BOOST_TEST(server.data().runs.size() == 1);
//
// Every connection has a thread of its own, so one that hangs is in nobody's way. All functions may
// be called from any thread; data() and requests() are copies.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace cifarpipe::testing {

struct FakeRequest {
  std::string method;
  std::string path;  ///< Decoded, without the server's prefix and the query.
  std::string raw_path;
  std::map<std::string, std::string> query;
  std::map<std::string, std::string> headers;  ///< Names in lower case.
  std::string body;                            ///< Of an upload over 4 MB only its beginning.
  std::uint64_t body_size = 0;
  int connection = 0;       ///< Counts connections, from 1.
  std::string client_name;  ///< CN of the client's certificate, over TLS.
};

struct FakeAnswer {
  int status = 200;
  std::string body = "{}";
  std::string type = "application/json";
  std::vector<std::string> headers;  ///< "Retry-After: 2"
};

/// What happens to requests instead of the usual.
struct FakeFault {
  enum class Kind {
    answer,  ///< `answer`, and nothing is done.
    early,   ///< As answer, but before the body is read; then closes.
    hang,    ///< Nothing is done, nothing is answered; until the other side leaves.
    close,   ///< Nothing is done, the connection is closed.
    lose,    ///< Done, but the connection is closed without an answer.
    cut,     ///< Done, but only half of the answer is sent.
    slow,    ///< Done, and answered a few bytes at a time.
  };
  Kind kind = Kind::answer;
  std::string path;  ///< Part of the path of those it is for; "" all.
  int times = 1;     ///< How many requests; -1 for ever.
  FakeAnswer answer{500, "<html><body>Internal Server Error</body></html>", "text/html", {}};
  int skip = 0;  ///< How many are left alone first.
};

struct FakeOptions {
  std::string version = "3.17.2";
  std::string prefix;  ///< "/mlf": as --static-prefix.
  std::string user;    ///< With a password: a login is needed, for /version too.
  std::string password;
  std::string token;
  bool workspaces = false;
  std::size_t body_limit = 0;  ///< Over it 413, as a proxy does; 0 none.
  /// "mlflow-artifacts:", a folder, "s3://bucket/…": where experiments keep their artifacts.
  std::string artifact_root = "mlflow-artifacts:";
  bool serve_artifacts = true;
  bool signs_urls = false;       ///< artifacts/presigned-upload-url, as for S3.
  bool multipart = false;        ///< mlflow-artifacts/mpu, to a bucket; else 501.
  std::size_t history_page = 0;  ///< At most so many points a page; 0: as asked.
  bool duplicates_fail = false;  ///< Old: over 100 keys with one point that is there fail.
  bool ipv6 = false;
  std::string tls_certificate;  ///< PEM files: then it speaks https.
  std::string tls_key;
  std::string tls_client_ca;  ///< Clients must show a certificate of this CA.
};

struct FakePoint {
  std::string key;
  double value = 0;  ///< 0 for a NaN.
  bool is_nan = false;
  std::int64_t time_ms = 0;
  std::int64_t step = 0;
  friend auto operator<=>(const FakePoint&, const FakePoint&) = default;
};

struct FakeExperiment {
  std::string name;
  bool deleted = false;
  std::map<std::string, std::string> tags;
};

struct FakeRun {
  std::string id;
  std::string experiment_id;
  std::string name;
  std::string status = "RUNNING";
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;
  bool deleted = false;
  std::map<std::string, std::string> params;
  std::map<std::string, std::string> tags;
  std::vector<FakePoint> points;                 ///< In the order of arrival.
  std::map<std::string, nlohmann::json> inputs;  ///< By the dataset's name and digest.
  std::map<std::string, std::int64_t> outputs;   ///< Model and step.
};

struct FakeModel {
  std::string id;
  std::string name;
  std::string experiment_id;
  std::string run_id;
  std::string status = "LOGGED_MODEL_PENDING";
  std::map<std::string, std::string> params;
  std::map<std::string, std::string> tags;
  std::vector<nlohmann::json> metrics;  ///< As they came: key, value, dataset_name, …
};

struct FakeVersion {
  std::string source;
  std::string run_id;
  std::string model_id;
  std::map<std::string, std::string> tags;
};

struct FakeRegistered {
  std::vector<FakeVersion> versions;  ///< "1" first.
  std::map<std::string, std::string> aliases;
};

struct FakeFile {
  std::string content;
  std::uint64_t size = 0;
};

struct FakeData {
  std::map<std::string, FakeExperiment> experiments;  ///< By id.
  std::vector<FakeRun> runs;                          ///< In the order of creation.
  std::vector<FakeModel> models;
  std::map<std::string, FakeRegistered> registered;
  std::map<std::string, FakeFile> artifacts;  ///< "1/<run>/artifacts/a.txt"
  std::map<std::string, FakeFile> bucket;     ///< Of S3: "bucket/key".
  int uploads_aborted = 0;                    ///< Of those in parts.
  int next_id = 1;

  FakeRun* run(const std::string& id);
  FakeModel* model(const std::string& id);
};

class FakeMlflow {
 public:
  explicit FakeMlflow(FakeOptions options = {});
  ~FakeMlflow();
  FakeMlflow(const FakeMlflow&) = delete;
  FakeMlflow& operator=(const FakeMlflow&) = delete;

  std::string uri() const;
  /// Adds a fault; the first that fits a request is taken.
  void fail(FakeFault fault);
  void heal();  ///< Forgets all faults. What hangs goes on hanging.
  FakeData data() const;
  void edit(const std::function<void(FakeData&)>& change);
  std::vector<FakeRequest> requests() const;
  /// How many requests there were whose path holds this.
  std::size_t count(const std::string& path) const;
  void forget_requests();
  /// Waits until count(path) is at least `n`; false after ten seconds.
  bool wait_for(const std::string& path, std::size_t n) const;
  /// The server goes away, with all connections, and comes back at the same port.
  void stop();
  void start();
  /// Looked at before faults and the usual: an answer of the test's own.
  std::function<std::optional<FakeAnswer>(const FakeRequest&)> intercept;

 private:
  struct Connection;
  void accept_all();
  void serve(Connection& connection, int number);
  bool talk(Connection& connection, int number);
  bool read_body(Connection& connection, std::string& buffer, FakeRequest& request);
  std::optional<FakeFault> next_fault(const FakeRequest& request);
  FakeAnswer usual(const FakeRequest& request);
  std::optional<FakeAnswer> turned_away(const FakeRequest& request) const;
  void send(Connection& connection, const FakeAnswer& answer, FakeFault::Kind kind);

  const FakeOptions options_;
  std::shared_ptr<void> tls_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  FakeData data_;
  std::vector<FakeRequest> requests_;
  std::vector<FakeFault> faults_;
  std::list<Connection> connections_;
  int listener_ = -1;
  int port_ = 0;
  int connection_count_ = 0;
  std::thread acceptor_;
};

/// The MLflow behind it: what one request does and is answered (fake_mlflow_api.cpp).
FakeAnswer answer_of(const FakeOptions& options, const std::string& base_uri, FakeData& data,
                     const FakeRequest& request);

}  // namespace cifarpipe::testing
