#include "stages/recipe/compute_device.hpp"

#include <cstdlib>

namespace cifarpipe {

c10::Device compute_device(const Numerics& numerics, const std::string& wish) {
  if (numerics.device == "cpu") return c10::kCPU;
  const std::string prefix = "cuda:";
  const int index = wish.starts_with(prefix) ? std::atoi(wish.c_str() + prefix.size()) : 0;
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

std::string why_not_deterministic(c10::Device device) {
  if (device.is_cpu()) return "";
  return "on a GPU the gradients of max pooling are summed up in no fixed order";
}

}  // namespace cifarpipe
