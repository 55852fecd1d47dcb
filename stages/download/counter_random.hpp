// Random draws as a pure function of (seed, stream, counter): the same numbers on every machine and
// in any order of images. No std distributions: their results are not fixed by the standard.
// A Draws is a small value and belongs to one thread.
#pragma once

#include <cstdint>

namespace cifarpipe::download {

/// The finaliser of splitmix64: every bit of the input changes every bit of the output.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t stream)
      : key_(mix_bits(mix_bits(seed) ^ (stream * 0xd1342543de82ef95u))) {}

  std::uint64_t bits() { return mix_bits(key_ + 0x9e3779b97f4a7c15u * ++counter_); }

  /// Uniform in [0, n), by multiplication: the bias is below n / 2^32.
  int below(int n) {
    return static_cast<int>(((bits() >> 32) * static_cast<std::uint64_t>(n)) >> 32);
  }
  /// Uniform in [low, high].
  int between(int low, int high) { return low + below(high - low + 1); }
  /// True in `percent` of 100 cases.
  bool chance(int percent) { return below(100) < percent; }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

}  // namespace cifarpipe::download
