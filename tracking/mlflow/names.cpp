#include "tracking/mlflow/names.hpp"

#include <algorithm>
#include <charconv>

#include "pipeline/digest.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

constexpr std::size_t kHashDigits = 6;

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// The parts between slashes, as posixpath.normpath leaves them: MLflow refuses a key that it
/// would change, because a key may become a file's name.
std::string normal_path(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    std::string_view part = text.substr(0, slash);
    text.remove_prefix(std::min(slash + 1, text.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") part = "__";
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

std::string clean_value(std::string_view value) {
  std::string out;
  for (const char c : valid_utf8(value)) {
    if (c == '\0') {
      out += "\xef\xbf\xbd";  // PostgreSQL has no text with NUL in it.
    } else {
      out += c;
    }
  }
  return out;
}

std::string cut_value(const std::string& value, std::size_t limit) {
  return std::string(first_code_points(value, limit - 1)) + "…";
}

Fit fit_pairs(const Pairs& pairs, std::size_t limit, bool colons) {
  std::vector<std::string> keys;
  for (const auto& pair : pairs) keys.push_back(pair.first);
  KeyNames names(colons, keys);
  Fit fit;
  std::map<std::string, std::size_t> places;
  for (const auto& pair : pairs) {
    const std::string& name = names.name(pair.first);
    const auto place = places.emplace(name, fit.pairs.size());
    if (place.second) {
      fit.pairs.emplace_back(name, "");
      if (name != pair.first) fit.renamed.emplace_back(pair.first, name);
    }
    std::string value = clean_value(pair.second);
    std::erase_if(fit.cut, [&](const Fit::Cut& cut) { return cut.name == name; });
    if (code_points(value) > limit) {
      fit.cut.push_back({pair.first, name, pair.second});
      value = cut_value(value, limit);
    }
    fit.pairs[place.first->second].second = std::move(value);
  }
  return fit;
}

std::string without(std::string_view name, std::string_view refused) {
  std::string out = valid_utf8(name);
  for (char& c : out) {
    if (refused.find(c) != std::string_view::npos || static_cast<unsigned char>(c) < ' ') c = '-';
  }
  return out.empty() ? "model" : std::string(first_code_points(out, kKeyLength));
}

}  // namespace

std::string fitted_key(std::string_view key, bool colons) {
  const std::string text = valid_utf8(key);
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t from = at;
    const char32_t c = next_code_point(text, at);
    const bool kept =
        is_word(c) || c == '/' || c == '.' || c == '-' || c == ' ' || (c == ':' && colons);
    if (kept) {
      out += text.substr(from, at - from);
    } else {
      out += '_';
    }
  }
  out = normal_path(first_code_points(normal_path(out), kKeyLength));
  return out.empty() ? "_" : out;
}

KeyNames::KeyNames(bool colons, const std::vector<std::string>& known) : colons_(colons) {
  for (const std::string& key : known) {
    if (fitted_key(key, colons) != key) continue;
    names_.emplace(key, key);
    taken_.insert(key);
  }
}

const std::string& KeyNames::name(const std::string& key) {
  const auto found = names_.find(key);
  if (found != names_.end()) return found->second;
  const std::string plain = fitted_key(key, colons_);
  std::string name = plain;
  const std::string hash = sha256(key);
  for (std::size_t digits = kHashDigits; taken_.count(name) != 0; ++digits) {
    name = first_code_points(plain, kKeyLength - 1 - digits);
    name += '-' + hash.substr(0, digits);
  }
  taken_.insert(name);
  return names_.emplace(key, name).first->second;
}

Fit fit_params(const Pairs& params, const Server& server) {
  return fit_pairs(params, kParamLength, server.colons_in_keys);
}

Fit fit_tags(const Pairs& tags, const Server& server) {
  return fit_pairs(tags, server.tag_length, server.colons_in_keys);
}

Fit fit_experiment_tags(const Pairs& tags, const Server& server) {
  const std::size_t limit = version_at_least(server.version, 3, 17) ? 20000 : 5000;
  return fit_pairs(tags, limit, server.colons_in_keys);
}

std::string artifact_path_problem(std::string_view path) {
  if (path.empty()) return "is empty";
  if (path.front() == '/') return "begins with '/'";
  if (path.back() == '/') return "ends with '/'";
  for (std::size_t at = 0; at < path.size(); ++at) {
    const char c = path[at];
    if (c == '#' || c == '\\') return std::string("holds '") + c + "', which MLflow refuses";
    if (static_cast<unsigned char>(c) < ' ') return "holds a control character";
    // The server decodes until nothing changes: no number of encodings would bring it there.
    if (c == '%' && at + 2 < path.size() && is_hex(path[at + 1]) && is_hex(path[at + 2])) {
      return "holds '" + std::string(path.substr(at, 3)) + "', which MLflow would decode";
    }
  }
  if (valid_utf8(path) != path) return "is not UTF-8";
  if (path.find("//") != std::string_view::npos) return "has an empty part";
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    if (part == "." || part == "..") return "has a part '" + std::string(part) + "'";
    rest.remove_prefix(std::min(slash + 1, rest.size()));
  }
  return "";
}

std::string artifact_url_path(std::string_view path) {
  std::string out;
  while (true) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    out += percent_encoded(path.substr(0, slash));
    if (slash == path.size()) return out;
    out += '/';
    path.remove_prefix(slash + 1);
  }
}

std::string fitted_model_name(std::string_view name) {
  return without(name, "/:.%\"'");
}

std::string fitted_registered_name(std::string_view name) {
  return without(name, "/:");
}

bool version_at_least(std::string_view version, int major, int minor, int patch) {
  int parts[3] = {-1, 0, 0};
  const char* at = version.data();
  const char* end = at + version.size();
  for (int& part : parts) {
    const auto read = std::from_chars(at, end, part);
    if (read.ec != std::errc()) break;
    at = read.ptr;
    if (at == end || *at != '.') break;
    ++at;
  }
  const int wanted[3] = {major, minor, patch};
  return !std::lexicographical_compare(parts, parts + 3, wanted, wanted + 3);
}

}  // namespace cifarpipe::mlflow
