// What the networks count, and that the documentation says the same.
#include <fmt/format.h>

#include "stages/learn/architectures/architectures.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(counts)

struct Counts {
  std::int64_t parameters = 0;
  std::int64_t multiply_adds = 0;
};

Network network_of(const std::string& name) {
  return make_network(name, {32, 32, 3, 10});
}

BOOST_AUTO_TEST_CASE(parameters_and_multiply_adds_are_the_publications) {
  // Counted a second time on PyTorch's modules.
  const std::map<std::string, Counts> expected = {
      {"cifar10net", {1'342'122, 39'687'168}},       {"linear", {30'730, 30'720}},
      {"resnet9", {6'573'120, 379'261'952}},         {"resnet18", {11'173'962, 555'422'720}},
      {"wide_resnet16_4", {2'748'890, 392'612'352}}, {"fastnet", {941'080, 35'426'848}},
      {"fastnet_wide", {1'528'856, 89'983'264}}};
  BOOST_TEST(expected.size() == learn::architectures().size());
  for (const std::string& name : learn::architectures()) {
    BOOST_TEST_CONTEXT(name) {
      BOOST_TEST(network_of(name).parameter_count() == expected.at(name).parameters);
      BOOST_TEST(network_of(name).multiply_adds() == expected.at(name).multiply_adds);
    }
  }
}

std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

/// The channels of fastnet's groups as prose has them.
std::string widths_of(const Network& network) {
  std::string widths;
  for (const Node& node : network.nodes) {
    if (!node.name.starts_with("group") || !node.name.ends_with(".conv1")) continue;
    widths += (widths.empty() ? "" : ", ") + std::to_string(node.channels);
  }
  return widths;
}

BOOST_AUTO_TEST_CASE(the_documentation_has_these_counts) {
  const std::string page = read_text(CIFARPIPE_SOURCE_DIR "/docs/training.md");
  for (const std::string& name : learn::architectures()) {
    const Network network = network_of(name);
    const std::string row =
        fmt::format("\n| `{}` | {} | {:.1f} |", name, with_commas(network.parameter_count()),
                    2 * static_cast<double>(network.multiply_adds()) / 1e6);
    const std::size_t at = page.find(row);
    BOOST_TEST(at != std::string::npos, "docs/training.md lacks a row that begins with" << row);
    if (at == std::string::npos) continue;
    const std::string line = page.substr(at + 1, page.find('\n', at + 1) - at - 1);
    BOOST_TEST(line.find(widths_of(network)) != std::string::npos,
               "'" << line << "' lacks the groups " << widths_of(network));
  }
}

BOOST_AUTO_TEST_CASE(each_has_a_sentence) {
  for (const std::string& name : learn::architectures()) {
    BOOST_TEST(architecture_summary(name).ends_with("."), name);
  }
  expect_error([] { architecture_summary("nix"); }, "there is no architecture 'nix'; there are");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
