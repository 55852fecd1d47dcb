#include "stages/export/card.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "stages/learn/counted.hpp"
#include "stages/learn/metrics.hpp"

namespace cifarpipe {
namespace {

const ExportedFile* find(const CardFacts& facts, std::string_view format) {
  const auto found = std::find_if(facts.files.begin(), facts.files.end(),
                                  [&](const ExportedFile& f) { return f.format == format; });
  return found == facts.files.end() ? nullptr : &*found;
}

std::string list(const std::vector<double>& values) {
  return fmt::format("{}", fmt::join(values, ", "));
}

/// Names as they stand in a table or in a sentence: nothing in them is Markdown.
std::string plain(const std::string& name) {
  std::string made;
  for (const char letter : name) {
    if (std::string_view("\\`*_[]<>|#").find(letter) != std::string_view::npos) made += '\\';
    made += letter == '\n' ? ' ' : letter;
  }
  return made;
}

std::string kind_of_images(const learn::ModelInfo& model) {
  if (model.channels == 1) return "grey images";
  if (model.channels == 3) return "RGB images";
  return fmt::format("images with {} channels", model.channels);
}

std::string what_it_is(const CardFacts& facts) {
  const learn::ModelInfo& model = facts.model;
  std::string text = fmt::format(
      "# {} for {}\n\nAn image classifier of the architecture `{}`: {} parameters, {:.1f} "
      "million multiply-adds an image.\nIt takes {} of {}x{} pixels (height x width) and "
      "gives a number (logit) for each class; the largest is its answer.\nThe weights are those "
      "after epoch {} of their training.\n\nClasses, in the order of the logits:\n\n",
      model.architecture, learn::counted(static_cast<std::int64_t>(model.classes.size()), "class"),
      model.architecture, model.parameters, static_cast<double>(facts.multiply_adds) / 1e6,
      kind_of_images(model), model.height, model.width, model.epoch);
  for (std::size_t i = 0; i < model.classes.size(); ++i) {
    text += fmt::format("{}. {}", i, plain(model.classes[i]));
    if (i < model.groups.size()) {
      std::vector<std::string> members;
      for (const auto& member : model.groups[i].second) members.push_back(plain(member));
      text += members.empty() ? ": no class of the data"
                              : fmt::format(": {}", fmt::join(members, ", "));
    }
    text += '\n';
  }
  return text;
}

std::string about_data(const CardFacts& facts) {
  std::string text = "\n## Data\n\n| split | images |\n|---|---:|\n";
  for (const auto& [name, count] : facts.splits) text += fmt::format("| {} | {} |\n", name, count);
  text += fmt::format(
      "\n{} in the data, images of {}x{} with {}. Mean of the channels on [0, 1]: {}; "
      "standard deviation: {}.\n",
      learn::counted(static_cast<std::int64_t>(facts.data.classes.size()), "class"),
      facts.data.height, facts.data.width,
      facts.data.channels == 1 ? "one channel" : fmt::format("{} channels", facts.data.channels),
      list(facts.model.mean), list(facts.model.std));
  return text;
}

/// `correct` of `images`, with the interval; dashes when there are none.
std::string accuracy_cells(std::int64_t correct, std::int64_t images) {
  if (images == 0) return "0 | – | –";
  const learn::Interval interval = learn::wilson(correct, images);
  return fmt::format("{} | {:.4f} | {:.4f} to {:.4f}", images,
                     static_cast<double>(correct) / static_cast<double>(images), interval.low,
                     interval.high);
}

std::string figures_rows(const std::string& name, const SplitFigures& figures) {
  std::string rows = fmt::format("| {} | {} | {} | {:.4f} |\n", name, figures.split,
                                 accuracy_cells(figures.correct, figures.images), figures.loss);
  if (figures.duplicates > 0) {
    rows += fmt::format("| {} | {} without near-duplicates | {} | – |\n", name, figures.split,
                        accuracy_cells(figures.correct - figures.duplicates_correct,
                                       figures.images - figures.duplicates));
  }
  return rows;
}

/// What the rows without near-duplicates leave out.
std::string about_duplicates(const CardFacts& facts) {
  std::string text;
  for (const SplitFigures& figures : facts.figures) {
    if (figures.duplicates == 0) continue;
    text += fmt::format(
        "\nOf the split {}, {} an exact or near-duplicate in the training split, by the dataset's "
        "list.\n",
        figures.split,
        figures.duplicates == 1 ? "1 image has"
                                : fmt::format("{} images have", figures.duplicates));
  }
  return text;
}

std::string about_figures(const CardFacts& facts) {
  std::string text =
      "\n## Figures\n\n| numbers | split | images | accuracy | 95 % interval | loss |\n"
      "|---|---|---:|---:|---|---:|\n";
  for (const SplitFigures& figures : facts.figures) text += figures_rows("32-bit", figures);
  if (facts.int8) text += figures_rows("8-bit", *facts.int8);
  text += about_duplicates(facts);
  const bool floats =
      std::any_of(facts.files.begin(), facts.files.end(),
                  [](const ExportedFile& file) { return file.format != "onnx_int8"; });
  if (floats) {
    text += fmt::format(
        "\nEach file in 32 bits was read again and gave, for {} of the split {}, the logits "
        "of the checkpoint\nto within {:g} of the largest absolute value of the image's logits (or "
        "of 1 where that is larger).\n",
        learn::counted(facts.checked_images, "image"), facts.checked_split, facts.tolerance);
  }
  if (facts.int8) {
    text += fmt::format(
        "\nThe 32-bit figures are the checkpoint's. The 8-bit figures are computed with the file's "
        "own roundings;\nits ranges come from {} of the split {}. The file in 8 bits was "
        "read again by OpenCV,\nits roundings spelled out in floats, and gave for {} of the "
        "split {} the same logits\nto within {:g} of the image's largest (or of 1): a value in the "
        "middle of two steps is rounded either way.\n",
        learn::counted(facts.calibration_images, "image"), facts.calibration_split,
        learn::counted(facts.checked_images, "image"), facts.checked_split, facts.int8_tolerance);
  }
  return text;
}

std::string about_limits(const CardFacts& facts) {
  std::string text =
      "\n## Limits\n\n"
      "- It knows only the classes above and answers with one of them, whatever it is shown.\n"
      "- The figures hold for images like those of the data: as small, as centred, as chosen.\n"
      "- How sure it is (softmax of the logits) is not a probability that was checked.\n";
  text += fmt::format(
      "- Pictures of another size have to be made {}x{} as the data was; how that is done changes "
      "answers.\n",
      facts.model.height, facts.model.width);
  if (find(facts, "onnx_int8")) {
    text +=
        "- The 8-bit model's sums can overflow on x86 processors without VNNI (16-bit "
        "intermediate sums): measure there again.\n";
  }
  return text;
}

std::string about_files(const CardFacts& facts) {
  std::string text = "\n## Files\n\n| file | format | bytes | SHA-256 |\n|---|---|---:|---|\n";
  for (const ExportedFile& file : facts.files) {
    text +=
        fmt::format("| `{}` | {} | {} | `{}` |\n", file.name, file.format, file.bytes, file.sha256);
  }
  return text;
}

std::string snippet(const std::string& title, const std::string& code) {
  return fmt::format("\n{}:\n\n```python\n{}```\n", title, code);
}

std::string input_code(const CardFacts& facts) {
  const learn::ModelInfo& model = facts.model;
  const bool grey = model.channels == 1;
  std::string code = "import numpy as np\n";
  std::string from;
  if (grey || model.channels == 3) {
    code += fmt::format(
        "from PIL import Image\n\n"
        "picture = Image.open(\"picture.png\").convert(\"{}\").resize(({}, {}))\n",
        grey ? "L" : "RGB", model.width, model.height);
    from = grey ? "[None, None]" : ".transpose(2, 0, 1)[None]";
  } else {
    code += "\npicture = np.load(\"picture.npy\")  # height x width x channels, 0 to 255\n";
    from = ".transpose(2, 0, 1)[None]";
  }
  code += fmt::format("image = np.asarray(picture, np.float32){} / 255  # [1, {}, {}, {}]\n", from,
                      model.channels, model.height, model.width);
  const std::string normalise = fmt::format(
      "mean = np.array([{}], np.float32).reshape(-1, 1, 1)\n"
      "std = np.array([{}], np.float32).reshape(-1, 1, 1)\n",
      list(facts.model.mean), list(facts.model.std));
  code += normalise;
  if (!facts.normalised_inside) code += "image = (image - mean) / std\n";
  return code;
}

std::string how_to_use(const CardFacts& facts) {
  std::string text = fmt::format(
      "\n## Use\n\nInput: 32-bit floats, N x {} x {} x {}{}, {}.\nThe weights "
      "alone (safetensors, pth) always want (image - mean) / std.\n",
      facts.model.channels, facts.model.height, facts.model.width,
      facts.model.channels == 3 ? " (channels R, G, B)" : "",
      facts.normalised_inside
          ? "on [0, 1]; the normalisation is inside of the ONNX and TorchScript models"
          : "on [0, 1] and then normalised: (image - mean) / std");
  text += snippet("An image for all of them", input_code(facts));
  for (const char* format : {"onnx", "onnx_int8"}) {
    if (const ExportedFile* file = find(facts, format)) {
      text += snippet(
          fmt::format("{} (opset {})", format, facts.opset),
          fmt::format("import onnxruntime\n\nsession = onnxruntime.InferenceSession(\"{}\")\n"
                      "logits = session.run([\"logits\"], {{\"image\": image}})[0]\n",
                      file->name));
    }
  }
  if (const ExportedFile* file = find(facts, "torchscript")) {
    text += snippet("torchscript", fmt::format("import torch\n\nmodel = torch.jit.load(\"{}\")\n"
                                               "logits = model(torch.from_numpy(image))\n",
                                               file->name));
  }
  if (const ExportedFile* file = find(facts, "safetensors")) {
    text += snippet("safetensors", fmt::format("from safetensors.torch import load_file\n\n"
                                               "state_dict = load_file(\"{}\")\n",
                                               file->name));
  }
  if (const ExportedFile* file = find(facts, "pth")) {
    text += snippet("pth", fmt::format("import torch\n\nstate_dict = torch.load(\"{}\", "
                                       "weights_only=True)\n",
                                       file->name));
  }
  return text;
}

}  // namespace

std::string card_text(const CardFacts& facts) {
  return what_it_is(facts) + about_data(facts) + about_figures(facts) + about_limits(facts) +
         about_files(facts) + how_to_use(facts);
}

}  // namespace cifarpipe
