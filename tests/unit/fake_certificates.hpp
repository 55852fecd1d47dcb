// Certificates for a test's https server: an authority, a server (127.0.0.1) and a client, as PEM
// files in a folder.
#pragma once

#include <filesystem>
#include <string>

namespace cifarpipe::testing {

struct FakeCertificates {
  /// Makes the files in `dir`. Throws on failure.
  explicit FakeCertificates(const std::filesystem::path& dir);

  std::string ca;           ///< Certificate of the authority.
  std::string certificate;  ///< The server's.
  std::string key;
  std::string client;  ///< Certificate ("CN=ann") and key in one file.
};

}  // namespace cifarpipe::testing
