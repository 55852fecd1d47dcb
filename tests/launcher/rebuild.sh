#!/bin/bash
# When the launcher builds again, and when it does not.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
launch

# builds NAME COUNT: what the next call builds.
builds() {
  forget_calls
  launch
  expect "$1: status" "$status" 0
  expect "$1" "$(made '^ninja')" "$2"
}

new_commit
builds "a new commit" 1
expect "pip again" "$(made '^pip')" 0
builds "the same commit" 0
git -C "$repo" pack-refs --all
new_commit  # loose, beside an older one that is packed
builds "a commit after packing" 1
builds "the same commit" 0
echo x >"$repo/local-edit"
builds "a local edit" 0
rm "$repo/local-edit"
CIFARPIPE_REBUILD=1 builds "asked to" 1
CIFARPIPE_REBUILD=0 builds "asked not to" 0

# A build that failed half-way has spoiled the program of the commit before it, too.
echo 'return 1' >"$work/ninja.hook"
new_commit
launch
expect "status of a failed build" "$status" 3
rm "$work/ninja.hook"
git -C "$repo" reset -q --hard HEAD~
builds "the commit before a failed build" 1

# libtorch: another one, the same by another name, none any more.
"$work/make-torch" "$work/torch" 2 14 1
CIFARPIPE_TORCH=$work/torch builds "another libtorch" 1
expect "its folder" "$(made "TORCH=$work/torch")" 1
ln -s torch "$work/torch-link"
CIFARPIPE_TORCH=$work/torch-link builds "the same libtorch" 0
builds "no wish for a libtorch" 0
rm -r "$work/torch"
builds "a libtorch that is gone" 1
expect "the one in .venv" "$(made "TORCH=$repo/.venv/lib/")" 1

# A checkout that was copied elsewhere cannot go on with the build folder.
mv "$repo" "$work/moved"
repo=$work/moved
touch "$repo/build/release/old"
CIFARPIPE_REBUILD=1 builds "a moved checkout" 1
expect "what was in its build folder" "$(ls "$repo/build/release/old" 2>/dev/null)" ""
