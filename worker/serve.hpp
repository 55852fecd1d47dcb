// The worker's life: one job after the other from the supervisor's socket until it closes.
#pragma once

namespace cifarpipe {

/// `cifarpipe-worker RING PARENT_PID MEMORY_LIMIT`, as the supervisor calls it, with the socket at
/// descriptor kWorkerSocket. The process's exit code.
int serve(char** arguments);

}  // namespace cifarpipe
