#!/bin/bash
# tests/sdk/outside.sh BUILD_DIR [WORK_DIR]: what a stranger does with an installed cifarpipe. Installs
# BUILD_DIR into WORK_DIR/prefix (default: a temporary folder, removed at the end), builds
# plugins/template there and a stage with libtorch, looks at both with the installed worker
# and runs the template in a pipeline with the installed program.
set -euo pipefail
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# -gt 1 ]; then
  mkdir -p "$2"
  work=$(cd "$2" && pwd)
else
  work=$(mktemp -d "${TMPDIR:-/tmp}/cifarpipe-sdk-XXXXXX")
  trap 'rm -rf "$work"' EXIT
fi
prefix=$work/prefix
worker=$prefix/bin/cifarpipe-worker
unset CIFARPIPE_TORCH  # The installed package must find its libtorch by itself.
fail() { echo "$*" >&2; exit 1; }
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "failed: $*"; }; }

quietly cmake --install "$build" --prefix "$prefix"
for file in "$prefix"/bin/* "$prefix"/lib/libcifarpipe.so "$prefix"/lib/cifarpipe/plugins/*; do
  [ -e "$file" ] || continue
  if readelf -d "$file" 2>/dev/null | grep -E 'R(UN)?PATH' | grep -F "$build"; then
    fail "$file looks for libraries in the build folder"
  fi
done
grep -rlF -e "$build" -e "$source" "$prefix/include" "$prefix/lib/cmake" |
  grep -v cifarpipeConfig.cmake && fail "installed files point into the source folder"

outside() {  # outside NAME FOLDER CMAKE_OPTION...: builds a copy of a plugin's folder
  quietly cmake -G Ninja -S "$2" -B "$2/build" "-DCMAKE_PREFIX_PATH=$prefix" "${@:3}"
  quietly cmake --build "$2/build"
  plugin=$2/build/plugins/$1.stage.so
  [ -f "$plugin" ] || fail "$plugin was not made"
  "$worker" --describe "$plugin" >"$work/description"
  readelf -d "$plugin" | grep -E 'R(UN)?PATH' && fail "$plugin has an RPATH"
  grep -q "\"name\":\"$1\"" "$work/description" || fail "$1 is not in its description"
  readelf -p .cifarpipe.schema "$plugin" | grep -q build_id || fail "$plugin has no description"
  readelf -n "$plugin" | sed -n 's/.*Build ID: //p'
}

cp -r "$source/plugins/template" "$work/template"
first=$(outside class_balance "$work/template")
cp -r "$source/plugins/template" "$work/the-same-in-a-longer-folder"
second=$(outside class_balance "$work/the-same-in-a-longer-folder")
[ "$first" = "$second" ] || fail "two folders, two build-ids: $first, $second"

# In a pipeline, by the installed program, whose stages and worker are the installed ones.
export CIFARPIPE_RUNS=$work/runs
cifarpipe() { (cd "$work/template" && "$prefix/bin/cifarpipe" "$@"); }
quietly cifarpipe run pipeline.toml --set download.train_images=200 --set download.test_images=50
cifarpipe runs metrics latest >"$work/metrics"
grep -q 'balance/imbalance' "$work/metrics" || { cat "$work/metrics"; fail "no metric of its own"; }
result=$(cifarpipe runs path latest balance)
[ -n "$(find "$result" -type f -name '*.csv')" ] || fail "class_balance left no table in $result"
quietly cifarpipe run pipeline.toml --set download.train_images=200 --set download.test_images=50
grep -q 'nothing to do' "$work/log" || { cat "$work/log"; fail "the same run did something"; }

# Incremental: nothing to do, then the plugin is missing, then its source is newer.
quietly cmake --build "$work/template/build"
grep -q 'no work to do' "$work/log" || { cat "$work/log"; fail "a second build does something"; }
rm "$work/template/build/plugins/class_balance.stage.so"
quietly cmake --build "$work/template/build"
[ -f "$work/template/build/plugins/class_balance.stage.so" ] || fail "a deleted plugin stays away"
sed -i 's/"1.0.0"/"1.0.1"/' "$work/template/class_balance.cpp"
quietly cmake --build "$work/template/build"
readelf -p .cifarpipe.schema "$work/template/build/plugins/class_balance.stage.so" |
  grep -q '"version":"1.0.1"' || fail "the description is of the older source"

# What the worker refuses must not look like a plugin.
rm "$work/template/build/plugins/class_balance.stage.so"
sed -i 's/max_imbalance = 0;/max_imbalance = -1;/' "$work/template/class_balance.cpp"
for _ in 1 2; do  # Twice: a failed build must not count as done.
  if cmake --build "$work/template/build" >"$work/log" 2>&1; then
    fail "a default outside its range was built"
  fi
done
grep -q "parameter 'max_imbalance' has the default -1.0, which its range excludes" "$work/log" ||
  { cat "$work/log"; fail "the reason is not said"; }
[ ! -e "$work/template/build/plugins/class_balance.stage.so" ] || fail "a refused plugin is there"

mkdir -p "$work/torch_stage"
cp "$source/tests/sdk/torch_stage/CMakeLists.txt" "$source/tests/plugins/with_torch.cpp" \
   "$work/torch_stage"
outside with_torch "$work/torch_stage" >/dev/null
readelf -p .note.cifarpipe "$work/torch_stage/build/plugins/with_torch.stage.so" |
  grep -q 'torch=' || fail "libtorch is not in the stamp"
echo "built outside of the tree: $first"
