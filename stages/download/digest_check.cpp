#include "stages/download/digest_check.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <memory>
#include <vector>

#include "pipeline/error.hpp"
#include "stages/learn/files.hpp"

namespace cifarpipe::download {
namespace {

std::string checked_pin(std::string text, std::size_t digits, const char* name) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool hex =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (!text.empty() && (text.size() != digits || !hex)) {
    throw Error(fmt::format("'{}' = \"{}\" is not a digest: {} hex digits are expected", name, text,
                            digits),
                ErrorKind::usage);
  }
  return text;
}

class Hash {
 public:
  explicit Hash(const EVP_MD* kind) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), kind, nullptr) != 1) {
      throw Error("OpenSSL of this machine cannot compute SHA-256 or MD5", ErrorKind::environment);
    }
  }
  void update(const void* data, std::size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string finish() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), digest, &size);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

void check_one(const std::string& pin, const std::string& found, const char* kind,
               const std::string& name) {
  if (pin.empty() || pin == found) return;
  throw Error(
      fmt::format("{} has the {} {} but {} is expected: it is damaged or not the file that "
                  "was meant",
                  name, kind, found, pin));
}

}  // namespace

Pins checked_pins(const std::string& sha256, const std::string& md5) {
  return {checked_pin(sha256, 64, "sha256"), checked_pin(md5, 32, "md5")};
}

Pins digests_of(const std::filesystem::path& file, const std::function<void()>& tick) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw learn::file_error("open", file, errno);
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd,
                                                                [](const int* f) { ::close(*f); });
  Hash sha256(EVP_sha256());
  Hash md5(EVP_md5());
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw learn::file_error("read", file, errno);
    if (n == 0) break;
    sha256.update(buffer.data(), static_cast<std::size_t>(n));
    md5.update(buffer.data(), static_cast<std::size_t>(n));
    tick();
  }
  return {sha256.finish(), md5.finish()};
}

void check_pins(const Pins& pins, const Pins& found, const std::string& name) {
  check_one(pins.sha256, found.sha256, "SHA-256", name);
  check_one(pins.md5, found.md5, "MD5", name);
}

}  // namespace cifarpipe::download
