#!/bin/bash
# Which libtorch is taken, and from where pip gets one.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

# taken NAME FOLDER
taken() {
  forget_calls
  CIFARPIPE_REBUILD=1 launch
  expect "$1: status" "$status" 0
  expect "$1" "$(grep -o 'CIFARPIPE_TORCH=.* -D' "$calls")" "CIFARPIPE_TORCH=$2 -D"
}

# A Python on the PATH, if its torch is new enough. (No pip is needed for it.)
"$work/make-torch" "$work/site/torch" 2 11 0
echo "$work/site/torch" >"$work/python-torch"
taken "torch of a Python" "$work/site/torch"
"$work/make-torch" "$work/site/torch" 2 9 1
taken "an old torch of a Python" "$repo/.venv/lib/python3.11/site-packages/torch"
expect "the CPU index, once" "$(made 'pip .*--index-url https://download.pytorch.org/whl/cpu')" 1
expect "no retries, a short time-out" "$(made 'pip .*--retries 0 --timeout 10 torch==2.13.0')" 1
expect "pips" "$(made '^pip')" 1
rm "$work/python-torch"
taken "the one in .venv" "$repo/.venv/lib/python3.11/site-packages/torch"
expect "pips" "$(made '^pip')" 0

# The last build's stays, even when a Python on the PATH has one by now.
"$work/make-torch" "$work/site/torch" 2 11 0
echo "$work/site/torch" >"$work/python-torch"
new_commit
forget_calls
launch
expect "after a commit" "$(made 'TORCH=.*/.venv/')" 1
rm "$work/python-torch"

# The CPU index cannot be reached: then the plain one.
rm -r "$repo/.venv"
echo '[[ $* != *--index-url* ]]' >"$work/pip.hook"
taken "from the plain index" "$repo/.venv/lib/python3.11/site-packages/torch"
expect "pips" "$(made '^pip')" 2
rm "$work/pip.hook"

# With an NVIDIA driver only the plain one is asked.
rm -r "$repo/.venv"
stand_in nvidia-smi <<<'echo "GPU 0"'
taken "with a driver" "$repo/.venv/lib/python3.11/site-packages/torch"
expect "the CPU index" "$(made 'pip .*--index-url')" 0
rm "$work/bin/nvidia-smi"

# Somebody else's .venv is used, never written to.
rm -r "$repo/.venv"
mkdir -p "$repo/.venv/lib/python3.12/site-packages"
taken "beside another .venv" "$repo/build/venv/lib/python3.11/site-packages/torch"
expect "the other .venv" "$(find "$repo/.venv" -type f)" ""
"$work/make-torch" "$repo/.venv/lib/python3.12/site-packages/torch" 2 12 0
taken "of another .venv" "$repo/.venv/lib/python3.12/site-packages/torch"

# A Python that cannot make one: Debian has the missing part in a package.
rm -rf "$repo/.venv" "$repo/build/venv"
: >"$work/no-ensurepip"
echo python3-venv >"$work/missing"
echo 'rm -f "$WORK/no-ensurepip"' >"$work/apt.hook"
if ((EUID != 0)); then
  stand_in sudo <<<'[[ $1 == -n ]] && shift; exec "$@"'
fi
taken "after python3-venv" "$repo/.venv/lib/python3.11/site-packages/torch"
expect "python3-venv" "$(made 'apt-get .* install python3-venv$')" 1
