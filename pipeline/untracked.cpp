#include "pipeline/untracked.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <vector>

#include "pipeline/provenance.hpp"

namespace cifarpipe {
namespace fs = std::filesystem;
namespace {

constexpr std::uintmax_t kMostOfFile = 100'000;
constexpr std::size_t kMostOfAll = 1'000'000;
constexpr std::size_t kMostFiles = 500;
constexpr std::size_t kNamed = 8;  // Of those that are left out; the rest is a number.

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

bool is_secret_name(const std::string& name) {
  constexpr std::array kBegins = {".env",     ".netrc",    ".pypirc", ".git-credentials",
                                  ".npmrc",   ".htpasswd", "id_rsa",  "id_dsa",
                                  "id_ecdsa", "id_ed25519"};
  constexpr std::array kEnds = {".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx"};
  constexpr std::array kWords = {"secret", "credential", "password", "passwd"};
  for (const char* begin : kBegins) {
    if (name.starts_with(begin)) return true;
  }
  for (const char* end : kEnds) {
    if (name.ends_with(end)) return true;
  }
  for (const char* word : kWords) {
    if (name.find(word) != std::string::npos) return true;
  }
  const std::size_t token = name.find("token");
  return token != std::string::npos && name.compare(token, 6, "tokeni") != 0;
}

/// What follows a word such as `password`: an assignment of six characters or more. `anything`: of
/// whatever they are; else of a text in quotes, or of one with a digit, which names in code seldom
/// have. A call is none: `token = next()`.
bool is_assigned(std::string_view rest, bool anything) {
  const auto skip = [&rest](std::string_view what) {
    const std::size_t at = std::min(rest.find_first_not_of(what), rest.size());
    const bool quote = rest.substr(0, at).find_first_of("\"'") != std::string_view::npos;
    rest.remove_prefix(at);
    return quote;
  };
  skip("\"' \t");
  if (rest.empty() || (rest.front() != '=' && rest.front() != ':')) return false;
  const bool quoted = skip("=: \t\"'");
  // `{ env = "NAME" }` is the way in which a configuration does not hold it.
  if (rest.starts_with("{") || rest.starts_with("$")) return false;
  const std::string_view value = rest.substr(0, rest.find_first_of("\"' \t\r\n,;"));
  if (value.size() < 6 || value.find('(') != std::string_view::npos) return false;
  return anything || quoted || value.find_first_of("0123456789") != std::string_view::npos;
}

bool is_plain_name(std::string_view name) {
  return std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '"' || c == '\\';
  });
}

std::vector<std::string> names_of(const fs::path& top, const fs::path& except) {
  std::vector<std::string> arguments = {"ls-files", "--others", "--exclude-standard",
                                        "-z",       "--",       "."};
  std::error_code error;
  const fs::path inside = fs::weakly_canonical(except, error).lexically_relative(top);
  if (!error && !except.empty() && !inside.empty() && *inside.begin() != ".." && inside != ".") {
    arguments.push_back(fmt::format(":(exclude,literal){}", inside.generic_string()));
  }
  std::vector<std::string> names;
  const std::string list = run_git(top, arguments, 4'000'000).value_or("");
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find('\0', begin), list.size());
    names.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

class Collector {
 public:
  explicit Collector(const fs::path& top) : top_(top) {}

  void add(const std::string& name) {
    struct stat info {};
    const fs::path file = top_ / name;
    if (::lstat(file.c_str(), &info) != 0) return;  // Gone by now.
    if (!S_ISREG(info.st_mode)) return leave_out(name, "no regular file");
    if (!is_plain_name(name)) return leave_out("…", "a name that cannot be written plainly");
    if (static_cast<std::uintmax_t>(info.st_size) >= kMostOfFile) {
      return leave_out(name, "100 kB or more");
    }
    if (files_ == kMostFiles || found_.patch.size() > kMostOfAll) {
      return leave_out(name, "more than 1 MB in all");
    }
    std::ifstream in(file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (!in.good() && !in.eof()) return leave_out(name, "cannot be read");
    if (text.find('\0') != std::string::npos) return leave_out(name, "not a text");
    if (may_hold_secret(name, text)) return leave_out(name, "may hold a secret");
    ++files_;
    found_.patch += new_file_patch(name, text, (info.st_mode & S_IXUSR) != 0);
  }

  UntrackedFiles take() {
    if (left_out_ > kNamed) {
      found_.left_out += fmt::format(", and {} more", left_out_ - kNamed);
    }
    return std::move(found_);
  }

 private:
  void leave_out(const std::string& name, std::string_view why) {
    if (++left_out_ > kNamed) return;
    found_.left_out += fmt::format("{}{} ({})", left_out_ > 1 ? ", " : "untracked: ", name, why);
  }

  const fs::path& top_;
  UntrackedFiles found_;
  std::size_t files_ = 0;
  std::size_t left_out_ = 0;
};

}  // namespace

bool may_hold_secret(std::string_view name, std::string_view text) {
  const std::string small_name = lower(name.substr(name.rfind('/') + 1));  // npos + 1 = 0.
  if (is_secret_name(small_name)) return true;
  const std::string small = lower(text);
  if (small.find("private key-----") != std::string::npos) return true;
  constexpr std::array kWords = {"password", "passwd", "secret",     "token",
                                 "api_key",  "apikey", "access_key", "private_key"};
  for (const std::string_view word : kWords) {
    for (std::size_t at = small.find(word); at != std::string::npos;
         at = small.find(word, at + 1)) {
      if (is_assigned(std::string_view(small).substr(at + word.size()), word[0] == 'p'))
        return true;
    }
  }
  return false;
}

std::string without_unsafe_parts(const std::string& patch, std::string& left_out) {
  std::string out;
  for (std::size_t begin = 0; begin < patch.size();) {
    const std::size_t next = patch.find("\ndiff --git ", begin);
    const std::size_t end = next == std::string::npos ? patch.size() : next + 1;
    const std::string_view part = std::string_view(patch).substr(begin, end - begin);
    begin = end;
    const std::string_view head = part.substr(0, part.find('\n'));
    const std::string_view name = head.substr(std::min(head.size(), head.rfind(" b/") + 3));
    const bool secret = may_hold_secret(name, part);
    if (!secret && part.find("\nBinary files ") == std::string_view::npos) {
      out += part;
      continue;
    }
    left_out += fmt::format("{}changes of {} ({})", left_out.empty() ? "" : ", ", name,
                            secret ? "may hold a secret" : "large and not a text");
  }
  return out;
}

std::string new_file_patch(std::string_view name, std::string_view text, bool executable) {
  std::string out = fmt::format("diff --git a/{0} b/{0}\nnew file mode {1}\n", name,
                                executable ? "100755" : "100644");
  if (text.empty()) {
    constexpr std::string_view kEmptyBlob = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
    return out + fmt::format("index {}..{}\n", std::string(kEmptyBlob.size(), '0'), kEmptyBlob);
  }
  // As git does: a tab ends a name with spaces.
  const bool spaces = name.find(' ') != std::string_view::npos;
  const auto breaks = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  const std::size_t lines = breaks + (text.back() == '\n' ? 0 : 1);
  out +=
      fmt::format("--- /dev/null\n+++ b/{}{}\n@@ -0,0 +1,{} @@\n", name, spaces ? "\t" : "", lines);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out += '+';
    out += text.substr(0, end);
    out += '\n';
    if (end == text.size()) {
      out += "\\ No newline at end of file\n";
      break;
    }
    text.remove_prefix(end + 1);
  }
  return out;
}

UntrackedFiles untracked_files(const fs::path& top, const fs::path& except) {
  Collector collector(top);
  for (const std::string& name : names_of(top, except)) collector.add(name);
  return collector.take();
}

}  // namespace cifarpipe
