#!/bin/bash
# A built program is reached without starting anything else, whatever kind of checkout it is.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
launch
forget_calls

# nothing_done NAME: the launcher runs the program and says and does nothing.
nothing_done() {
  launch list
  expect "$1: output" "$output" "in $work <list>"
  expect "$1: messages" "$messages" ""
  expect "$1: calls" "$(made .)" 0
}

nothing_done "a branch"
git -C "$repo" pack-refs --all
expect "loose references" "$(find "$repo/.git/refs/heads" -type f)" ""
nothing_done "packed references"
git -C "$repo" checkout -q --detach
nothing_done "a detached head"
git -C "$repo" checkout -q -b some/branch/of-mine
nothing_done "a branch with slashes"
git -C "$repo" tag -a -m x v1
git -C "$repo" pack-refs --all
nothing_done "packed references with a tag's peeled line"
git -C "$repo" symbolic-ref refs/heads/alias refs/heads/some/branch/of-mine
git -C "$repo" symbolic-ref HEAD refs/heads/alias
nothing_done "a reference to a reference"
git -C "$repo" checkout -q main
nothing_done "another branch at the same commit"

# It is the process that was started, and the arguments arrive as they were given.
saved=$(<"$repo/build/release/bin/cifarpipe")
printf '#!/bin/bash\nprintf "<%%s>" $$ "$@"\n' >"$repo/build/release/bin/cifarpipe"
"$repo/cifarpipe" 'a  b' '' '*' $'c\nd' -- >"$work/printed" &
wait $!
expect "process and arguments" "$(<"$work/printed")" "<$!><a  b><><*><c"$'\n'"d><-->"
printf '%s\n' "$saved" >"$repo/build/release/bin/cifarpipe"

# Only processes of the program, which is a script here: no fork before the last exec.
if strace=$(PATH=/usr/bin:/bin type -P strace) &&
  "$strace" -f -o "$work/trace" -e trace=execve,clone,clone3,fork,vfork "$repo/cifarpipe" \
    >/dev/null 2>&1; then
  expect "forks" "$(grep -cE 'clone|fork' "$work/trace")" 0
  expect "programs" "$(grep -c 'execve(.*= 0' "$work/trace")" 2
else
  echo "strace cannot trace here: what is started was not counted"
fi

# A symbolic link to a symbolic link to the launcher, relative, called through the PATH.
ln -s "$repo/cifarpipe" "$work/second"
ln -s ../second "$work/bin/first"
output=$(cd / && PATH=$PATH:$work/bin first x)
expect "through links" "$output" "in / <x>"
output=$(cd "$repo" && bash cifarpipe x)
expect "as an argument of bash" "$output" "in $repo <x>"
output=$(cd "$repo" && ./scripts/.././cifarpipe x)
expect "through dots" "$output" "in $repo <x>"
output=$(cd "$repo/scripts" && CDPATH=$work ../cifarpipe x)
expect "with a CDPATH" "$output" "in $repo/scripts <x>"
expect "calls in all of these" "$(made .)" 0

# A worktree has a folder of its own to build in, and knows its own commit.
main=$repo
git -C "$main" worktree add -q "$work/tree" -b other 2>/dev/null
repo=$work/tree
launch
expect "builds of the worktree" "$(made "^ninja -C $work/tree/build")" 1
forget_calls
nothing_done "a worktree"
new_commit
launch
expect "builds of its new commit" "$(made ^ninja)" 1

# An archive of the source, without git: built once.
repo=$work/archive
mkdir "$repo"
cp -R "$main/cifarpipe" "$main/scripts" "$repo"
launch
forget_calls
nothing_done "an archive"
