// Pictures: PNGs that others can read, the same bytes each time, any number of classes. With
// CIFARPIPE_KEEP_PICTURES=DIR they are left there to look at.
#include <zlib.h>

#include <cstdlib>

#include "stages/vision/plots.hpp"
#include "stages/vision/png.hpp"
#include "stages/vision/reliability.hpp"
#include "stages/vision/sheets.hpp"
#include "stages/vision/tiles.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::test;
using namespace cifarpipe::vision;

namespace {

std::uint32_t number_at(const std::string& text, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(text.at(at + i));
  }
  return value;
}

struct Decoded {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::string rgb;
};

/// A decoder of its own, straight from the specification.
Decoded decode(const std::string& png) {
  BOOST_REQUIRE_EQUAL(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  Decoded result;
  std::string packed;
  for (std::size_t at = 8; at < png.size();) {
    const std::size_t size = number_at(png, at);
    const std::string body = png.substr(at + 4, size + 4);
    BOOST_CHECK_EQUAL(
        crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())),
        number_at(png, at + 8 + size));
    if (body.substr(0, 4) == "IHDR") {
      result.width = number_at(body, 4);
      result.height = number_at(body, 8);
      BOOST_CHECK_EQUAL(body.substr(12), std::string("\x08\x02\x00\x00\x00", 5));
    }
    if (body.substr(0, 4) == "IDAT") packed += body.substr(4);
    at += size + 12;
  }
  const std::size_t stride = result.width * 3;
  std::string raw((stride + 1) * result.height, '\0');
  uLongf raw_size = raw.size();
  BOOST_REQUIRE_EQUAL(uncompress(reinterpret_cast<Bytef*>(raw.data()), &raw_size,
                                 reinterpret_cast<const Bytef*>(packed.data()), packed.size()),
                      Z_OK);
  BOOST_REQUIRE_EQUAL(raw_size, raw.size());
  for (std::size_t y = 0; y < result.height; ++y) {
    const int filter = raw[y * (stride + 1)];
    BOOST_REQUIRE(filter == 0 || filter == 4);
    for (std::size_t i = 0; i < stride; ++i) {
      const auto before = [&](std::size_t back) {
        return static_cast<int>(static_cast<unsigned char>(result.rgb[result.rgb.size() - back]));
      };
      const int a = i >= 3 ? before(3) : 0;
      const int b = y > 0 ? before(stride) : 0;
      const int c = i >= 3 && y > 0 ? before(stride + 3) : 0;
      const int p = a + b - c;
      const int pa = std::abs(p - a);
      const int pb = std::abs(p - b);
      const int pc = std::abs(p - c);
      const int guess = filter == 0 ? 0 : pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      result.rgb += static_cast<char>(raw[y * (stride + 1) + 1 + i] + guess);
    }
  }
  return result;
}

void keep(const fs::path& png) {
  if (const char* dir = std::getenv("CIFARPIPE_KEEP_PICTURES")) {
    fs::copy_file(png, fs::path(dir) / png.filename(), fs::copy_options::overwrite_existing);
  }
}

std::vector<std::vector<std::int64_t>> some_counts(std::size_t n, std::int64_t images) {
  std::vector<std::vector<std::int64_t>> counts(n, std::vector<std::int64_t>(n));
  for (std::size_t t = 0; t < n; ++t) {
    std::int64_t left = images;
    for (std::size_t p = 0; p < n; ++p) {
      if (t == p || (t * 7 + p * 3) % 4 == 0) continue;
      counts[t][p] = static_cast<std::int64_t>((t * 31 + p * 17) % 40) * images / 4000 *
                     (t / 2 == p / 2 ? 4 : 1) / (n > 20 ? 4 : 1);
      left -= counts[t][p];
    }
    counts[t][t] = left;
  }
  return counts;
}

std::string pixel(const Decoded& picture, std::size_t x, std::size_t y) {
  return picture.rgb.substr((y * picture.width + x) * 3, 3);
}

bool column_is_white(const Decoded& picture, std::size_t x, std::size_t top = 0) {
  for (std::size_t y = top; y < picture.height; ++y) {
    if (pixel(picture, x, y) != "\xff\xff\xff") return false;
  }
  return true;
}

/// Nothing is cut off: all that is drawn keeps away from the right and the lower side.
bool has_margins(const Decoded& picture) {
  for (std::size_t x = picture.width - 8; x < picture.width; ++x) {
    if (!column_is_white(picture, x)) return false;
  }
  for (std::size_t x = 0; x < picture.width; ++x) {
    if (pixel(picture, x, picture.height - 1) != "\xff\xff\xff") return false;
  }
  return true;
}

/// The left side of the key to the colours: the first column that has a long line of its grey.
std::size_t key_of(const Decoded& picture) {
  for (std::size_t x = 0; x < picture.width; ++x) {
    std::size_t long_enough = 0;
    for (std::size_t y = 0; y < picture.height; ++y) {
      long_enough += pixel(picture, x, y) == "\xad\xb5\xbd" ? 1 : 0;
    }
    if (long_enough > 100) return x;
  }
  return 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(vision)

BOOST_AUTO_TEST_CASE(png_round_trip) {
  const TempDir temp;
  for (const int width : {1, 3, 100}) {
    for (const int height : {1, 77}) {
      std::vector<std::uint8_t> rgb;
      for (int i = 0; i < width * height * 3; ++i) {
        rgb.push_back(static_cast<std::uint8_t>(height == 1 ? i * i : i / 3));
      }
      write_png(temp.path() / "a.png", width, height, rgb);
      const Decoded decoded = decode(read(temp.path() / "a.png"));
      BOOST_CHECK_EQUAL(decoded.width, static_cast<unsigned>(width));
      BOOST_CHECK_EQUAL(decoded.height, static_cast<unsigned>(height));
      BOOST_CHECK(decoded.rgb == std::string(rgb.begin(), rgb.end()));
    }
  }
  check_contains(
      message_of([] { write_png("/no/such/folder/a.png", 1, 1, std::vector<std::uint8_t>(3)); }),
      "/no/such/folder/a.png");
}

BOOST_AUTO_TEST_CASE(confusion_of_ten) {
  const TempDir temp;
  const std::vector<std::string> classes = {"plane", "car",  "bird",  "cat",  "deer",
                                            "dog",   "frog", "horse", "ship", "truck"};
  auto counts = some_counts(10, 1000);
  const fs::path png = temp.path() / "confusion-10.png";
  draw_confusion_matrix(png, classes, counts, "cifar10-classification, test split");
  keep(png);
  const std::string bytes = read(png);
  draw_confusion_matrix(png, classes, counts, "cifar10-classification, test split");
  BOOST_CHECK(read(png) == bytes);
  std::swap(counts[3][3], counts[3][5]);
  draw_confusion_matrix(png, classes, counts, "cifar10-classification, test split");
  BOOST_CHECK(read(png) != bytes);
  const Decoded picture = decode(bytes);
  BOOST_CHECK_GT(picture.width, 600u);
  BOOST_CHECK_GT(picture.height, 600u);
  BOOST_CHECK_EQUAL(pixel(picture, 1, 1), "\xff\xff\xff");
  BOOST_CHECK(has_margins(picture));
  const std::size_t key = key_of(picture);
  for (std::size_t x = key - 8; x < key; ++x) {  // "960 of 1000" ends before it.
    BOOST_CHECK(column_is_white(picture, x, 80));
  }
}

BOOST_AUTO_TEST_CASE(confusion_of_other_numbers) {
  const TempDir temp;
  for (const std::size_t n : {1u, 2u, 3u, 20u, 47u, 100u}) {
    std::vector<std::string> classes;
    for (std::size_t i = 0; i < n; ++i) {
      classes.push_back(i == 1 ? "aquarium_fish_and_more_words" : "class" + std::to_string(i));
    }
    const fs::path png = temp.path() / ("confusion-" + std::to_string(n) + ".png");
    draw_confusion_matrix(png, classes, some_counts(n, 400), "some title");
    keep(png);
    const Decoded picture = decode(read(png));
    BOOST_CHECK_GT(picture.width, 200u);
    BOOST_CHECK(has_margins(picture));
    BOOST_CHECK_GT(key_of(picture), 0u);
  }
  // A title wider than the matrix, and counts with many digits.
  const fs::path wide = temp.path() / "confusion-wide.png";
  draw_confusion_matrix(wide, {"Straight", "Round", "Other"},
                        {{123456, 2, 3}, {4, 1234567, 5}, {0, 0, 0}}, std::string(90, 'W'));
  keep(wide);
  BOOST_CHECK(has_margins(decode(read(wide))));
  for (std::size_t x = key_of(decode(read(wide))) - 8; x < key_of(decode(read(wide))); ++x) {
    BOOST_CHECK(column_is_white(decode(read(wide)), x, 80));
  }
  // Nothing counted at all, odd names, a row too few.
  draw_confusion_matrix(temp.path() / "a.png", {"\xc3\xa4", ""}, {{0, 0}, {0, 0}}, "");
  check_contains(message_of([&] {
                   draw_confusion_matrix(temp.path() / "a.png", {"a", "b"}, {{1, 2}}, "");
                 }),
                 "a row for each class");
  check_contains(message_of([&] {
                   draw_confusion_matrix(temp.path() / "a.png", {"a", "b"}, {{1, 2}, {1}}, "");
                 }),
                 "a column for each class");
}

BOOST_AUTO_TEST_CASE(contact_sheets) {
  const TempDir temp;
  for (const std::size_t classes : {3u, 100u}) {
    std::vector<SheetRow> rows;
    for (std::size_t c = 0; c < classes; ++c) {
      rows.push_back({"class " + std::to_string(c), {}});
      for (std::size_t i = 0; i < 6 - c % 2; ++i) {
        std::vector<std::uint8_t> image;
        for (std::size_t k = 0; k < 3072; ++k) {
          image.push_back(static_cast<std::uint8_t>(k * (i + 1) + c * 20));
        }
        rows.back().images.push_back(image);
      }
    }
    const fs::path png = temp.path() / ("sheet-" + std::to_string(classes) + ".png");
    draw_contact_sheet(png, "A title that is as long as titles of sheets can become, and longer",
                       32, 32, rows);
    keep(png);
    const std::string bytes = read(png);
    draw_contact_sheet(png, "A title that is as long as titles of sheets can become, and longer",
                       32, 32, rows);
    BOOST_CHECK(read(png) == bytes);
    decode(bytes);
    rows[1].images[0].pop_back();
    check_contains(message_of([&] { draw_contact_sheet(png, "t", 32, 32, rows); }),
                   "not the size of the others");
  }
  check_contains(message_of([&] { draw_contact_sheet(temp.path() / "x", "t", 32, 32, {}); }),
                 "needs images");
}

BOOST_AUTO_TEST_CASE(a_tile_shows_its_percentage_and_its_number_whole) {
  const TempDir temp;
  const fs::path png = temp.path() / "tiles.png";
  const auto sheet = [&](std::size_t pictures, const std::string& note) {
    Tile tile;
    tile.pictures.assign(pictures, std::vector<std::uint8_t>(3072, 60));
    tile.truth = "automobile";
    tile.answer = "aquarium_fish_and_more_words";
    tile.confidence = 0.9996;
    tile.note = note;
    draw_tiles(png, "surest", "below", 32, 32, std::vector<Tile>(9, tile));
    const std::string bytes = read(png);
    keep(png);
    return bytes;
  };
  // Every digit is seen: sheets whose numbers differ in the last one only are not alike.
  BOOST_CHECK(sheet(1, "#49990") != sheet(1, "#49991"));
  BOOST_CHECK(sheet(2, "#49990") != sheet(2, "#49991"));
  // Below the percentage where a tile is narrow, beside it where there is room.
  BOOST_CHECK_GT(decode(sheet(1, "#49990")).height, decode(sheet(1, "#1")).height);
  BOOST_CHECK_EQUAL(decode(sheet(2, "#49990")).height, decode(sheet(2, "#1")).height);
  BOOST_CHECK(has_margins(decode(sheet(1, "#49990"))));
}

BOOST_AUTO_TEST_CASE(a_reliability_diagram_shows_each_bar_to_its_accuracy) {
  const TempDir temp;
  const fs::path png = temp.path() / "calibration.png";
  draw_reliability(png, {{100, 0.2, 0.4}, {300, 0.9, 0.7}}, "a title", std::string(90, 'W'));
  keep(png);
  const Decoded picture = decode(read(png));
  BOOST_CHECK(has_margins(picture));
  const auto rows = [&](std::size_t x, const std::string& colour) {
    std::size_t count = 0;
    for (std::size_t y = 116; y < 556; ++y) count += pixel(picture, x, y) == colour ? 1 : 0;
    return count;
  };
  const std::string bar = "\x3e\x7f\xb8", over = "\xde\x6a\x5c", under = "\x78\xb8\x8c";
  // Two bins of 220 of 440 pixels; the diagonal takes a few pixels of a column.
  const auto near = [](std::size_t found, double share) {
    return std::abs(static_cast<double>(found) - share * 440) < 8;
  };
  BOOST_CHECK(near(rows(76 + 20, bar), 0.4));  // Beside the strip: the whole accuracy.
  BOOST_CHECK(near(rows(76 + 110, under), 0.2));
  BOOST_CHECK_EQUAL(rows(76 + 110, over), 0u);
  BOOST_CHECK(near(rows(76 + 240, bar), 0.7));
  BOOST_CHECK(near(rows(76 + 330, over), 0.2));
  BOOST_CHECK_EQUAL(rows(76 + 330, under), 0u);
}

BOOST_AUTO_TEST_SUITE_END()
