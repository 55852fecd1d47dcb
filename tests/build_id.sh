#!/bin/bash
# tests/build_id.sh BUILD_DIR: builds two small test plugins once more, from a copy of the source in
# a folder of another name and depth, and compares their build-ids with those in BUILD_DIR; then once
# more without ccache, with which the compiler sees other paths. The keys of results hold these ids.
set -euo pipefail
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/cifarpipe-build-id-XXXXXX")
trap 'rm -rf "$work"' EXIT
plugins="emit torch/with_torch"

build_id() { readelf -n "$1" | sed -n 's/.*Build ID: //p'; }
option() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

copy=$work/somewhere/else/entirely
other=$copy/build/other
mkdir -p "$copy"
tar -C "$source" -cf - --exclude=./build --exclude=./.git --exclude=./.venv --exclude=./runs . |
  tar -C "$copy" -xf -
options=(-DCIFARPIPE_TESTS=ON -DCIFARPIPE_STAGES=)
for name in CMAKE_BUILD_TYPE CMAKE_CXX_COMPILER CIFARPIPE_TORCH CIFARPIPE_SANITIZE \
            CIFARPIPE_WERROR; do
  options+=("-D$name=$(option $name)")
done

check() {
  for plugin in $plugins; do
    here=$(build_id "$build/tests-plugins/$plugin.stage.so")
    there=$(build_id "$other/tests-plugins/$plugin.stage.so")
    [ "$here" = "$there" ] || {
      echo "$plugin $1: $there instead of $here" >&2
      diff <(strings -a "$build/tests-plugins/$plugin.stage.so") \
           <(strings -a "$other/tests-plugins/$plugin.stage.so") | head -20 >&2
      exit 1
    }
    if strings -a "$build/tests-plugins/$plugin.stage.so" | grep -F "$source"; then
      echo "$plugin holds the path of its source folder" >&2
      exit 1
    fi
    echo "$plugin $1: $here"
  done
}

cmake -G Ninja -S "$copy" -B "$other" "${options[@]}" >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; }
targets="emit_stage with_torch_stage"
cmake --build "$other" --target $targets >"$work/log" 2>&1 || { tail -30 "$work/log" >&2; exit 1; }
check "in another folder"

touch "$copy/tests/plugins/"{emit,with_torch}.cpp
CCACHE_DISABLE=1 cmake --build "$other" --target $targets >"$work/log" 2>&1 ||
  { tail -30 "$work/log" >&2; exit 1; }
check "without ccache"
