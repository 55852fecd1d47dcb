# shellcheck shell=bash
# A checkout in a folder of its own, with a PATH on which apt, pip, CMake and Ninja are stand-ins
# that write what they were asked into $work/calls. $work/NAME.hook, if there is one, is run by the
# stand-in NAME: it can fail, hang or kill. The built "program" prints its folder and arguments.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/cifarpipe launcher XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
repo="$work/a checkout"
calls=$work/calls
export WORK=$work
unset CIFARPIPE_TORCH CIFARPIPE_REBUILD CIFARPIPE_JOBS CIFARPIPE_APT CI
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

# stand_in NAME: its text is read from stdin.
stand_in() {
  { printf '#!/bin/bash\n'; cat; } >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

make_tools() {
  local name
  mkdir "$work/bin" "$work/tools"
  for name in awk bash cat chmod cp df dirname du env find flock git grep head ln ls mkdir mktemp \
    mv nproc pwd readlink rm sed seq setpriv sh sleep sort stty sync tail tee timeout touch tr true uniq wc; do
    ln -s "$(type -P "$name")" "$work/tools/$name" || exit 1
  done
  PATH=$work/bin:$work/tools
  : >"$work/missing"
  stand_in dpkg-query <<'END'
shift 3
for name; do
  grep -qxF -- "$name" "$WORK/missing" || echo "$name installed"
done
END
  stand_in apt-get <<'END'
echo "apt-get $*" >>"$WORK/calls"
[[ -e $WORK/apt.hook ]] && { . "$WORK/apt.hook" || exit 1; }
[[ $* == *' install '* ]] && : >"$WORK/missing"
exit 0
END
  stand_in apt-cache <<'END'
[[ $2 == clang-format ]] && echo "clang-format | 1:19"
END
  stand_in cmake <<'END'
[[ $1 == --version ]] && { echo "cmake version 3.25.1"; exit; }
echo "cmake $*" >>"$WORK/calls"
[[ -e $WORK/cmake.hook ]] && { . "$WORK/cmake.hook" || exit 1; }
for argument; do
  [[ $argument == -DCIFARPIPE_TORCH=* ]] && torch=${argument#*=}
done
mkdir -p "$2/build/release"
printf '%s\n' "CMAKE_HOME_DIRECTORY:INTERNAL=$2" "CIFARPIPE_TORCH:PATH=$torch" \
  >"$2/build/release/CMakeCache.txt"
: >"$2/build/release/build.ninja"
END
  stand_in ninja <<'END'
[[ $1 == --version ]] && { echo 1.11.1; exit; }
echo "ninja $*" >>"$WORK/calls"
echo "[1/2] Building CXX object cli/CMakeFiles/cifarpipe_cli.dir/main.cpp.o"
[[ -e $WORK/ninja.hook ]] && { . "$WORK/ninja.hook" || exit 1; }
mkdir -p "$2/bin"
cat >"$2/bin/cifarpipe" <<'PROGRAM'
#!/bin/bash
printf 'in %s' "$PWD"
printf ' <%s>' "$@"
printf '\n'
PROGRAM
chmod +x "$2/bin/cifarpipe"
echo "[2/2] Linking CXX executable bin/cifarpipe"
END
  stand_in python3 <<'END'
case "$1 $2" in
  *find_spec*) cat "$WORK/python-torch" 2>/dev/null ;;
  *ensurepip*) [[ ! -e $WORK/no-ensurepip ]] ;;
  '-m venv')
    echo "python venv" >>"$WORK/calls"
    mkdir -p "$3/bin" "$3/lib/python3.11/site-packages"
    cp "$0" "$3/bin/python"
    ;;
  '-m pip')
    echo "pip $*" >>"$WORK/calls"
    [[ -e $WORK/pip.hook ]] && { . "$WORK/pip.hook" || exit 1; }
    "$WORK/make-torch" "${0%/bin/*}/lib/python3.11/site-packages/torch" 2 13 0
    ;;
esac
END
  cat >"$work/make-torch" <<'END'
#!/bin/bash
mkdir -p "$1/lib" "$1/include/torch/headeronly"
: >"$1/lib/libtorch_cpu.so"
printf '#define TORCH_VERSION_%s\n' "MAJOR $2" "MINOR $3" "PATCH $4" \
  >"$1/include/torch/headeronly/version.h"
END
  chmod +x "$work/make-torch"
}

make_checkout() {
  mkdir -p "$repo"
  cp -R "$here/cifarpipe" "$here/scripts" "$repo"
  printf 'build\n.venv\n' >"$repo/.gitignore"
  git -C "$repo" init -q -b main
  new_commit
}

new_commit() {
  git -C "$repo" add -A
  git -C "$repo" commit -q --allow-empty -m "a commit"
}

# The launcher, from another folder; its stdout in $output, its messages in $messages.
# shellcheck disable=SC2034,SC2120  # for the tests
launch() {
  output=$(cd "$work" && "$repo/cifarpipe" "$@" 2>"$work/messages" </dev/null)
  status=$?
  messages=$(<"$work/messages")
  return "$status"
}

# made PATTERN: how many calls of the stand-ins match; forget_calls begins the count anew.
made() {
  grep -cE -- "$1" "$calls" 2>/dev/null || true
}

forget_calls() {
  : >"$calls"
}

# expect WHAT VALUE WANTED: equal, or the end of the test.
expect() {
  [[ $2 == "$3" ]] && return 0
  printf 'FAILED: %s: got "%s", wanted "%s"\n' "$@" >&2
  sed 's/^/  message: /' "$work/messages" >&2
  sed 's/^/  call: /' "$calls" >&2
  exit 1
}

# expect_message TEXT
expect_message() {
  [[ $messages == *"$1"* ]] || expect "a message" "$messages" "...$1..."
}

# wait_for COMMAND...: at most twenty seconds.
wait_for() {
  local i
  for ((i = 0; i < 400; ++i)); do
    "$@" && return 0
    sleep 0.05
  done
  expect "waiting for $*" nothing it
}

make_tools
make_checkout
forget_calls
: >"$work/messages"
