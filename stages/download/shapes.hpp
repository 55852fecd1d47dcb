// The ten classes of the synthetic data as outlines in whole numbers, and a sine table for turning
// them. Pure functions: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace cifarpipe::download {

/// A label is an index into these.
inline constexpr std::array<std::string_view, 10> kShapeNames = {
    "disc",  "ring",     "square", "triangle", "star",
    "cross", "crescent", "heart",  "arrow",    "hourglass"};

/// Lengths in a shape's own coordinates: its outline lies roughly within a circle of this radius.
inline constexpr int kShapeUnit = 1024;
/// No shape reaches further than this from its centre.
inline constexpr int kShapeReach = 1280;

/// Whether the point (u, v), v pointing down, lies inside the shape with this label.
bool inside_shape(int label, int u, int v);

/// 16384 times sine and cosine of `angle` / 256 of a turn; any angle.
int sine(int angle);
int cosine(int angle);

}  // namespace cifarpipe::download
