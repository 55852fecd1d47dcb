#include "pipeline/secrets.hpp"

#include <boost/test/unit_test.hpp>

#include "pipeline/description.hpp"
#include "pipeline/diagnostics.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

struct Case {
  const char* text;
  const char* shown;
};

BOOST_AUTO_TEST_SUITE(secrets)

BOOST_AUTO_TEST_CASE(names) {
  for (const char* name : {"password",
                           "PASSWORD",
                           "db_password",
                           "passwd",
                           "token",
                           "hf_token",
                           "hfToken",
                           "HF-TOKEN",
                           "MLFLOW_TRACKING_TOKEN",
                           "AWS_SECRET_ACCESS_KEY",
                           "AWS_ACCESS_KEY_ID",
                           "awsSecretAccessKey",
                           "api_key",
                           "apikey",
                           "APIKey",
                           "x-api-key",
                           "private_key",
                           "client_secret",
                           "credentials",
                           "DB_PWD",
                           "passphrase",
                           "token2",
                           "X-Amz-Signature",
                           "--token"}) {
    BOOST_TEST(names_a_secret(name), name);
  }
  for (const char* name :
       {"",          "tokens",    "num_tokens",  "pad_token",   "eosToken",   "password_file",
        "token_url", "tokenizer", "key",         "keys",        "public_key", "PWD",
        "OLDPWD",    "secretary", "lr",          "monkey",      "access",     "primary_key",
        "passed",    "signature", "token_count", "secret_name", "keyboard"}) {
    BOOST_TEST(!names_a_secret(name), name);
  }
}

BOOST_AUTO_TEST_CASE(user_info_of_urls) {
  const Case cases[] = {
      {"https://me:pw@host/x", "https://***@host/x"},
      {"get https://token@host:80?a=b now", "get https://***@host:80?a=b now"},
      {"https://host/x@y", "https://host/x@y"},
      {"http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"},
      {"http://[::1]/a@b", "http://[::1]/a@b"},
      {"a://b:c/d@e/f", "a://***@e/f"},  // A '/' in the password that nobody encoded.
      {"two: s3://k:s@b 'ftp://u@h'", "two: s3://***@b 'ftp://***@h'"},
      {"https://a@b@c/", "https://***@c/"},
      {"mail me@host ://", "mail me@host ://"},
      {"https://***@host", "https://***@host"},
  };
  for (const Case& c : cases) BOOST_TEST(without_userinfo(c.text) == c.shown);
}

BOOST_AUTO_TEST_CASE(values_of_names) {
  const Case cases[] = {
      {"token=abc", "token=***"},
      {"--set download.token=a,b;c d", "--set download.token=*** d"},
      {"password = \"a b\" # x", "password = \"***\" # x"},
      {"password: hunter", "password: ***"},
      {"{\"api_key\": \"a\\\"b\", \"lr\": 1}", "{\"api_key\": \"***\", \"lr\": 1}"},
      {"{\\\"api_key\\\":\\\"abc\\\"}", "{\\\"api_key\\\":\\\"***\\\"}"},
      {"os.environ['HF_TOKEN'] = 'abc'", "os.environ['HF_TOKEN'] = '***'"},
      {"GET /x?access_token=abc&page=2", "GET /x?access_token=***&page=2"},
      {"(secret=abc)", "(secret=***)"},
      {"secret := abc", "secret := ***"},
      {"Authorization: Basic bWU6cHc=\r\nHost: x", "Authorization: ***\r\nHost: x"},
      {"sent Bearer abcdefgh123", "sent Bearer ***"},
      {"token = [\"ab\", 'cd']", "token = [\"***\", '***']"},
      {"token = '''\na\nb'''\nlr = 1", "token = '''***'''\nlr = 1"},
      // Nothing to hide.
      {"token == other", "token == other"},
      {"token: expected", "token: expected"},
      {"token = { env = \"HF_TOKEN\" }", "token = { env = \"HF_TOKEN\" }"},
      {"token=$HF_TOKEN ${X}", "token=$HF_TOKEN ${X}"},
      {"secret=true", "secret=true"},
      {"std::token::x", "std::token::x"},
      {"password=", "password="},
      {"lr=0.1 epochs=3", "lr=0.1 epochs=3"},
      {"token=***", "token=***"},
  };
  for (const Case& c : cases) BOOST_TEST(without_secrets(c.text) == c.shown);
}

BOOST_AUTO_TEST_CASE(known_forms) {
  const std::string github = "ghp_" + std::string(20, 'a') + "0123456789abcdef";
  BOOST_TEST(without_secrets("got " + github + ".") == "got ***");
  BOOST_TEST(without_secrets("AKIA0123456789ABCDEF") == "***");
  BOOST_TEST(without_secrets("xAKIA0123456789ABCDEF") == "xAKIA0123456789ABCDEF");
  BOOST_TEST(without_secrets("hf_short") == "hf_short");
  BOOST_TEST(
      without_secrets("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----") ==
      "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----");
}

BOOST_AUTO_TEST_CASE(code_stays_code) {
  const Case cases[] = {
      {"+  const auto token = next(lexer);", "+  const auto token = next(lexer);"},
      {"-  token = parse<token>(x1234567);", "-  token = parse<token>(x1234567);"},
      {" std::string token = \"abcd\";", " std::string token = \"***\";"},
      {"+API_KEY=abcdef123456", "+API_KEY=***"},
      {"+source = \"https://u:p@h/x\"", "+source = \"https://***@h/x\""},
      {"+ password: str = None", "+ password: str = None"},
      {"+about = \"password: hunter\"", "+about = \"password: ***\""},
      {"+ print(f\"token={token}\")", "+ print(f\"token={token}\")"},
  };
  for (const Case& c : cases) BOOST_TEST(without_secrets(c.text, TextKind::code) == c.shown);
}

BOOST_AUTO_TEST_CASE(data_stays_data) {
  const Case cases[] = {
      {"max_token = 5", "max_token = 5"},
      {"credentials = \"./a.json\"", "credentials = \"./a.json\""},
      {"about = \"password: hunter\"", "about = \"password: ***\""},
      {"token = \"abc\"", "token = \"***\""},
      {"api_key.x = 'abc'", "api_key.x = '***'"},
  };
  for (const Case& c : cases) BOOST_TEST(without_secrets(c.text, TextKind::data) == c.shown);
}

BOOST_AUTO_TEST_CASE(stars_keep_columns) {
  BOOST_TEST(with_stars("token = \"aüb\" # x") == "token = \"***\" # x");
  BOOST_TEST(with_stars("token = '''\nab\ncd'''") == "token = '''\n**\n**'''");
  Diagnostics diagnostics;
  diagnostics.add_source("a.toml", "api_key = \"abcdef\" # why\n");
  diagnostics.error({"a.toml", 1, 11}, "'api_key' = \"abcdef\" is wrong", 8);
  BOOST_TEST(diagnostics.render() ==
             "a.toml:1:11: error: 'api_key' = \"***\" is wrong\n"
             "    1 | api_key = \"******\" # why\n"
             "      |           ^~~~~~~~\n");
}

BOOST_AUTO_TEST_CASE(values_of_the_environment) {
  const char* const variables[] = {"HF_TOKEN=from-the-environment",
                                   "DB_PASSWORD=short",
                                   "PWD=/home/somebody",
                                   "SECRET_KEY=/",
                                   "CREDENTIALS=/proc/self/stat",
                                   "PROXY=http://me:proxy-word@host:1/",
                                   "NOTHING",
                                   "PRIVATE_KEY=first-line-of-it\nlast-line-of-it\n",
                                   "API_KEY=with \"quotes\" & more",
                                   nullptr};
  const Secrets known = Secrets::of_environment(variables);
  BOOST_TEST(known.redacted("xfrom-the-environmenty") == "x***y");
  BOOST_TEST(known.redacted("short / /home/somebody /proc/self/stat") ==
             "short / /home/somebody /proc/self/stat");
  BOOST_TEST(known.redacted("it is proxy-word.") == "it is ***.");
  BOOST_TEST(known.redacted("+last-line-of-it") == "+***");
  BOOST_TEST(known.redacted("a?k=with%20%22quotes%22%20%26%20more") == "a?k=***");
  BOOST_TEST(known.redacted("{\"k\": \"with \\\"quotes\\\" & more\"}") == "{\"k\": \"***\"}");
}

BOOST_AUTO_TEST_CASE(short_values_are_whole_words) {
  Secrets known;
  known.add("train");
  known.add("abc");
  known.add("true");
  BOOST_TEST(known.redacted("train/loss of training, (train) abc true") ==
             "***/loss of training, (***) abc true");
}

BOOST_AUTO_TEST_CASE(one_value_inside_another) {
  Secrets known;
  known.add("inside-it");
  known.add("around-inside-it-around");
  BOOST_TEST(known.redacted("around-inside-it-around inside-it") == "*** ***");
}

BOOST_AUTO_TEST_CASE(command_lines) {
  Secrets known;
  known.add_parameter("x", "pin", "12");
  const std::vector<std::string> shown = known.redacted_arguments(
      {"cifarpipe", "run", "--set", "x.token=a b&c", "--set=x.pin=12", "--set",
       "stages.x.params.pin=12", "--set", "x.token={ env = \"T\" }", "--set", "x.lr=12", "--token",
       "abc", "--note", "password: y", "https://u:p@h/"});
  const std::vector<std::string> expected = {"cifarpipe",
                                             "run",
                                             "--set",
                                             "x.token=***",
                                             "--set=x.pin=***",
                                             "--set",
                                             "stages.x.params.pin=***",
                                             "--set",
                                             "x.token={ env = \"T\" }",
                                             "--set",
                                             "x.lr=12",
                                             "--token",
                                             "***",
                                             "--note",
                                             "password: ***",
                                             "https://***@h/"};
  BOOST_TEST(shown == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(values_by_their_names) {
  const Secrets known;
  BOOST_TEST(known.redacted_value("train.api_key", "abc") == "***");
  BOOST_TEST(known.redacted_value("token", "") == "");
  BOOST_TEST(known.redacted_value("url", "https://a@b") == "https://***@b");
}

BOOST_AUTO_TEST_CASE(parameters_that_nobody_declared_secret) {
  struct Params {
    std::string api_key;
    std::string pad_token;
    int token = 3;
    static Schema<Params> schema() {
      return Schema<Params>{}
          .field("api_key", &Params::api_key, "Opens a server.")
          .field("pad_token", &Params::pad_token, "Opens nothing.")
          .field("token", &Params::token, "A number.");
    }
  };
  StageDescription described;
  described.name = "x";
  described.params = Params::schema().info();
  const StageDescription read = description_from_json(to_json(described));
  BOOST_TEST(read.params.find("api_key")->secret);
  BOOST_TEST(read.params.find("api_key")->no_effect);
  BOOST_TEST(!read.params.find("pad_token")->secret);
  BOOST_TEST(!read.params.find("token")->secret);
}

BOOST_AUTO_TEST_CASE(nothing_of_it_enters_the_database) {
  testing::TempDir dir;
  SqliteRecorder recorder(dir / "cifarpipe.db");
  Secrets known;
  known.add("planted-value");
  recorder.keep_out(known);
  NewRun run;
  run.id = "aa";
  run.name = "about planted-value";
  run.command = "cifarpipe run --set x.token=planted-value";
  run.note = "planted-value";
  run.params = {{"x.source", std::string("https://me:planted-value@host/")},
                {"x.list", std::vector<std::string>{"planted-value"}},
                {"x.api_key", std::string("planted-other")}};
  run.tags = {{"token", "planted-other"}, {"why", "planted-value"}};
  run.facts = {{"git.remote", "https://planted-value@host/"}};
  recorder.create_run(run);
  recorder.annotate_run("aa", "planted-value again", "planted-value",
                        {{"secret", "planted-other"}});
  RunStage stage;
  stage.name = "x";
  stage.message = "refused: planted-value";
  stage.reason = "password=planted-other";
  recorder.put_run_stage("aa", stage);
  recorder.finish_run("aa", RunStatus::failed, 1, "x failed: planted-value");
  ResultRecord result;
  result.job = {"k", 0};
  result.facts = {{"seen", "planted-value"}, {"cookie_secret", "planted-other"}};
  recorder.put_result(result);
  for (const char* sql :
       {"SELECT group_concat(name || command || note || message) FROM run",
        "SELECT group_concat(value) FROM run_param", "SELECT group_concat(value) FROM run_tag",
        "SELECT group_concat(value) FROM run_fact",
        "SELECT group_concat(reason || message) FROM run_stage",
        "SELECT group_concat(value) FROM result_fact"}) {
    Statement rows(recorder.database(), sql);
    BOOST_REQUIRE(rows.step());
    BOOST_TEST(rows.text(0).find("planted") == std::string::npos, rows.text(0));
    BOOST_TEST(rows.text(0).find("***") != std::string::npos, rows.text(0));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
