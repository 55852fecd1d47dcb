// A fixed matrix product whose bits tell which BLAS computed it: OpenBLAS and MKL add in different
// orders. Shared by a program that links libtorch alone and by a stage that brings OpenCV along.
#pragma once

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cstring>
#include <string>

inline std::string product_bits() {
  at::set_num_threads(1);
  const auto numbers = [](std::int64_t n, float scale) {
    at::Tensor t = at::empty({n * n});
    auto* data = t.data_ptr<float>();
    std::uint32_t state = 12345;
    for (std::int64_t i = 0; i < n * n; ++i) {
      state = state * 1664525u + 1013904223u;
      data[i] = scale * static_cast<float>(state >> 8) / 16777216.0f - 0.4f;
    }
    return t.reshape({n, n});
  };
  const at::Tensor product = at::mm(numbers(317, 1.0f), numbers(317, 0.7f)).contiguous();
  std::uint64_t hash = 1469598103934665603ull;  // FNV-1a over the bits.
  const auto* bytes = static_cast<const unsigned char*>(product.const_data_ptr());
  for (std::size_t i = 0; i < static_cast<std::size_t>(product.numel()) * sizeof(float); ++i) {
    hash = (hash ^ bytes[i]) * 1099511628211ull;
  }
  return fmt::format("{:016x}", hash);
}
