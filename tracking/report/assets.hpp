// The style and the script of reports.
#pragma once

#include <string_view>

namespace cifarpipe::report {

extern const std::string_view kStyle;
extern const std::string_view kScript;

}  // namespace cifarpipe::report
