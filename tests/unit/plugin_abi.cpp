#include <boost/test/unit_test.hpp>
#include <string_view>

#include "plugins/abi.hpp"
#include "plugins/plugin.hpp"

using namespace cifarpipe;
using namespace std::literals;

namespace {

// The clauses of the differences after one change, joined.
template <class F>
std::string difference(F change) {
  Stamp plugin = host_stamp();
  change(plugin);
  std::string out;
  for (const auto& clause : stamp_differences(plugin, host_stamp())) {
    out += (out.empty() ? "" : "; ") + clause;
  }
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(plugin_abi)

BOOST_AUTO_TEST_CASE(own_stamp_is_complete) {
  const Stamp& host = host_stamp();
  BOOST_TEST(host.api == CIFARPIPE_SDK_API);
  BOOST_TEST(host.headers.size() == 16u);
  BOOST_TEST(host.compiler != "");
  BOOST_TEST(host.library.starts_with("libstdc++ "));
  BOOST_TEST(host.torch != "");
  // Compiled here, without libtorch: all else is the same.
  Stamp here = parse_stamp(CIFARPIPE_STAMP).value();
  BOOST_TEST(here.torch == "");
  BOOST_TEST(stamp_differences(here, host).empty());
}

BOOST_AUTO_TEST_CASE(parsing) {
  const auto stamp = parse_stamp("api=7\nfuture=x=y\n\nno equals\ncompiler=gcc 12\0junk=1\n"sv);
  BOOST_REQUIRE(stamp.has_value());
  BOOST_TEST(stamp->api == 7);
  BOOST_TEST(stamp->compiler == "gcc 12");
  BOOST_TEST(!parse_stamp("").has_value());
  BOOST_TEST(!parse_stamp("compiler=gcc 12\n").has_value());
  BOOST_TEST(!parse_stamp("api=\n").has_value());
  BOOST_TEST(!parse_stamp("api=1x\n").has_value());
  BOOST_TEST(!parse_stamp("api=99999999999999\n").has_value());
  BOOST_TEST(!parse_stamp("api=-1\n").has_value());
}

BOOST_AUTO_TEST_CASE(each_field_is_compared) {
  BOOST_TEST(difference([](Stamp&) {}) == "");
  BOOST_TEST(difference([](Stamp& s) { s.api = 9; }) ==
             "it was built for SDK API 9 and this program has 1");
  BOOST_TEST(difference([](Stamp& s) { s.headers = "0123"; }) ==
             "it was built with other SDK headers (0123) than this program (" +
                 host_stamp().headers + ")");
  BOOST_TEST(difference([](Stamp& s) { s.compiler = "gcc 4"; }) ==
             "it was built by gcc 4 and this program by " + host_stamp().compiler);
  BOOST_TEST(difference([](Stamp& s) { s.library = "libstdc++ 4, abi 0"; }) ==
             "it uses libstdc++ 4, abi 0 and this program " + host_stamp().library);
  BOOST_TEST(difference([](Stamp& s) {
               s.sanitizers = "thread";
             }).starts_with("its sanitizers are 'thread'"));
  BOOST_TEST(difference([](Stamp& s) { s.torch = "1.4.0"; }) ==
             "it was built with libtorch 1.4.0 and the worker has " + host_stamp().torch);
  BOOST_TEST(difference([](Stamp& s) {
               s.torch_git = "feedfacefeedface";
             }).find("(commit feedfacefeed)") != std::string::npos);
  BOOST_TEST(difference([](Stamp& s) { s.torch_cuda = "99"; }).find("CUDA 99)") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(another_api_says_nothing_else) {
  BOOST_TEST(difference([](Stamp& s) {
               s.api = 9;
               s.compiler = "gcc 4";
             }) == "it was built for SDK API 9 and this program has 1");
  BOOST_TEST(difference([](Stamp& s) {
               s.compiler = "gcc 4";
               s.headers = "0";
             }).find("; it was built by gcc 4") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_sentence) {
  BOOST_TEST(stamp_problem("/p/train.stage.so", {"it is old", "it is odd"}) ==
             "/p/train.stage.so does not fit this cifarpipe: it is old; it is odd. Rebuild it with "
             "cifarpipe_add_stage against this installation");
}

BOOST_AUTO_TEST_SUITE_END()
