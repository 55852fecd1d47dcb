#include "stages/learn/fused_norm.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

namespace cifarpipe::learn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kBlock = 1 << 14;  // elements of a block, about: it stays in a core's cache

std::int64_t rows_a_block(std::int64_t row_elements) {
  return std::max<std::int64_t>(1, kBlock / std::max<std::int64_t>(1, row_elements));
}

/// Calls `work(begin, end)` for blocks of rows, on all threads.
template <class Work>
void each_block(std::int64_t rows, std::int64_t row_elements, const Work& work) {
  const std::int64_t size = rows_a_block(row_elements);
  const std::int64_t blocks = (rows + size - 1) / size;
  at::parallel_for(0, blocks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b) work(b * size, std::min(rows, (b + 1) * size));
  });
}

/// Sums over all rows: each block adds up by itself in float, then all blocks in their order in
/// double. `work(begin, end, sums)` adds a block's.
template <class Work>
std::vector<double> sum_blocks(std::int64_t rows, std::int64_t row_elements, std::int64_t numbers,
                               const Work& work) {
  const std::int64_t size = rows_a_block(row_elements);
  const std::int64_t blocks = (rows + size - 1) / size;
  std::vector<float> parts(static_cast<std::size_t>(blocks * numbers));
  each_block(rows, row_elements, [&](std::int64_t begin, std::int64_t end) {
    work(begin, end, parts.data() + begin / size * numbers);
  });
  std::vector<double> sums(static_cast<std::size_t>(numbers));
  const float* part = parts.data();
  for (std::int64_t b = 0; b < blocks; ++b) {
    for (auto& sum : sums) sum += static_cast<double>(*part++);
  }
  return sums;
}

at::Tensor channels_last(const at::Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor empty_output(const at::Tensor& x, std::int64_t height, std::int64_t width) {
  return at::empty({x.size(0), x.size(1), height, width}, x.options(),
                   at::MemoryFormat::ChannelsLast);
}

/// Numbers a channel that a pass needs; kept from forward to backward.
struct Channels {
  explicit Channels(std::int64_t channels)
      : scale(at::empty({channels}, at::kFloat)),
        shift(at::empty({channels}, at::kFloat)),
        pivot(at::empty({channels}, at::kFloat)),
        mean(at::empty({channels}, at::kDouble)),
        inverse(at::empty({channels}, at::kDouble)) {}
  at::Tensor scale;
  at::Tensor shift;
  at::Tensor pivot;
  at::Tensor mean;     ///< Of x as it is: without the convolution's bias.
  at::Tensor inverse;  ///< 1 / sqrt(variance + epsilon)
};

NormPass make_pass(const at::Tensor& x, const at::Tensor& residual, const NormSettings& settings,
                   const Channels& channels) {
  NormPass pass;
  pass.x = x.const_data_ptr();
  if (residual.defined()) pass.residual = residual.const_data_ptr();
  pass.channels = x.size(1);
  pass.height = x.size(2);
  pass.width = x.size(3);
  pass.scale = channels.scale.const_data_ptr<float>();
  pass.shift = channels.shift.const_data_ptr<float>();
  pass.pivot = channels.pivot.const_data_ptr<float>();
  pass.activation = settings.activation;
  pass.pool = settings.pool;
  pass.dropout_key = settings.dropout_key;
  pass.dropout_threshold = static_cast<std::uint32_t>(std::lround(settings.dropout * 65536));
  return pass;
}

const FusedKernels& kernels_for(const at::Tensor& x) {
  return fused_kernels(x.scalar_type() == at::kBFloat16);
}

/// Sets mean, inverse and pivot from the batch and moves the running statistics as PyTorch does:
/// with the unbiased variance, and with the bias that the convolution would have added.
void batch_statistics(const at::Tensor& x, const NormTensors& norm, const NormSettings& settings,
                      Channels& to) {
  const std::int64_t channels = x.size(1);
  const std::int64_t rows = x.size(0) * x.size(2);
  // The first pixel is near enough to the mean.
  to.pivot.copy_(x.select(0, 0).select(1, 0).select(1, 0));
  const NormPass pass = make_pass(x, {}, settings, to);
  const auto sums = sum_blocks(rows, x.size(3) * channels, 2 * channels,
                               [&](std::int64_t begin, std::int64_t end, float* part) {
                                 kernels_for(x).statistics(pass, begin, end, part);
                               });
  const auto count = static_cast<double>(rows * x.size(3));
  auto* mean = to.mean.mutable_data_ptr<double>();
  auto* inverse = to.inverse.mutable_data_ptr<double>();
  auto* running_mean = norm.running_mean.mutable_data_ptr<float>();
  auto* running_var = norm.running_var.mutable_data_ptr<float>();
  const float* bias = norm.conv_bias.defined() ? norm.conv_bias.const_data_ptr<float>() : nullptr;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double shifted = sums[static_cast<std::size_t>(c)] / count;
    const double squares = sums[static_cast<std::size_t>(channels + c)] / count;
    // std::max would hide a NaN.
    double variance = squares - shifted * shifted;
    if (variance < 0) variance = 0;
    mean[c] = shifted + static_cast<double>(pass.pivot[c]);
    inverse[c] = 1 / std::sqrt(variance + settings.epsilon);
    const double full_mean = mean[c] + (bias == nullptr ? 0 : static_cast<double>(bias[c]));
    const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
    const auto moved = [&](float old, double now) {
      return static_cast<float>((1 - settings.momentum) * static_cast<double>(old) +
                                settings.momentum * now);
    };
    running_mean[c] = moved(running_mean[c], full_mean);
    running_var[c] = moved(running_var[c], unbiased);
  }
}

void running_statistics(const NormTensors& norm, const NormSettings& settings, Channels& to) {
  const float* bias = norm.conv_bias.defined() ? norm.conv_bias.const_data_ptr<float>() : nullptr;
  for (std::int64_t c = 0; c < norm.weight.size(0); ++c) {
    const auto mean = static_cast<double>(norm.running_mean.const_data_ptr<float>()[c]);
    const auto variance = static_cast<double>(norm.running_var.const_data_ptr<float>()[c]);
    to.mean.mutable_data_ptr<double>()[c] = mean - (bias ? static_cast<double>(bias[c]) : 0);
    to.inverse.mutable_data_ptr<double>()[c] = 1 / std::sqrt(variance + settings.epsilon);
    to.pivot.mutable_data_ptr<float>()[c] = static_cast<float>(mean);
  }
}

/// x * scale + shift = (x - mean) * inverse * weight + bias
void set_scale(const NormTensors& norm, Channels& to) {
  for (std::int64_t c = 0; c < norm.weight.size(0); ++c) {
    const double scale = static_cast<double>(norm.weight.const_data_ptr<float>()[c]) *
                         to.inverse.const_data_ptr<double>()[c];
    to.scale.mutable_data_ptr<float>()[c] = static_cast<float>(scale);
    to.shift.mutable_data_ptr<float>()[c] =
        static_cast<float>(static_cast<double>(norm.bias.const_data_ptr<float>()[c]) -
                           to.mean.const_data_ptr<double>()[c] * scale);
  }
}

at::Tensor transform(const at::Tensor& x, const at::Tensor& residual, const NormSettings& settings,
                     const Channels& channels) {
  NormPass pass = make_pass(x, residual, settings, channels);
  at::Tensor y = empty_output(x, pass.out_height(), pass.out_width());
  pass.y = y.mutable_data_ptr();
  each_block(
      x.size(0) * pass.out_height(), pass.width * pass.channels * (pass.pool ? 2 : 1),
      [&](std::int64_t begin, std::int64_t end) { kernels_for(x).forward(pass, begin, end); });
  return y;
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& maybe_residual,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const std::optional<at::Tensor>& conv_bias, const NormTensors& norm,
                            const NormSettings& settings) {
    const at::Tensor residual = maybe_residual.value_or(at::Tensor());
    Channels channels(x.size(1));
    if (settings.batch_statistics) {
      batch_statistics(x, norm, settings, channels);
    } else {
      running_statistics(norm, settings, channels);
    }
    set_scale(norm, channels);
    context->save_for_backward({x, residual, weight});
    for (const auto& [name, tensor] : {std::pair{"scale", channels.scale},
                                       {"shift", channels.shift},
                                       {"pivot", channels.pivot},
                                       {"mean", channels.mean},
                                       {"inverse", channels.inverse}}) {
      context->saved_data[name] = tensor;
    }
    context->saved_data["batch"] = settings.batch_statistics;
    context->saved_data["activation"] = static_cast<std::int64_t>(settings.activation);
    context->saved_data["pool"] = settings.pool;
    context->saved_data["dropout"] = settings.dropout;
    context->saved_data["key"] = static_cast<std::int64_t>(settings.dropout_key);
    context->saved_data["conv_bias"] = conv_bias.has_value();
    static_cast<void>(bias);
    return transform(x, residual, settings, channels);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &residual = saved[1], &weight = saved[2];
    Channels channels(0);
    for (const auto& [name, tensor] : {std::pair{"scale", &channels.scale},
                                       {"shift", &channels.shift},
                                       {"pivot", &channels.pivot},
                                       {"mean", &channels.mean},
                                       {"inverse", &channels.inverse}}) {
      *tensor = context->saved_data[name].toTensor();
    }
    NormSettings settings;
    settings.batch_statistics = context->saved_data["batch"].toBool();
    settings.activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    settings.pool = context->saved_data["pool"].toBool();
    settings.dropout = context->saved_data["dropout"].toDouble();
    settings.dropout_key = static_cast<std::uint64_t>(context->saved_data["key"].toInt());

    const at::Tensor gradient = channels_last(gradients[0]);
    at::Tensor x_gradient = at::empty_like(x);
    at::Tensor residual_gradient = residual.defined() ? at::empty_like(residual) : at::Tensor();
    at::Tensor weight_gradient = at::empty_like(weight);
    at::Tensor bias_gradient = at::empty_like(weight);
    NormPass pass = make_pass(x, residual, settings, channels);
    pass.gradient = gradient.const_data_ptr();
    pass.x_gradient = x_gradient.mutable_data_ptr();
    if (residual.defined()) pass.residual_gradient = residual_gradient.mutable_data_ptr();
    spread(pass, x, channels, settings.batch_statistics, weight_gradient, bias_gradient);
    at::Tensor conv_bias_gradient;
    if (context->saved_data["conv_bias"].toBool()) {
      // With running statistics a bias moves the output as shift does.
      conv_bias_gradient = settings.batch_statistics ? at::zeros_like(weight)
                                                     : at::mul(bias_gradient, channels.scale);
    }
    return {x_gradient, residual_gradient, weight_gradient, bias_gradient, conv_bias_gradient, {},
            {}};
  }

  /// Both passes. With the batch's statistics, for M values a channel and h = (x - mean) inverse:
  ///   dx = scale (dv - sum(dv) / M - h sum(dv h) / M)
  static void spread(const NormPass& pass, const at::Tensor& x, const Channels& channels,
                     bool batch, at::Tensor& weight_gradient, at::Tensor& bias_gradient) {
    const std::int64_t rows = x.size(0) * pass.out_height();
    const std::int64_t row_elements = pass.width * pass.channels * (pass.pool ? 2 : 1);
    const auto sums = sum_blocks(rows, row_elements, 2 * pass.channels,
                                 [&](std::int64_t begin, std::int64_t end, float* part) {
                                   kernels_for(x).reduce(pass, begin, end, part);
                                 });
    const auto size = static_cast<std::size_t>(pass.channels);
    const auto count = static_cast<double>(x.size(0) * pass.height * pass.width);
    std::vector<float> a(size), b(size), d(size);
    for (std::size_t c = 0; c < size; ++c) {
      const double mean = channels.mean.const_data_ptr<double>()[c];
      const double inverse = channels.inverse.const_data_ptr<double>()[c];
      const auto scale = static_cast<double>(pass.scale[c]);
      const double sum = sums[c];
      const double product =
          (sums[size + c] + (static_cast<double>(pass.pivot[c]) - mean) * sum) * inverse;
      bias_gradient.mutable_data_ptr<float>()[c] = static_cast<float>(sum);
      weight_gradient.mutable_data_ptr<float>()[c] = static_cast<float>(product);
      a[c] = pass.scale[c];
      if (!batch) continue;
      b[c] = static_cast<float>(-scale * inverse * product / count);
      d[c] = static_cast<float>(scale * (mean * inverse * product - sum) / count);
    }
    const NormGradient gradient{a.data(), b.data(), d.data()};
    each_block(rows, row_elements, [&](std::int64_t begin, std::int64_t end) {
      kernels_for(x).backward(pass, gradient, begin, end);
    });
  }
};

struct PoolFunction : torch::autograd::Function<PoolFunction> {
  static PoolPass make(const at::Tensor& x, std::int64_t kernel) {
    PoolPass pass;
    pass.x = x.const_data_ptr();
    pass.channels = x.size(1);
    pass.height = x.size(2);
    pass.width = x.size(3);
    pass.kernel = kernel;
    return pass;
  }
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, std::int64_t kernel) {
    context->save_for_backward({x});
    context->saved_data["kernel"] = kernel;
    PoolPass pass = make(x, kernel);
    at::Tensor y = empty_output(x, pass.height / kernel, pass.width / kernel);
    pass.y = y.mutable_data_ptr();
    each_block(y.size(0) * y.size(2), kernel * pass.width * pass.channels,
               [&](std::int64_t begin, std::int64_t end) {
                 kernels_for(x).pool_forward(pass, begin, end);
               });
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    PoolPass pass = make(x, context->saved_data["kernel"].toInt());
    const at::Tensor gradient = channels_last(gradients[0]);
    const bool covered = pass.height % pass.kernel == 0 && pass.width % pass.kernel == 0;
    at::Tensor x_gradient = covered ? at::empty_like(x) : at::zeros_like(x);
    pass.gradient = gradient.const_data_ptr();
    pass.x_gradient = x_gradient.mutable_data_ptr();
    each_block(gradient.size(0) * gradient.size(2), pass.kernel * pass.width * pass.channels,
               [&](std::int64_t begin, std::int64_t end) {
                 kernels_for(x).pool_backward(pass, begin, end);
               });
    return {x_gradient, {}};
  }
};

}  // namespace

at::Tensor fused_norm(const at::Tensor& x, const at::Tensor& residual, const NormTensors& norm,
                      const NormSettings& settings) {
  const at::Tensor dense = channels_last(x);
  std::optional<at::Tensor> added;
  if (residual.defined()) added = channels_last(residual.to(x.scalar_type()));
  std::optional<at::Tensor> conv_bias;
  if (norm.conv_bias.defined()) conv_bias = norm.conv_bias;
  return NormFunction::apply(dense, added, norm.weight, norm.bias, conv_bias, norm, settings);
}

at::Tensor fused_max_pool(const at::Tensor& x, std::int64_t kernel) {
  return PoolFunction::apply(channels_last(x), kernel);
}

const FusedKernels& fused_kernels(bool bf16) {
#if defined(__x86_64__)
  static const int level = __builtin_cpu_supports("avx512bw") &&
                                   __builtin_cpu_supports("avx512dq") &&
                                   __builtin_cpu_supports("avx512vl")
                               ? 2
                           : __builtin_cpu_supports("avx2") ? 1
                                                            : 0;
  if (level == 2) return avx512::kernels(bf16);
  if (level == 1) return avx2::kernels(bf16);
#endif
  return baseline::kernels(bf16);
}

}  // namespace cifarpipe::learn
