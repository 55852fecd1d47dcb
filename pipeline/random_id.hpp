// Ids that no two runs, rings or work folders ever share. Any thread.
#pragma once

#include <cstdint>
#include <string>

namespace cifarpipe {

/// 32 hex digits from the kernel's random generator.
std::string random_id();

/// Now, as UTC milliseconds since 1970.
std::int64_t now_ms();

/// "20261123-160412" for folder names, "2026-11-23T16:04:12.345Z" for logs; both UTC.
std::string folder_time(std::int64_t ms);
std::string log_time(std::int64_t ms);

}  // namespace cifarpipe
