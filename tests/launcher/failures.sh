#!/bin/bash
# A step that fails ends with one sentence, its log and status 3, and the program is not started.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

# fails NAME SENTENCE
fails() {
  launch
  expect "$1: status" "$status" 3
  expect "$1: stdout" "$output" ""
  expect "$1: last line" "$(tail -n 1 <<<"$messages")" "cifarpipe: $2"
}

logs=$repo/build/logs
echo 'echo no route; return 1' >"$work/pip.hook"
fails pip "pip could not install torch==2.13.0 (CIFARPIPE_TORCH may name the folder of another \
libtorch); see $logs/pip.log."
expect "pip's log" "$(<"$logs/pip.log")" "no route"
rm "$work/pip.hook"

echo 'echo bad; return 1' >"$work/cmake.hook"
fails cmake "CMake could not configure the build; see $logs/configure-release.log."
rm "$work/cmake.hook"

echo 'echo "a.cpp:3:1: error: no such thing"; return 1' >"$work/ninja.hook"
fails ninja "the build failed; see $logs/build-release.log."
expect_message "  a.cpp:3:1: error: no such thing"
CI=true fails "ninja where nobody can open a log" "the build failed; see $logs/build-release.log."
expect_message "[1/2] Building CXX object"

echo 'echo "g++: fatal error: Killed signal terminated program cc1plus"; return 1' \
  >"$work/ninja.hook"
fails memory \
  "the build ran out of memory; CIFARPIPE_JOBS=1 takes the least; see $logs/build-release.log."
rm "$work/ninja.hook"

CIFARPIPE_TORCH=/nowhere fails "no libtorch" "CIFARPIPE_TORCH=/nowhere holds no libtorch 2.11 or \
newer: lib/libtorch_cpu.so and include/torch/headeronly/version.h are expected there."
"$work/make-torch" "$work/old" 2 10 9
CIFARPIPE_TORCH=$work/old fails "an old libtorch" "CIFARPIPE_TORCH=$work/old holds no libtorch \
2.11 or newer: lib/libtorch_cpu.so and include/torch/headeronly/version.h are expected there."

echo jq >"$work/missing"
echo libfmt-dev >>"$work/missing"
echo 'return 1' >"$work/apt.hook"
if ((EUID == 0)); then
  fails apt "apt could not install libfmt-dev; see $logs/apt.log."
else
  fails "no sudo" "Debian packages are missing, and there is no sudo here; as root: apt-get \
install libfmt-dev"
  stand_in sudo <<<'exit 1'
  fails "a sudo that asks" "sudo wants a password, and nobody can type it; run: sudo apt-get \
install libfmt-dev"
fi

rm -r "$repo/build"
: >"$repo/build"
fails "no folder" "cannot write $repo/build; it needs a checkout that it may write to."
