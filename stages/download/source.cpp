#include "stages/download/source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "pipeline/error.hpp"
#include "stages/download/http.hpp"

namespace cifarpipe::download {
namespace {

constexpr const char* kCifar10Url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = std::tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string percent_decoded(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                        hex_digit(text[i + 2]) >= 0;
    if (escape) {
      result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

Source parse_source(const std::string& text) {
  if (text == "synthetic") return {Source::Kind::synthetic, "", ""};
  if (text == "cifar10") return {Source::Kind::cifar10, kCifar10Url, ""};
  const std::size_t colon = text.find("://");
  if (colon == std::string::npos) return {Source::Kind::local, "", text};
  std::string scheme = text.substr(0, colon);
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (scheme == "http" || scheme == "https") return {Source::Kind::http, text, ""};
  if (scheme != "file") {
    throw Error(fmt::format("source = \"{}\" cannot be read: only http://, https:// and file:// "
                            "are known",
                            shown_url(text)),
                ErrorKind::usage);
  }
  std::string path = text.substr(colon + 3);
  if (path.rfind("localhost/", 0) == 0) path = path.substr(9);
  if (path.empty() || path[0] != '/') {
    throw Error(fmt::format("source = \"{}\" names a file of another machine; a file of this one "
                            "has three slashes: file:///folder/file",
                            shown_url(text)),
                ErrorKind::usage);
  }
  return {Source::Kind::local, "", percent_decoded(path)};
}

}  // namespace cifarpipe::download
