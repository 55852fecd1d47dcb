// Times and amounts as people read them: in tables, in progress, in reports and on MLflow's pages.
// Values only: any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cifarpipe {

/// "485 ms", "9.4 s", "9 min 25 s", "2 h 05 min"; nothing negative.
std::string duration_text(std::int64_t ms);
/// "0.812", "3.1e-05", "nan": four significant digits.
std::string figure_text(double value);
/// "812 kB", "950 MB", "1.25 GB": powers of ten.
std::string bytes_text(std::int64_t bytes);
/// "1 file", "2 files": for a word whose plural has an s.
std::string counted(std::size_t count, std::string_view word);
/// "2026-11-23 14:02:33 UTC", of milliseconds since 1970.
std::string time_text(std::int64_t ms);

}  // namespace cifarpipe
