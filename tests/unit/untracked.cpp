#include "pipeline/untracked.hpp"

#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "pipeline/file_ops.hpp"
#include "pipeline/provenance.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
namespace fs = std::filesystem;

/// A repository with one commit of one file.
struct Repository {
  TempDir dir;
  const fs::path top = fs::canonical(dir.path());

  Repository() {
    git({"init", "--quiet"});
    write("tracked.txt", "one\ntwo\n");
    git({"add", "."});
    git({"-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first"});
  }
  void git(const std::vector<std::string>& arguments) {
    BOOST_REQUIRE(run_git(top, arguments).has_value());
  }
  void write(const std::string& name, std::string_view text) {
    fs::create_directories((top / name).parent_path());
    real_file_ops().write_file(top / name, text);
  }
};

BOOST_AUTO_TEST_SUITE(untracked)

BOOST_FIXTURE_TEST_CASE(a_clean_repository, Repository) {
  const GitState state = git_state(top);
  BOOST_TEST(state.commit.size() == 40);
  BOOST_TEST(state.top == top.string());
  BOOST_TEST(!state.branch.empty());
  BOOST_TEST(!state.dirty);
  BOOST_TEST(state.diff == "");
  BOOST_TEST(state.missing == "");
}

BOOST_FIXTURE_TEST_CASE(no_repository, Repository) {
  const TempDir other;
  BOOST_TEST(git_state(other.path()).commit == "");
}

BOOST_FIXTURE_TEST_CASE(the_patch_makes_the_same_files_again, Repository) {
  write("tracked.txt", "one\n2\n");
  write("new.toml", "a = 1\n");
  write("deep/in/a folder.txt", "no newline at the end");
  write("empty", "");
  write("caf\xc3\xa9.txt", "caf\xc3\xa9\r\n\n");
  write("script", "#!/bin/sh\n");
  BOOST_REQUIRE(::chmod((top / "script").c_str(), 0755) == 0);
  const std::string bytes("\0\1\2binary", 9);
  write("tracked.bin", bytes);
  git({"add", "tracked.bin"});  // Known to git and binary: in the patch as such.
  fs::create_directories(top / "sub");
  const GitState state = git_state(top / "sub");  // Whatever folder the file is in.
  BOOST_TEST(state.dirty);
  BOOST_TEST(state.missing == "");

  const TempDir other;
  const fs::path copy = other / "copy";
  git({"worktree", "add", "--quiet", "--detach", copy.string(), state.commit});
  real_file_ops().write_file(other / "patch", state.diff);
  BOOST_REQUIRE(
      run_git(copy, {"apply", "--whitespace=nowarn", (other / "patch").string()}).has_value());
  for (const char* name : {"tracked.txt", "new.toml", "deep/in/a folder.txt", "empty",
                           "caf\xc3\xa9.txt", "script", "tracked.bin"}) {
    BOOST_TEST_CONTEXT(name) {
      BOOST_TEST(read_text_file(copy / name) == read_text_file(top / name));
    }
  }
  BOOST_TEST(
      ((fs::status(copy / "script").permissions() & fs::perms::owner_exec) != fs::perms::none));
}

BOOST_FIXTURE_TEST_CASE(settings_of_the_user_do_not_change_the_patch, Repository) {
  for (const auto& [name, value] :
       {std::pair("diff.noprefix", "true"), std::pair("diff.mnemonicPrefix", "true"),
        std::pair("color.ui", "always"), std::pair("diff.external", "false")}) {
    git({"config", name, value});
  }
  write("tracked.txt", "other\n");
  const std::string diff = git_state(top).diff;
  BOOST_TEST(diff.starts_with("diff --git a/tracked.txt b/tracked.txt\n"));
  BOOST_TEST(diff.find('\x1b') == diff.npos);
}

BOOST_FIXTURE_TEST_CASE(changes_that_stay_out_are_named, Repository) {
  write("settings.toml", "a = 1\n");
  write("z.txt", "z\n");
  git({"add", "."});
  git({"-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "second"});
  write("settings.toml", "a = 1\napi_key = \"0123456789abcdef\"\n");
  write("tracked.txt", "1\n");
  write("z.txt", "zz\n");
  const GitState state = git_state(top);
  BOOST_TEST(state.dirty);
  BOOST_TEST(state.missing == "changes of settings.toml (may hold a secret)");
  BOOST_TEST(state.diff.find("0123456789abcdef") == state.diff.npos);
  BOOST_TEST(state.diff.find("+1\n") != state.diff.npos);
  BOOST_TEST(state.diff.ends_with("-z\n+zz\n"));
  std::string left_out;
  const std::string text = "diff --git a/x b/x\nindex 1..2\n";
  BOOST_TEST(without_unsafe_parts(text + "Binary files a/x and b/x differ\n" + text, left_out) ==
             text);
  BOOST_TEST(left_out == "changes of x (large and not a text)");
}

BOOST_FIXTURE_TEST_CASE(what_stays_out_is_named, Repository) {
  write(".gitignore", "ignored\n");
  write("ignored", "not even looked at");
  write("runs/latest/run.log", "of the store");
  write("big.csv", std::string(100'000, 'x'));
  write("image.png", std::string("\x89PNG\0", 5));
  write(".env", "NAME=value\n");
  write("settings.ini", "[db]\npassword = hunter2hunter2\n");
  write("odd\nname", "x");
  fs::create_symlink("/etc/hostname", top / "link");
  const GitState state = git_state(top, top / "runs");
  BOOST_TEST(state.diff.find("+++ b/.gitignore") != state.diff.npos);
  for (const char* text : {"ignored file", "run.log", "hunter2", "NAME=value", "PNG"}) {
    BOOST_TEST(state.diff.find(text) == state.diff.npos);
  }
  for (const char* text :
       {"untracked: ", "big.csv (100 kB or more)", "image.png (not a text)",
        ".env (may hold a secret)", "settings.ini (may hold a secret)", "link (no regular file)"}) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_TEST(state.missing.find(text) != state.missing.npos);
    }
  }
  BOOST_TEST(state.missing.find("run.log") == state.missing.npos);
  BOOST_TEST(state.missing.find('\n') == state.missing.npos);
}

BOOST_FIXTURE_TEST_CASE(many_files_are_a_number, Repository) {
  for (int i = 0; i < 20; ++i) write("data/" + std::to_string(i), std::string(1, '\0'));
  BOOST_TEST(git_state(top).missing.ends_with(", and 12 more"));
  for (int i = 0; i < 20; ++i) write("text/" + std::to_string(i), std::string(90'000, '\n'));
  const GitState state = git_state(top);
  BOOST_TEST(state.diff.size() < 2'500'000);  // A patch's line costs one byte more.
  BOOST_TEST(state.missing.find("more") != state.missing.npos);
}

BOOST_AUTO_TEST_CASE(secrets_by_name_and_text) {
  for (const char* name : {".env", ".env.local", "a/.netrc", "id_rsa", "server.pem", "x/tls.key",
                           "my_secrets.toml", "aws_credentials", "api-token.txt"}) {
    BOOST_TEST_CONTEXT(name) {
      BOOST_TEST(may_hold_secret(name, ""));
    }
  }
  for (const char* name : {"train.toml", "tokenizer.json", "keys.md", "environment.yml", "a.py"}) {
    BOOST_TEST_CONTEXT(name) {
      BOOST_TEST(!may_hold_secret(name, "epochs = 20\n"));
    }
  }
  for (const char* text :
       {"password: correct-horse", "API_KEY = \"abcdef123\"", "  \"token\": \"eyJhbGciOi\"",
        "aws_secret_access_key=ABCDEFG1", "-----BEGIN RSA PRIVATE KEY-----"}) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_TEST(may_hold_secret("a.txt", text));
    }
  }
  for (const char* text : {"max_tokens = 100000", "token = { env = \"HF_TOKEN\" }", "password =",
                           "the secret of success", "token: str", "token = tokenizer.next()",
                           "cls_token: Tensor", "self.token = embedding"}) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_TEST(!may_hold_secret("a.txt", text));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
