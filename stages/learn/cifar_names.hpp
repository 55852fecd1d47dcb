// The names of CIFAR-10's classes in their official order: the archive's long ones and the short
// ones that the reference program shows, which datasets have here. Values only: any thread.
#pragma once

#include <array>
#include <string_view>

namespace cifarpipe::learn {

inline constexpr std::array<std::string_view, 10> kCifar10LongNames = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
inline constexpr std::array<std::string_view, 10> kCifar10ShortNames = {
    "plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

}  // namespace cifarpipe::learn
