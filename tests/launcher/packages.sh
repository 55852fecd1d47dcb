#!/bin/bash
# What apt is asked for, and when it is not asked.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
if ((EUID != 0)); then
  stand_in sudo <<<'[[ $1 == -n ]] && shift; exec "$@"'
fi

printf '%s\n' libfmt-dev ccache cmake ninja-build jq >"$work/missing"
launch
expect "status" "$status" 0
expect "updates" "$(made 'apt-get .*update$')" 1
# CMake and Ninja are there, though not from Debian; jq is for tests.
expect "installation" "$(made 'apt-get .*--no-install-recommends install ccache libfmt-dev$')" 1
expect_message "installing 2 Debian packages with apt (about a minute): ccache libfmt-dev"

# Without the network of apt the lists that are here do.
rm -r "$repo/build"
forget_calls
echo libfmt-dev >"$work/missing"
echo '[[ $* != *update* ]]' >"$work/apt.hook"
launch
expect "status without new lists" "$status" 0
expect_message "could not be brought up to date"
rm "$work/apt.hook"

# Not to touch apt at all.
rm -r "$repo/build"
forget_calls
echo libfmt-dev >"$work/missing"
CIFARPIPE_APT=0 launch
expect "status" "$status" 0
expect "apt when it is not wanted" "$(made '^apt')" 0

# Names differ between systems: the first that there is.
forget_calls
printf '%s\n' clang-format clang-format-14 clang-tidy-14 >"$work/missing"
"$repo/scripts/install-dependencies" --tests 2>"$work/messages"
expect "status" $? 0
expect "the version that there is" "$(made 'install clang-format$')" 1
