#include "stages/learn/duplicate_list.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "stages/learn/files.hpp"

namespace cifarpipe::learn {
namespace {

/// No quoting: these lists hold numbers and short words.
std::vector<std::string_view> cells(std::string_view line) {
  std::vector<std::string_view> out;
  while (true) {
    const auto comma = line.find(',');
    out.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return out;
    line.remove_prefix(comma + 1);
  }
}

std::optional<std::size_t> column(const std::vector<std::string_view>& header,
                                  std::string_view name) {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header.begin());
}

class ListReader {
 public:
  ListReader(const std::filesystem::path& file, const std::string& split)
      : file_(file), split_(split) {}

  void header(const std::vector<std::string_view>& names) {
    width_ = names.size();
    index_ = column(names, "TestID");
    if (index_) {
      if (split_ == "test") return;
      throw Error(file_.string() + " lists images of the test split (TestID), not of '" + split_ +
                  "'");
    }
    index_ = column(names, "index");
    own_ = column(names, "split");
    other_ = column(names, "other_split");
    if (!index_ || !own_ || !other_) {
      throw Error(file_.string() +
                  " has neither a column 'TestID' nor the columns split, index and other_split");
    }
  }

  void row(const std::vector<std::string_view>& values, std::size_t number) {
    const std::string place = file_.string() + ":" + std::to_string(number) + ": ";
    if (values.size() != width_) throw Error(place + "a row of another length than the header");
    if (own_ && (values[*own_] != split_ || values[*other_] != "train")) return;
    const std::string_view text = values[*index_];
    std::int64_t index = 0;
    const auto end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, index);
    if (problem != std::errc() || stop != end || index < 0) {
      throw Error(place + "'" + std::string(text) + "' is not an image's number");
    }
    found.insert(index);
  }

  std::set<std::int64_t> found;

 private:
  const std::filesystem::path& file_;
  const std::string& split_;
  std::size_t width_ = 0;
  std::optional<std::size_t> index_, own_, other_;
};

}  // namespace

std::set<std::int64_t> read_duplicates(const std::filesystem::path& list,
                                       const std::string& split) {
  const std::string text = read_text(list);
  std::string_view rest = text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  ListReader reader(list, split);
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const auto end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (number == 1) {
      reader.header(cells(line));
    } else if (!line.empty()) {
      reader.row(cells(line), number);
    }
  }
  if (text.empty()) throw Error(list.string() + " is empty");
  return std::move(reader.found);
}

}  // namespace cifarpipe::learn
