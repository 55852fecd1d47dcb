#include "stages/learn/architectures/architectures.hpp"

#include "stages/learn/files.hpp"

namespace cifarpipe::learn {
namespace {

struct Architecture {
  const char* name;
  const char* summary;
  Network (*make)(const ModelShape&);
};

constexpr Architecture kArchitectures[] = {
    {"cifar10net", "The reference, with six 3x3 convolutions and two linear layers.",
     make_cifar10net},
    {"linear", "One linear layer on the pixels, a floor to compare with.", make_linear},
    {"resnet9", "Page's network of DAWNBench, with eight convolutions and two residuals.",
     make_resnet9},
    {"resnet18", "He et al. 2015 with a 3x3 stem, as usual for small images.", make_resnet18},
    {"wide_resnet16_4", "Zagoruyko and Komodakis 2016, of depth 16 and four times as wide.",
     make_wide_resnet16_4},
    {"fastnet", "Whitened patches and identity-initialised groups of 32, 96 and 256 channels.",
     [](const ModelShape& shape) {
       return make_fastnet(shape, {32, 96, 256});
     }},
    {"fastnet_wide", "The same with groups of 64, 192 and 256 channels.",
     [](const ModelShape& shape) {
       return make_fastnet(shape, {64, 192, 256});
     }},
};

const Architecture& find(std::string_view name) {
  for (const auto& known : kArchitectures) {
    if (name == known.name) return known;
  }
  std::string names;
  for (const auto& known : kArchitectures)
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  throw Error("there is no architecture '" + std::string(name) + "'; there are " + names);
}

}  // namespace

const std::vector<std::string>& architectures() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> made;
    for (const auto& known : kArchitectures) made.emplace_back(known.name);
    return made;
  }();
  return names;
}

std::string_view architecture_summary(std::string_view name) {
  return find(name).summary;
}

Network make_network(std::string_view architecture, const ModelShape& shape) {
  return find(architecture).make(shape);
}

}  // namespace cifarpipe::learn
