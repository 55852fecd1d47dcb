// What the stage export writes, for every network, read again; and what is refused.
#define BOOST_TEST_MODULE cifarpipe_export
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "stages/export/card.hpp"
#include "stages/export/check.hpp"
#include "stages/export/judge.hpp"
#include "stages/export/onnx_graph.hpp"
#include "stages/export/quantise.hpp"
#include "stages/export/script_module.hpp"
#include "stages/export/torch_save.hpp"
#include "stages/learn/counter_random.hpp"
#include "stages/learn/torch_file.hpp"
#include "stages/learn/zip_file.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
constexpr std::int64_t kImages = 3;
const char* const kNetworks[] = {"linear",   "cifar10net",      "resnet9",
                                 "resnet18", "wide_resnet16_4", "fastnet"};

/// Numbers of [low, high).
void fill(const at::Tensor& tensor, std::uint64_t seed, double low, double high) {
  const at::NoGradGuard no_grad;
  at::Tensor values = at::empty(tensor.sizes(), at::kFloat);
  float* to = values.mutable_data_ptr<float>();
  const learn::CounterRandom random(seed, learn::Purpose::shuffle, 0);
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const auto part = static_cast<double>(random.below(static_cast<std::uint64_t>(i), 1 << 20));
    to[i] = static_cast<float>(low + (high - low) * part / (1 << 20));
  }
  tensor.copy_(values);
}

/// A network with tensors, none of which is what it was made as, and what it gives for images.
struct Made {
  explicit Made(const std::string& name)
      : info{name,
             32,
             32,
             3,
             {"ant", "bee", "cow|calf", "dog", "elk"},
             {0.4, 0.5, 0.6},
             {0.2, 0.25, 0.3},
             0,
             1},
        model(learn::make_model(name, {32, 32, 3, 5})) {
    model->initialise(5);
    std::uint64_t seed = 1;
    for (const auto& [key, tensor] : learn::all_tensors(*model)) {
      if (key.ends_with("running_mean")) fill(tensor, ++seed, -0.2, 0.2);
      if (key.ends_with("running_var")) fill(tensor, ++seed, 0.5, 1.5);
      if (key == "whiten.weight" || tensor.dim() == 1) fill(tensor, ++seed, 0.1, 0.9);
      kept.push_back(tensor.detach().contiguous());
      learn::TensorBytes bytes;
      bytes.type =
          tensor.scalar_type() == at::kLong ? learn::TensorType::i64 : learn::TensorType::f32;
      bytes.shape = tensor.sizes().vec();
      bytes.bytes = {static_cast<const std::uint8_t*>(kept.back().const_data_ptr()),
                     kept.back().nbytes()};
      list.emplace_back(key, bytes);
      tensors[key] = bytes;
    }
    reference.images = at::empty({kImages, 3, 32, 32}, at::kFloat);
    fill(reference.images, 99, 0, 1);
    reference.normalised = reference.images.clone();
    for (std::int64_t c = 0; c < 3; ++c) {
      const auto channel = static_cast<std::size_t>(c);
      reference.normalised.select(1, c).sub_(info.mean[channel]).div_(info.std[channel]);
    }
    reference.logits = answers(*model, reference.normalised);
    reference.positions = {10, 11, 12};
    reference.split = "test";
    reference.tolerance = 1e-5;
  }

  std::string onnx(const Quantised* quantised = nullptr, bool inside = true) const {
    return make_onnx(model->network(), tensors, info, {13, inside}, quantised);
  }

  learn::ModelInfo info;
  std::unique_ptr<learn::Model> model;
  std::vector<at::Tensor> kept;
  TensorMap tensors;
  std::vector<std::pair<std::string, learn::TensorBytes>> list;
  Reference reference;
};

BOOST_AUTO_TEST_SUITE(formats)

BOOST_AUTO_TEST_CASE(every_network_is_the_same_in_every_format) {
  const TempDir temp;
  for (const std::string name : kNetworks) {
    BOOST_TEST_CONTEXT(name) {
      Made made(name);
      learn::write_text(temp / "model.onnx", made.onnx());
      BOOST_CHECK_NO_THROW(check_onnx(temp / "model.onnx", made.reference));
      write_script_module(temp / "model.pt", *made.model, made.info, true);
      BOOST_CHECK_NO_THROW(check_script(temp / "model.pt", made.reference));
      write_torch_file(temp / "model.pth", made.list);
      learn::Model other(made.model->network(), true);
      other.initialise(6);
      BOOST_TEST(check_weights(temp / "model.pth", made.reference, other) == 0);

      made.reference.images = made.reference.normalised;
      learn::write_text(temp / "model.onnx", made.onnx(nullptr, false));
      BOOST_CHECK_NO_THROW(check_onnx(temp / "model.onnx", made.reference));
      write_script_module(temp / "model.pt", *made.model, made.info, false);
      BOOST_CHECK_NO_THROW(check_script(temp / "model.pt", made.reference));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_same_gives_the_same_bytes) {
  const TempDir temp;
  const Made made("cifar10net");
  for (const std::string folder : {"a", "b"}) {
    std::filesystem::create_directory(temp / folder);
    write_script_module(temp / folder / "model.pt", *made.model, made.info, true);
    write_torch_file(temp / folder / "model.pth", made.list);
  }
  for (const std::string file : {"model.pt", "model.pth"}) {
    BOOST_TEST((learn::read_text(temp / "a" / file) == learn::read_text(temp / "b" / file)));
  }
  BOOST_TEST((made.onnx() == made.onnx()));
}

BOOST_AUTO_TEST_CASE(contents_of_a_pth_are_aligned) {
  const TempDir temp;
  const Made made("linear");
  write_torch_file(temp / "model.pth", made.list);
  const learn::MappedFile file(temp / "model.pth");
  const auto entries = learn::read_zip(file.bytes(), "model.pth");
  for (const auto& [path, content] : entries) {
    BOOST_TEST((content.data() - file.bytes().data()) % 64 == 0, path);
  }
  BOOST_TEST(entries.count("model/data.pkl") == 1);
  BOOST_TEST(entries.count("model/data/0") == 1);
}

BOOST_AUTO_TEST_CASE(disagreement_names_file_difference_and_image) {
  const Made made("linear");
  const auto message_for = [&](double added) {
    at::Tensor logits = made.reference.logits.clone();
    logits.select(0, 1).select(0, 2).add_(added);
    try {
      require_agreement("model.x", logits, made.reference);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  BOOST_TEST(message_for(0).empty());
  BOOST_TEST(message_for(0.5).find("model.x does not agree with the checkpoint") == 0);
  BOOST_TEST(message_for(0.5).find("image 11 of the split test") != std::string::npos);
  BOOST_TEST(message_for(NAN).find("differ by inf") != std::string::npos);
  BOOST_CHECK_THROW(
      require_agreement("model.x", made.reference.logits.slice(0, 0, 2), made.reference), Error);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_without_finite_answers_is_told_as_such) {
  const at::Tensor logits = at::zeros({3, 5}, at::kFloat);
  const std::vector<std::int32_t> positions = {10, 11, 12};
  const auto check = [&] { require_finite(logits, positions, "test", "the checkpoint"); };
  BOOST_CHECK_NO_THROW(check());
  logits.select(0, 2).select(0, 1).fill_(INFINITY);
  BOOST_CHECK_EXCEPTION(check(), Error, [](const Error& e) {
    return std::string(e.what()).find(
               "the checkpoint's own outputs are not finite, first for image 12 of the split "
               "test") == 0;
  });
}

BOOST_AUTO_TEST_CASE(a_loss_of_accuracy_is_told_from_chance) {
  // Of `all` images, the first `lost` are right only before and the next `gained` only after.
  const auto loss = [](std::size_t lost, std::size_t gained, std::size_t all) {
    SplitFigures before, after;
    for (std::size_t i = 0; i < all; ++i) {
      before.right.push_back(i < lost || i >= lost + gained);
      after.right.push_back(i >= lost);
    }
    return accuracy_loss(before, after);
  };
  BOOST_TEST(loss(0, 0, 10).whole == 0);
  BOOST_TEST(loss(20, 10, 100).whole == 0.1, boost::test_tools::tolerance(1e-9));
  BOOST_TEST(loss(20, 10, 100).least < 0.02);  // A hundred images do not tell.
  BOOST_TEST(loss(2000, 1000, 10000).least > 0.08);
  BOOST_TEST(loss(2, 0, 2).least < 0);
  BOOST_TEST(loss(10, 20, 100).whole < 0);
}

BOOST_AUTO_TEST_CASE(what_opencv_cannot_read_is_one_sentence) {
  const TempDir temp;
  learn::write_text(temp / "model.onnx", "not a model");
  const Made made("linear");
  BOOST_CHECK_EXCEPTION(check_onnx(temp / "model.onnx", made.reference), Error, [](const Error& e) {
    return std::string(e.what()).find("OpenCV cannot use model.onnx") == 0;
  });
}

/// Integers, as a processor computes them.
BOOST_AUTO_TEST_CASE(eight_bits_are_integers_times_scales) {
  const Made made("linear");
  Quantiser quantiser(*made.model);
  quantiser.calibrate(made.reference.normalised);
  const Quantised& quantised = quantiser.finish();
  const ByteRange range = *quantised.outputs[0];
  const QuantisedLayer& layer = *quantised.layers.back();
  const at::Tensor got = quantiser.forward(made.reference.normalised).contiguous();
  const at::Tensor flat = made.reference.normalised.flatten(1).contiguous();
  const auto width = static_cast<std::size_t>(flat.size(1));
  for (std::size_t image = 0; image < kImages; ++image) {
    const float* values = flat.const_data_ptr<float>() + image * width;
    for (std::size_t c = 0; c < 5; ++c) {
      std::int64_t sum = layer.bias[c];
      for (std::size_t i = 0; i < width; ++i) {
        const float byte = std::nearbyint(values[i] / range.scale) + range.zero;
        sum += (static_cast<std::int64_t>(std::min(std::max(byte, 0.0F), 255.0F)) - range.zero) *
               layer.weight[c * width + i];
      }
      const double wanted = static_cast<double>(sum) * range.scale * layer.scales[c];
      BOOST_TEST(got.const_data_ptr<float>()[image * 5 + c] == wanted,
                 boost::test_tools::tolerance(1e-4));
    }
  }
}

BOOST_AUTO_TEST_CASE(eight_bits_are_near_32) {
  for (const std::string name : kNetworks) {
    BOOST_TEST_CONTEXT(name) {
      Made made(name);
      Quantiser quantiser(*made.model);
      quantiser.calibrate(made.reference.normalised);
      const Quantised& quantised = quantiser.finish();
      made.reference.tolerance = 0.1;
      const at::Tensor logits = quantiser.forward(made.reference.normalised);
      BOOST_CHECK_NO_THROW(require_agreement("int8", logits, made.reference));
      made.reference.tolerance = 1e-6;  // It really is another one.
      BOOST_CHECK_THROW(require_agreement("int8", logits, made.reference), Error);
      BOOST_TEST(made.onnx(&quantised).size() < made.onnx().size() / 2);
    }
  }
}

BOOST_AUTO_TEST_CASE(another_program_gives_what_the_8_bit_files_numbers_say) {
  const TempDir temp;
  const std::filesystem::path file = temp / "model_int8.onnx";
  for (const std::string name : kNetworks) {
    BOOST_TEST_CONTEXT(name) {
      Made made(name);
      Quantiser quantiser(*made.model);
      quantiser.calibrate(made.reference.normalised);
      Quantised quantised = quantiser.finish();
      made.reference.logits = quantiser.forward(made.reference.normalised);
      made.reference.tolerance = 0.02;
      learn::write_text(file, made.onnx(&quantised));
      BOOST_CHECK_NO_THROW(check_onnx_int8(file, made.reference));
      const auto last = std::find_if(quantised.layers.rbegin(), quantised.layers.rend(),
                                     [](const auto& layer) { return layer.has_value(); });
      (*last)->scales.front() *= 2;  // A wrong number in the file.
      learn::write_text(file, made.onnx(&quantised));
      BOOST_CHECK_EXCEPTION(check_onnx_int8(file, made.reference), Error, [](const Error& e) {
        return std::string(e.what()).find("model_int8.onnx does not agree") == 0;
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(the_card_says_what_there_is) {
  CardFacts facts;
  facts.model = Made("linear").info;
  facts.model.groups = {{"ant", {"a1", "a2"}}, {"bee", {}}};
  facts.data = {32, 32, 3, {"a1", "a2"}, {}, {}};
  facts.splits = {{"test", 20}};
  facts.figures = {{"test", 20, 15, 0.5}};
  facts.files = {{"onnx", "model.onnx", 7, "abc"}};
  facts.normalised_inside = false;
  const std::string card = card_text(facts);
  for (const char* part : {"2. cow\\|calf", "0. ant: a1, a2", "1. bee: no class", "| 0.7500 |",
                           "| `model.onnx` | onnx | 7 | `abc` |", "image = (image - mean) / std",
                           "InferenceSession(\"model.onnx\")"}) {
    BOOST_TEST(card.find(part) != std::string::npos, part);
  }
  for (const char* part : {"8-bit", "torch.jit", "load_file", "near-duplicate"}) {
    BOOST_TEST(card.find(part) == std::string::npos, part);
  }
}

BOOST_AUTO_TEST_CASE(the_card_speaks_of_32_bits_only_where_there_is_such_a_file) {
  CardFacts facts;
  facts.model = Made("linear").info;
  facts.int8 = SplitFigures{"validation", 20, 14, 0.5};
  facts.files = {{"onnx_int8", "model_int8.onnx", 7, "abc"}};
  const std::string sentence = "Each file in 32 bits was read again";
  BOOST_TEST(card_text(facts).find(sentence) == std::string::npos);
  facts.files.push_back({"pth", "model.pth", 7, "abc"});
  BOOST_TEST(card_text(facts).find(sentence) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_card_leaves_near_duplicates_out_beside_all) {
  CardFacts facts;
  facts.model = Made("linear").info;
  facts.data = {32, 32, 3, {"a", "b"}, {}, {}};
  facts.figures = {{"validation", 10, 5, 0.5}, {"test", 20, 15, 0.5, 4, 3}};
  facts.int8 = SplitFigures{"test", 20, 14, 0.5, 20, 14};
  const std::string card = card_text(facts);
  for (const char* part :
       {"| 32-bit | test | 20 | 0.7500 |",
        "| 32-bit | test without near-duplicates | 16 | 0.7500 |",
        "| 8-bit | test without near-duplicates | 0 | – | – | – |",
        "Of the split test, 4 images have an exact or near-duplicate in the training split"}) {
    BOOST_TEST(card.find(part) != std::string::npos, part);
  }
  BOOST_TEST(card.find("validation without") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_card_says_which_images_are_wanted) {
  CardFacts facts;
  facts.model = Made("linear").info;
  const auto says = [&](std::int64_t side, std::int64_t channels, const std::string& part) {
    facts.model.channels = facts.data.channels = channels;
    facts.model.height = facts.model.width = side;
    BOOST_TEST(card_text(facts).find(part) != std::string::npos, part);
  };
  says(32, 3, "It takes RGB images of 32x32 pixels");
  says(32, 1, "It takes grey images");
  says(32, 4, "It takes images with 4 channels of 32x32");
  says(32, 4, "np.load(\"picture.npy\")");
  says(32, 1, "convert(\"L\")");
  says(96, 3, "Pictures of another size have to be made 96x96");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
