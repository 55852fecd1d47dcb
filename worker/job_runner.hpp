// One job in a worker: load the plugin, make the numerics what the order says, run the stage, make
// its outputs durable and hash them. Whatever happens becomes one event. Stage's thread.
#pragma once

#include <stop_token>

#include "pipeline/metric_ring.hpp"
#include "plugins/loader.hpp"
#include "worker/context.hpp"

namespace cifarpipe {

/// Sends done, failed or interrupted; never throws.
void run_job(const JobOrder& order, PluginLoader& loader, RingWriter& ring, EventSender& sender,
             std::stop_token stop);

}  // namespace cifarpipe
