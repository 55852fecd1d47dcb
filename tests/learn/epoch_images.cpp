#include "stages/learn/epoch_images.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(epoch_images)

/// Plainly: the mean about a place, weighted by a triangle as wide as two pixels of the result.
double expected(const std::uint8_t* image, const ImageSize& own, std::int64_t channels,
                const ImageSize& size, std::int64_t y, std::int64_t x, std::int64_t c) {
  const auto weight = [](std::int64_t from, std::int64_t to, std::int64_t own_side,
                         std::int64_t side) {
    const double scale = static_cast<double>(own_side) / static_cast<double>(side);
    const double middle = (static_cast<double>(to) + 0.5) * scale;
    return std::max(0.0, 1 - std::abs((static_cast<double>(from) + 0.5 - middle) / scale));
  };
  double sum = 0;
  double weights = 0;
  for (std::int64_t v = 0; v < own.height; ++v) {
    for (std::int64_t u = 0; u < own.width; ++u) {
      const double w = weight(v, y, own.height, size.height) * weight(u, x, own.width, size.width);
      sum += w * image[(v * own.width + u) * channels + c];
      weights += w;
    }
  }
  return sum / weights;
}

BOOST_AUTO_TEST_CASE(each_pixel_is_the_mean_about_its_place) {
  const ImageSize own{12, 9};
  for (const std::int64_t channels : {1, 3, 4}) {
    DatasetInfo info = small_info();
    info.height = own.height;
    info.width = own.width;
    info.channels = channels;
    constexpr std::int64_t kCount = 1030;  // More than a block.
    const CounterRandom random(3, Purpose::shuffle, 1);
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kCount * info.image_bytes()));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
    }
    SplitView split;
    split.count = kCount;
    split.images = pixels;
    const ImageSize size = size_with(own, 7);
    BOOST_TEST((size == ImageSize{7, 5}));
    const auto made = resized_images(split, info, size);
    BOOST_REQUIRE(made.size() == static_cast<std::size_t>(kCount * 7 * 5 * channels));
    double worst = 0;
    for (const std::int64_t image : {0L, 1023L, 1024L, kCount - 1}) {
      for (std::int64_t i = 0; i < 7 * 5 * channels; ++i) {
        const double want = expected(pixels.data() + image * info.image_bytes(), own, channels,
                                     size, i / channels / 5, i / channels % 5, i % channels);
        const auto at = static_cast<std::size_t>(image * 7 * 5 * channels + i);
        worst = std::max(worst, std::abs(want - made[at]));
      }
    }
    BOOST_TEST(worst <= 1.01, channels << " channels: " << worst);  // Rounded once a direction.
  }
}

BOOST_AUTO_TEST_CASE(sizes_keep_the_proportions) {
  BOOST_TEST((size_with({32, 32}, 24) == ImageSize{24, 24}));
  BOOST_TEST((size_with({32, 64}, 48) == ImageSize{24, 48}));
  BOOST_TEST((size_with({1, 100}, 10) == ImageSize{1, 10}));
}

/// A network for 32 x 32 that is made to take smaller images answers as one that was made for
/// them, fused or not, and as before when it is made to take its own again.
BOOST_AUTO_TEST_CASE(a_model_takes_images_of_another_size) {
  for (const char* architecture : {"fastnet", "resnet9"}) {
    for (const bool fusion : {false, true}) {
      const auto make = [&](std::int64_t side) {
        auto model = make_model(architecture, {side, side, 3, 4});
        model->set_fusion(fusion);
        model->initialise(5);
        return model;
      };
      const auto model = make(32);
      const auto small = make(24);
      const at::NoGradGuard no_grad;
      for (std::size_t i = 0; i < all_tensors(*model).size(); ++i) {
        all_tensors(*small)[i].tensor.copy_(all_tensors(*model)[i].tensor);
      }
      at::manual_seed(1);
      const at::Tensor large_images =
          at::randn({4, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
      const at::Tensor images =
          at::randn({4, 3, 24, 24}).contiguous(at::MemoryFormat::ChannelsLast);
      const at::Tensor before = model->forward(large_images, {});
      model->change_size(make_network(architecture, {24, 24, 3, 4}));
      BOOST_TEST(at::equal(model->forward(images, {}), small->forward(images, {})));
      model->change_size(make_network(architecture, {32, 32, 3, 4}));
      BOOST_TEST(at::equal(model->forward(large_images, {}), before));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_first_epochs_have_smaller_images) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 20));
  const DatasetInfo& info = data.info();
  const auto model = make_model("wide_resnet16_4", {8, 8, 3, 4});
  EpochImages images("wide_resnet16_4", data.split("train"), info,
                     {8, 8, 3, info.mean, info.std, false, true}, {4, 6});
  const std::vector<std::int32_t> rows = {3, 1};
  Augmentation plain;
  plain.padding = 0;
  plain.flip = 0;
  const std::int64_t sides[] = {4, 6, 8, 8};
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    const std::int64_t side = sides[epoch];
    images.begin(epoch, *model);
    const at::Tensor batch = images.augmented(rows, plain, 1, epoch);
    BOOST_TEST((batch.sizes() == at::IntArrayRef{2, 3, side, side}));
    BOOST_TEST((images.size() == ImageSize{side, side}));
    BOOST_TEST(model->network().nodes[0].height == side);
    // The same picture: its mean stays.
    const at::Tensor own =
        BatchMaker({8, 8, 3, info.mean, info.std, false, true}).plain(data.split("train"), rows);
    BOOST_TEST((batch.mean() - own.mean()).abs().item<float>() < 0.1F);
    images.end(*model);
    BOOST_TEST(model->network().nodes[0].height == 8);
  }
}

BOOST_AUTO_TEST_CASE(they_change_what_is_learned) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 40));
  std::vector<at::Tensor> found;
  for (const auto& sizes : {std::vector<std::int64_t>{}, std::vector<std::int64_t>{4}}) {
    for (const bool fusion : {false, true}) {
      TrainOptions options;
      options.architecture = "wide_resnet16_4";
      options.epochs = 2;
      options.batch_size = 20;
      options.augmentation.padding = 0;
      options.image_sizes = sizes;
      options.fusion = fusion;
      FakeHost host(temp.make("c" + std::to_string(found.size())));
      Trainer trainer(options, training_data(data), host);
      trainer.run();
      found.push_back(trainer.model().parameters()[0].tensor.detach().flatten().clone());
    }
  }
  const auto apart = [&](int a, int b) { return (found[a] - found[b]).abs().max().item<float>(); };
  BOOST_TEST(apart(0, 2) > 1e-3F);
  BOOST_TEST(apart(2, 3) < apart(0, 2) / 3);  // Fused or not is nothing beside it.
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_told) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 20));
  FakeHost host(temp.make("c"));
  TrainOptions options;
  options.image_sizes = {4, 9};
  options.architecture = "wide_resnet16_4";
  const auto make = [&] { Trainer(options, training_data(data), host); };
  expect_error(make, "image_sizes has 9, and the images are 8x8: they can only be made smaller");
  options.image_sizes = {4};
  options.augmentation.cutout = 5;
  expect_error(make, "cutout = 5 is larger than the images that image_sizes asks for");
  options.augmentation.cutout = 0;
  options.architecture = "cifar10net";
  expect_error(make, "image_sizes has 4: cifar10net takes images whose sides are multiples of 8");
  options.architecture = "linear";
  expect_error(make, "and the shape of 'fc.weight' of linear depends on it");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
