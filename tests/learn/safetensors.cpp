#include "stages/learn/safetensors.hpp"

#include <cstring>

#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(safetensors)

const std::vector<float> kValues = {1.5F, -2, 0.25F, 3, 4, 5};

std::span<const std::uint8_t> bytes_of(const auto& values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(values[0])};
}

std::filesystem::path write_example(const TempFolder& temp) {
  static const std::vector<std::int64_t> count = {7};
  const auto file = temp.path() / "t.safetensors";
  write_safetensors(file,
                    {{"w", {TensorType::f32, {2, 3}, bytes_of(kValues)}},
                     {"n", {TensorType::i64, {}, bytes_of(count)}},
                     {"none", {TensorType::u8, {0, 5}, {}}}},
                    {{"format", "pt"}});
  return file;
}

/// A file with this header and `data` bytes behind it.
std::filesystem::path write_raw(const TempFolder& temp, const std::string& header, int data) {
  const std::uint64_t length = header.size();
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  write_text(temp.path() / "raw", text + header + std::string(static_cast<std::size_t>(data), 'x'));
  return temp.path() / "raw";
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read) {
  TempFolder temp;
  const SafetensorsReader reader(write_example(temp));
  BOOST_TEST(reader.tensors().size() == 3U);
  const TensorBytes& w = reader.at("w");
  BOOST_TEST((w.shape == std::vector<std::int64_t>{2, 3}));
  BOOST_REQUIRE(w.bytes.size() == 24U);
  BOOST_TEST(std::memcmp(w.bytes.data(), kValues.data(), 24) == 0);
  BOOST_TEST(reader.at("n").shape.empty());
  BOOST_TEST((reader.at("n").type == TensorType::i64));
  BOOST_TEST((reader.find("x") == nullptr));
  expect_error([&] { reader.at("x"); }, "no tensor 'x'");
}

BOOST_AUTO_TEST_CASE(the_bytes_are_pinned) {
  TempFolder temp;
  const std::string text = read_text(write_example(temp));
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("n":{"dtype":"I64","shape":[],"data_offsets":[24,32]},)"
      R"("none":{"dtype":"U8","shape":[0,5],"data_offsets":[32,32]}})";
  BOOST_TEST(text.substr(8, header.size()) == header);
  BOOST_TEST((text.size() - 32) % 8 == 0U);
  std::uint64_t length = 0;
  std::memcpy(&length, text.data(), 8);
  BOOST_TEST(text.size() == 8 + length + 32);
}

BOOST_AUTO_TEST_CASE(every_truncation_is_told) {
  TempFolder temp;
  const std::string text = read_text(write_example(temp));
  for (std::size_t size = 0; size < text.size(); ++size) {
    write_text(temp.path() / "cut", text.substr(0, size));
    BOOST_CHECK_THROW(SafetensorsReader(temp.path() / "cut"), Error);
  }
  write_text(temp.path() / "cut", text + "x");
  expect_error([&] { SafetensorsReader reader(temp.path() / "cut"); }, "after its last tensor");
}

BOOST_AUTO_TEST_CASE(damaged_headers_are_told) {
  TempFolder temp;
  const auto refuse = [&](const std::string& header, int data, const std::string& sentence) {
    const auto file = write_raw(temp, header, data);
    expect_error([&] { SafetensorsReader reader(file); }, sentence);
  };
  refuse("[]", 0, "has a damaged header: it is not a JSON object");
  refuse("{]", 0, "has a damaged header: it is not a JSON object");
  refuse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "cut off");
  refuse(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "does not fit");
  refuse(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "does not fit");
  refuse(R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4,
         "does not fit");
  refuse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "damaged place");
  refuse(R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})", 4, "type Q4");
  refuse(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "tensor 'a' has a damaged entry");
  refuse(R"({"a":7})", 0, "tensor 'a' has a damaged entry");
  refuse(R"({"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}})", 4,
         "needs a dtype, a shape and data_offsets");
  refuse(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
         R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
         3, "overlap");
}

BOOST_AUTO_TEST_CASE(a_writer_checks_its_tensors) {
  TempFolder temp;
  const TensorBytes tensor{TensorType::f32, {5}, bytes_of(kValues)};
  expect_error([&] { write_safetensors(temp.path() / "a", {{"w", tensor}}); }, "not its shape's");
  const TensorBytes good{TensorType::f32, {6}, bytes_of(kValues)};
  expect_error(
      [&] {
        write_safetensors(temp.path() / "a", {{"w", good}, {"w", good}});
      },
      "two tensors");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
