#include "tests/unit/fake_certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace cifarpipe::testing {
namespace {

using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using Certificate = std::unique_ptr<X509, void (*)(X509*)>;

void check(bool good) {
  if (!good) throw std::runtime_error("no certificate can be made for the test");
}

Key new_key() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  check(key != nullptr);
  return key;
}

void extend(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  check(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

/// Signed by `issuer`'s key; by its own if there is none.
Certificate new_certificate(const std::string& name, EVP_PKEY* key, X509* issuer,
                            EVP_PKEY* issuer_key) {
  static long serial = 0;
  Certificate certificate(X509_new(), X509_free);
  X509* made = certificate.get();
  X509_set_version(made, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(made), -3600);
  X509_gmtime_adj(X509_getm_notAfter(made), 3600);
  X509_set_pubkey(made, key);
  X509_NAME* subject = X509_get_subject_name(made);
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  check(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1);
  X509* signer = issuer == nullptr ? made : issuer;
  X509_set_issuer_name(made, X509_get_subject_name(signer));
  if (issuer == nullptr) {
    extend(made, signer, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    extend(made, signer, NID_subject_alt_name, "IP:127.0.0.1");
  }
  check(X509_sign(made, issuer_key == nullptr ? key : issuer_key, EVP_sha256()) > 0);
  return certificate;
}

void write(const std::string& path, X509* certificate, EVP_PKEY* key) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"),
                                                             std::fclose);
  check(file != nullptr);
  if (certificate != nullptr) check(PEM_write_X509(file.get(), certificate) == 1);
  if (key != nullptr) {
    check(PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  }
}

}  // namespace

FakeCertificates::FakeCertificates(const std::filesystem::path& dir)
    : ca((dir / "ca.pem").string()),
      certificate((dir / "server.pem").string()),
      key((dir / "server.key").string()),
      client((dir / "client.pem").string()) {
  const Key ca_key = new_key();
  const Certificate authority = new_certificate("Fake CA", ca_key.get(), nullptr, nullptr);
  write(ca, authority.get(), nullptr);
  const Key server_key = new_key();
  const Certificate server =
      new_certificate("127.0.0.1", server_key.get(), authority.get(), ca_key.get());
  write(certificate, server.get(), nullptr);
  write(key, nullptr, server_key.get());
  const Key client_key = new_key();
  const Certificate ann = new_certificate("ann", client_key.get(), authority.get(), ca_key.get());
  write(client, ann.get(), client_key.get());
}

}  // namespace cifarpipe::testing
