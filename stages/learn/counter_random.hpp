// Random numbers without a state: each draw is a pure function of a key and a counter, so that a
// resumed, reordered or parallel computation draws the same. SplitMix64 with random access.
// Values only: any thread.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace cifarpipe::learn {

/// What a key is for: two purposes never share draws. The numbers are part of what a seed means;
/// do not change them.
enum class Purpose : std::uint64_t {
  weights = 1,
  shuffle = 2,
  augment = 3,
  dropout = 4,
  colour = 5,  ///< Cutout and colour jitter.
  mix = 6,     ///< Mixup and cutmix.
  mirror = 7,  ///< Which images alternating flips begin with.
};

inline constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;

/// The finaliser of SplitMix64: every input bit changes every output bit with probability 1/2.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// A stream of draws, addressed by a counter.
class CounterRandom {
 public:
  /// `a` and `b` tell streams of one purpose apart: an epoch, a step, a layer.
  constexpr CounterRandom(std::uint64_t seed, Purpose purpose, std::uint64_t a = 0,
                          std::uint64_t b = 0)
      : key_(mix_bits(seed + kGolden)) {
    for (const std::uint64_t part : {static_cast<std::uint64_t>(purpose), a, b}) {
      key_ = mix_bits((key_ ^ part) + kGolden);
    }
  }

  constexpr std::uint64_t key() const { return key_; }
  /// 64 uniform bits.
  constexpr std::uint64_t bits(std::uint64_t counter) const {
    return mix_bits(key_ + (counter + 1) * kGolden);
  }
  /// Uniform in [0, bound); its bias is below 2^-32 for bounds that fit in 32 bits.
  constexpr std::uint64_t below(std::uint64_t counter, std::uint64_t bound) const {
    return static_cast<std::uint64_t>((static_cast<Wide>(bits(counter)) * bound) >> 64);
  }
  /// Uniform in [0, 1), with 53 bits.
  constexpr double unit(std::uint64_t counter) const {
    return static_cast<double>(bits(counter) >> 11) * 0x1p-53;
  }

 private:
  __extension__ using Wide = unsigned __int128;
  std::uint64_t key_;
};

}  // namespace cifarpipe::learn
