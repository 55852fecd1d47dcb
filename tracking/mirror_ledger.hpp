// What each server has acknowledged of each run, in the store's database: what makes sending it
// again harmless and sending the rest possible. SQL only; who sends, and what, is mirror.hpp's
// business. Writes are short transactions, durable when they return. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/recorder.hpp"
#include "tracking/database.hpp"

namespace cifarpipe {

/// Something that a server refuses for good. It is not tried again before something about it, or
/// about the server, has changed.
struct Parked {
  std::string run_id;
  std::string run;      ///< Its name.
  std::string item;     ///< "parameter train.lr", "artifact model.onnx", …
  std::string reason;   ///< A sentence.
  std::string way_out;  ///< What a person can do, or "".
  std::int64_t time_ms = 0;
};

/// A point's place among those of its job.
struct PointPlace {
  std::int64_t attempt = 0;
  std::int64_t sequence = 0;
  friend auto operator<=>(const PointPlace&, const PointPlace&) = default;
};

/// A run as one server has it.
struct MirroredRun {
  bool creating = false;  ///< A create was asked for; whether it took place is unknown.
  std::string experiment_id;
  std::string remote_id;  ///< "" while creating.
  std::string head;       ///< Digest of the status, end and name that it has there.
  std::string content;    ///< Digest of what all else was made from, when all of it was there.
  bool deleted = false;   ///< Deleted there, by us.
  std::optional<std::int64_t> doubtful_ms;  ///< Since when there may be a second one.
};

/// How far the points of a stage have been sent, for one of the jobs that it pointed to.
struct StageMark {
  std::int64_t job = 0;
  PointPlace place;
  std::int64_t newest = 0;  ///< The job's newest attempt then.
};

/// A point that is not finite and was passed over (mirror_points.hpp).
struct HeldPoint {
  std::string stage;
  std::int64_t job = 0;
  PointPlace place;
};

class MirrorLedger {
 public:
  /// Looks for the server that is known by this address; makes no row.
  MirrorLedger(Database& db, std::string uri);

  bool known() const { return server_ != 0; }
  const std::string& uri() const { return uri_; }
  std::int64_t server() const { return server_; }
  const std::string& version() const { return version_; }  ///< When it was last seen.
  /// It answered: makes or renews its row.
  void seen(const std::string& version, std::int64_t now_ms);

  std::optional<MirroredRun> run(const std::string& run_id);
  void begin_create(const std::string& run_id, const std::string& experiment_id);
  void doubt(const std::string& run_id, std::optional<std::int64_t> since_ms);
  void created(const std::string& run_id, const std::string& remote_id);
  void set_head(const std::string& run_id, const std::string& digest);
  void set_content(const std::string& run_id, const std::string& digest);
  void set_deleted(const std::string& run_id, bool deleted);
  /// As if nothing had ever been sent of it: the next time it is sent from the beginning.
  void forget(const std::string& run_id);

  /// Things that are there, of one kind ("param", "tag", "artifact", …): name → digest.
  std::map<std::string, std::string> items(const std::string& run_id, const char* kind);
  std::optional<std::string> item(const std::string& run_id, const char* kind,
                                  const std::string& name);
  void put_item(const std::string& run_id, const char* kind, const std::string& name,
                const std::string& digest);
  void drop_item(const std::string& run_id, const char* kind, const std::string& name);

  std::vector<StageMark> marks(const std::string& run_id, const std::string& stage);  ///< By turn.
  void set_mark(const std::string& run_id, const std::string& stage, const StageMark& mark);
  void forget_marks(const std::string& run_id);

  std::vector<HeldPoint> held(const std::string& run_id);
  void hold(const std::string& run_id, const HeldPoint& point);
  void let_go(const std::string& run_id, const HeldPoint& point);

  void park(const std::string& run_id, const std::string& item, const std::string& digest,
            const std::string& reason, const std::string& way_out, std::int64_t now_ms);
  /// Whether this very thing is parked; another digest is another thing.
  bool is_parked(const std::string& run_id, const std::string& item, const std::string& digest);
  void unpark(const std::string& run_id, const std::string& item);
  std::vector<Parked> parked(const std::string& run_id);

  /// For several of the above in one commit.
  Transaction transaction() { return Transaction(db_); }

 private:
  Statement& prepared(const char* sql);

  Database& db_;
  std::string uri_;
  std::int64_t server_ = 0;
  std::string version_;
  std::map<std::string, Statement, std::less<>> statements_;
};

}  // namespace cifarpipe
