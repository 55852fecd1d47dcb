// Points, as the mirror sends them: a request at a time, each noted when it was acknowledged.
#include "tracking/mirror.hpp"
#include "tracking/mirror_rules.hpp"
#include "tracking/mlflow/names.hpp"

namespace cifarpipe {

using mlflow::CallError;
using mlflow::Failure;

namespace {

constexpr std::size_t kPointsOfARequest = 1000;

}  // namespace

void Mirror::send_points(const RunRow& run) {
  const std::string& id = run.record.id;
  const std::vector<PointSource> sources = points_.sources(run.record);
  MetricNames names(ledger_, id, client_.server().colons_in_keys);
  bool moved = false;
  if (options_.retry_parked && ledger_.item(id, "refused", "points")) {
    // From the beginning: what is there stays there once.
    for (const Parked& p : ledger_.parked(id)) {
      if (p.item.starts_with("metric ")) ledger_.unpark(id, p.item);
    }
    for (const PointSource& source : sources) {
      ledger_.set_mark(id, source.stage, {source.job, {}, 0});
    }
    for (const auto& mark : ledger_.items(id, "system")) {
      ledger_.drop_item(id, "system", mark.first);
    }
    ledger_.drop_item(id, "refused", "points");
  }
  for (const PointSource& source : sources) {
    for (bool more = true; more;) {
      const PointBatch batch = points_.next(id, source, names, kPointsOfARequest);
      if (batch.metrics.empty() && batch.held.empty()) break;
      send_metrics(id, batch.metrics);
      Transaction transaction = ledger_.transaction();
      ledger_.set_mark(id, source.stage, batch.mark);
      for (const HeldPoint& point : batch.held) ledger_.hold(id, point);
      transaction.commit();
      moved = true;
      more = batch.more;
    }
  }
  if (moved) send_held(run, sources, names);
  send_system_points(id, names);
}

void Mirror::send_system_points(const std::string& run_id, MetricNames& names) {
  for (bool more = true; more;) {
    const SystemBatch batch = points_.next_system(run_id, names, kPointsOfARequest);
    if (batch.metrics.empty()) return;
    send_metrics(run_id, batch.metrics);
    Transaction transaction = ledger_.transaction();
    for (const auto& mark : batch.marks) {
      ledger_.put_item(run_id, "system", mark.first, mark.second);
    }
    transaction.commit();
    more = batch.more;
  }
}

/// What is not finite, in MLflow: as points where a finite one follows, else as a tag.
void Mirror::send_held(const RunRow& run, const std::vector<PointSource>& sources,
                       MetricNames& names) {
  const std::string& id = run.record.id;
  for (bool more = true; more;) {
    const PointBatch batch = points_.released(id, sources, names, kPointsOfARequest);
    if (batch.metrics.empty()) break;
    send_metrics(id, batch.metrics);
    Transaction transaction = ledger_.transaction();
    for (const HeldPoint& point : batch.held) ledger_.let_go(id, point);
    transaction.commit();
    more = batch.more;
  }
  const std::string text = mirror::nonfinite_text(points_.held(id));
  const std::string digest = mirror::digest_of(text);
  const auto known = ledger_.item(id, "held", mirror::kNonfiniteTag);
  if (known ? *known == digest : text.empty()) return;
  const std::string& remote = remotes_.at(id).id;
  const auto tag = mlflow::fit_tags({{mirror::kNonfiniteTag, text}}, client_.server()).pairs;
  if (!guarded(id, "tags", digest, [&] {
        if (text.empty()) client_.delete_tag(remote, mirror::kNonfiniteTag);
        if (!text.empty()) client_.log_batch(remote, {}, {}, tag);
      })) {
    return;
  }
  if (text.empty()) return ledger_.drop_item(id, "held", mirror::kNonfiniteTag);
  ledger_.put_item(id, "held", mirror::kNonfiniteTag, digest);
}

/// All of them or, where one is refused, all others: halves, until it is found.
void Mirror::send_metrics(const std::string& run_id, std::vector<mlflow::Metric> metrics) {
  std::erase_if(metrics, [&](const mlflow::Metric& metric) {
    return !options_.retry_parked && ledger_.is_parked(run_id, "metric " + metric.key, "");
  });
  if (metrics.empty()) return;
  const std::string& remote = remotes_.at(run_id).id;
  try {
    client_.log_batch(remote, metrics);
    counts_.points += static_cast<std::int64_t>(metrics.size());
    return sent(run_id);
  } catch (const CallError& error) {
    if (error.failure() != Failure::refused && error.failure() != Failure::missing) throw;
    check_there(run_id);
    if (metrics.size() == 1) {
      const std::string item = "metric " + metrics.front().key;
      ledger_.put_item(run_id, "refused", "points", "");
      return refused(run_id, item, "", error.what(), mirror::way_out(item, error));
    }
  }
  const auto middle = metrics.begin() + static_cast<std::ptrdiff_t>(metrics.size() / 2);
  send_metrics(run_id, {metrics.begin(), middle});
  send_metrics(run_id, {middle, metrics.end()});
}

}  // namespace cifarpipe
