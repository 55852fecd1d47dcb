// How help looks and what is said about a command line that cannot be understood. Main thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace cifarpipe::cli {

/// The first page: what the program is, its commands in groups, the options that all take.
std::string front_page(const CLI::App& app);
/// Makes the subcommands of `app`, and theirs, show their help in this program's form.
void use_own_help(CLI::App& app);
/// One sentence about what is wrong, with the nearest command or option and where help is.
std::string usage_problem(const CLI::App& app, const CLI::ParseError& error);
/// A check for an option: what is wrong with a text that is no whole number in [least, most].
std::function<std::string(const std::string&)> whole_number(std::int64_t least, std::int64_t most);

/// The number behind `option`; throws CLI::ValidationError unless it is 0 or more, and finite.
double number_of_0_or_more(std::string_view option, std::string_view text);

}  // namespace cifarpipe::cli
