// The parameters `device` and `precision`, which the stages that compute with networks share.
// Values only: any thread.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "pipeline/stage.hpp"

namespace cifarpipe {

/// Adds both to a schema. The plan has made the wishes concrete before a stage runs.
template <class P>
void add_device_and_precision(Schema<P>& schema, std::string P::*device,
                              std::string P::*precision) {
  schema
      .field(
          "device", device,
          "cpu; cuda = the first NVIDIA GPU, cuda:1 = the second; auto = a GPU where there is one "
          "and libtorch knows it, else cpu.")
      .one_of({"auto", "cpu", "cuda", "cuda:N"})
      .field("precision", precision,
             "fp32; bf16 = convolutions and matrix products in bfloat16; fp16 = the same in half "
             "precision, on GPUs, gradients scaled; auto = bf16 where it is fast, else fp32.")
      .one_of({"fp32", "bf16", "fp16", "auto"})
      .rule({Param("precision") == "fp16"}, {Param("device") != "cpu"},
            "precision = \"fp16\" is for GPUs; a processor is quicker and safer in bf16");
}

/// Where a stage computes. `wish` is its parameter `device`: the plan's numerics name the kind of
/// GPU and not its number.
c10::Device compute_device(const Numerics& numerics, const std::string& wish);

/// To be told StageContext::not_deterministic where it computes on a GPU; else empty.
std::string why_not_deterministic(c10::Device device);

}  // namespace cifarpipe
