#include "stages/preprocess/npy.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "pipeline/error.hpp"
#include "stages/preprocess/npy_header.hpp"

namespace cifarpipe::preprocess {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kMagicBytes = 8;

/// The header's text; `at` becomes where the values begin.
std::string header_text(std::span<const std::uint8_t> bytes, const std::string& name,
                        std::size_t& at) {
  if (bytes.size() < kMagicBytes + 2 || std::memcmp(bytes.data(), "\x93NUMPY", 6) != 0) {
    throw Error(name + " is not a NumPy array");
  }
  const int format = bytes[6];
  if (format < 1 || format > 3) {
    throw Error(fmt::format("{} has the .npy format {}; 1 to 3 are read", name, format));
  }
  const std::size_t field = format == 1 ? 2 : 4;
  if (bytes.size() < kMagicBytes + field) throw Error(name + " is cut off in its header");
  std::size_t length = 0;
  for (std::size_t i = 0; i < field; ++i) length |= std::size_t{bytes[kMagicBytes + i]} << (8 * i);
  const std::size_t begin = kMagicBytes + field;
  if (length > bytes.size() - begin) throw Error(name + " is cut off in its header");
  at = begin + length;
  return {reinterpret_cast<const char*>(bytes.data()) + begin, length};
}

/// Takes '<f4' apart.
void set_type(NpyArray& array, const std::string& descr, const std::string& name) {
  const bool ordered = !descr.empty() && std::string("<>|=").find(descr[0]) != std::string::npos;
  const std::string rest = ordered ? descr.substr(1) : descr;
  if (!rest.empty() && rest[0] == 'O') {
    throw Error(name +
                " holds Python objects (dtype object), which cannot be read without running code "
                "from the file: save it with a plain dtype such as uint8");
  }
  const std::string digits = rest.empty() ? "" : rest.substr(1);
  if (digits.empty() || digits.size() > 6 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    throw Error(fmt::format("{} has the dtype '{}', which is not read", name, descr));
  }
  array.kind = rest[0];
  array.size = static_cast<std::size_t>(std::stoul(digits)) * (array.kind == 'U' ? 4 : 1);
  if (array.size == 0) throw Error(name + " holds values of no size");
  array.swapped = descr[0] == '>' && (array.size > 1);
}

template <class Unsigned>
Unsigned raw_at(const NpyArray& array, std::int64_t place) {
  Unsigned value;
  auto* bytes = reinterpret_cast<std::uint8_t*>(&value);
  std::memcpy(bytes, array.values.data() + static_cast<std::size_t>(place) * sizeof value,
              sizeof value);
  if (array.swapped) std::reverse(bytes, bytes + sizeof value);
  return value;
}

std::int64_t integer_at(const NpyArray& array, std::int64_t place) {
  const bool sign = array.kind == 'i';
  switch (array.size) {
    case 1: {
      const auto value = raw_at<std::uint8_t>(array, place);
      return sign ? static_cast<std::int8_t>(value) : value;
    }
    case 2: {
      const auto value = raw_at<std::uint16_t>(array, place);
      return sign ? static_cast<std::int16_t>(value) : value;
    }
    case 4: {
      const auto value = raw_at<std::uint32_t>(array, place);
      return sign ? static_cast<std::int32_t>(value) : std::int64_t{value};
    }
    default:
      return static_cast<std::int64_t>(raw_at<std::uint64_t>(array, place));
  }
}

bool is_integer(const NpyArray& array) {
  const bool width = array.size == 1 || array.size == 2 || array.size == 4 || array.size == 8;
  return (array.kind == 'u' || array.kind == 'i') && width;
}

void append_utf8(std::string& text, std::uint32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr std::uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  text += static_cast<char>(kLead[more] | (c >> (6 * more)));
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | ((c >> (6 * i)) & 0x3f));
}

}  // namespace

std::string NpyArray::type() const {
  const char* names = kind == 'u'   ? "uint"
                      : kind == 'i' ? "int"
                      : kind == 'f' ? "float"
                      : kind == 'b' ? "bool"
                                    : nullptr;
  if (names == nullptr) return fmt::format("{}{}", kind, kind == 'U' ? size / 4 : size);
  return kind == 'b' ? names : fmt::format("{}{}", names, 8 * size);
}

std::string NpyArray::shown_shape() const {
  return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

std::int64_t NpyArray::count() const {
  std::int64_t count = 1;
  for (const std::int64_t side : shape) count *= side;
  return count;
}

std::vector<std::int64_t> NpyArray::strides() const {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t step = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t axis = fortran ? i : shape.size() - 1 - i;
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

NpyArray parse_npy(std::span<const std::uint8_t> bytes, const std::string& name) {
  std::size_t at = 0;
  const NpyHeader header = parse_npy_header(header_text(bytes, name, at), name);
  NpyArray array;
  array.fortran = header.fortran_order;
  array.shape = header.shape;
  set_type(array, header.descr, name);
  array.values = bytes.subspan(at);
  std::uint64_t expected = array.size;
  for (const std::int64_t side : array.shape) {
    if (__builtin_mul_overflow(expected, static_cast<std::uint64_t>(side), &expected)) {
      throw Error(name + " claims to be larger than any memory");
    }
  }
  if (expected != array.values.size()) {
    throw Error(
        fmt::format("{} has {} bytes of values instead of {} for {} {}: it is cut off or "
                    "damaged",
                    name, array.values.size(), expected, array.shown_shape(), array.type()));
  }
  return array;
}

std::vector<std::int64_t> whole_numbers(const NpyArray& array, const std::string& name) {
  if (!is_integer(array)) {
    throw Error(fmt::format("{} has to hold whole numbers, not {}", name, array.type()));
  }
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(array.count()));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = integer_at(array, static_cast<std::int64_t>(i));
  }
  return numbers;
}

std::vector<std::string> texts(const NpyArray& array, const std::string& name) {
  if (array.kind != 'U' && array.kind != 'S') {
    throw Error(fmt::format("{} has to hold text, not {}", name, array.type()));
  }
  const std::size_t unit = array.kind == 'U' ? 4 : 1;
  const std::size_t length = array.size / unit;
  std::vector<std::string> result(static_cast<std::size_t>(array.count()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    for (std::size_t k = 0; k < length; ++k) {
      const auto place = static_cast<std::int64_t>(i * length + k);
      const std::uint32_t c =
          unit == 4 ? raw_at<std::uint32_t>(array, place) : raw_at<std::uint8_t>(array, place);
      if (c > 0x10ffff) throw Error(name + " holds characters that there are not");
      if (c == 0) break;
      append_utf8(result[i], c);
    }
  }
  return result;
}

double number_at(const NpyArray& array, std::int64_t place) {
  if (array.kind != 'f') return static_cast<double>(integer_at(array, place));
  return array.size == 4 ? std::bit_cast<float>(raw_at<std::uint32_t>(array, place))
                         : std::bit_cast<double>(raw_at<std::uint64_t>(array, place));
}

}  // namespace cifarpipe::preprocess
