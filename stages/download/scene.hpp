// Draws one synthetic image: a shape of some size, place, angle, colour and texture on a
// background, with specks and lines that say nothing about the class, and noise. Whole numbers
// only, so every machine draws the same bytes. Pure function: any thread.
#pragma once

#include <array>
#include <cstdint>

namespace cifarpipe::download {

inline constexpr int kSceneSide = 32;
/// Three planes (red, green, blue) of 32 x 32, as in CIFAR's binary files.
using ScenePixels = std::array<std::uint8_t, 3 * kSceneSide * kSceneSide>;

/// The image number `index` with the shape `label`, of the family of images of `seed`.
ScenePixels draw_scene(std::uint64_t seed, std::uint64_t index, int label);

}  // namespace cifarpipe::download
