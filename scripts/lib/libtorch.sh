# shellcheck shell=bash
# find_libtorch sets `torch`, the folder with lib/libtorch_cpu.so and include/. In this order:
# CIFARPIPE_TORCH; the one of the last build; a Python on the PATH; .venv, where pip installs one.
# No Python imports torch here (that takes seconds): its version stands in a header.

torch_floor=2.11
torch_wanted=2.13.0
cpu_index=https://download.pytorch.org/whl/cpu

find_libtorch() {
  torch=${CIFARPIPE_TORCH-}
  if [[ -n $torch ]]; then
    [[ $torch == /* ]] || torch=$PWD/$torch
    is_libtorch "$torch" || fail "CIFARPIPE_TORCH=$torch holds no libtorch $torch_floor or newer:" \
      "lib/libtorch_cpu.so and include/torch/headeronly/version.h are expected there."
    return 0
  fi
  [[ ${CIFARPIPE_REBUILD:-0} == 0 ]] && torch_of_last_build && return 0
  if ! torch_of_python && ! torch_of_venv; then
    install_torch
  fi
  say "libtorch $torch_version in $torch"
}

# Sets `torch_version` when the folder holds a libtorch that is new enough.
is_libtorch() {
  local header=$1/include/torch/headeronly/version.h line numbers=''
  [[ -r $header && -e $1/lib/libtorch_cpu.so ]] || return 1
  while read -r line; do
    [[ $line =~ ^#define\ TORCH_VERSION_(MAJOR|MINOR|PATCH)\ ([0-9]+) ]] &&
      numbers+=.${BASH_REMATCH[2]}
  done <"$header"
  torch_version=${numbers#.}
  at_least "$torch_floor" "${torch_version:-0}"
}

torch_of_last_build() {
  cache_value CIFARPIPE_TORCH
  torch=$cached
  [[ -n $torch ]] && is_libtorch "$torch"
}

torch_of_python() {
  local python
  list_pythons
  for python in "${pythons[@]}"; do
    torch=$(timeout 30 "$python" -c 'import importlib.util, sys
sys.path = [p for p in sys.path if p]
found = importlib.util.find_spec("torch")
print(found.submodule_search_locations[0] if found and found.origin else "")' 2>/dev/null)
    [[ -n $torch ]] && is_libtorch "$torch" && return 0
  done
  return 1
}

# Sets `pythons`: those on the PATH, in its order, then the system's.
list_pythons() {
  local name path
  local -A seen=()
  pythons=()
  for name in python3 python python3.14 python3.13 python3.12 python3.11 python3.10; do
    while IFS= read -r path; do
      [[ -n $path && -z ${seen[$path]-} ]] && pythons+=("$path")
      seen[${path:-none}]=1
    done < <(type -aP "$name")
  done
}

# .venv is ours when it holds .cifarpipe, whose first word is "ready" once pip is through. A
# .venv of somebody else is used when it has a libtorch, and never written to.
torch_of_venv() {
  local state=''
  venv=$root/.venv
  if [[ -e $venv && ! -e $venv/.cifarpipe ]]; then
    find_in_venv && return 0
    venv=$root/build/venv
  fi
  [[ -e $venv/.cifarpipe ]] || return 1
  read -r state _ <"$venv/.cifarpipe"
  [[ $state == ready ]] && find_in_venv
}

find_in_venv() {
  local found
  for found in "$venv"/lib/python3*/site-packages/torch; do
    if is_libtorch "$found"; then
      torch=$found
      return 0
    fi
  done
  return 1
}

install_torch() {
  local python index started=$SECONDS
  local -a usable=()
  find_usable_pythons
  if ((${#usable[@]} == 0)); then
    install_packages python3-venv
    find_usable_pythons
    ((${#usable[@]})) || fail "pip needs a Python of 3.10 or newer with its venv module, and there" \
      "is none; install one, or set CIFARPIPE_TORCH to the folder of a libtorch."
  fi
  has_nvidia_driver && index=plain || index=cpu
  if [[ $index == cpu ]]; then
    need_space 2
    say "libtorch: installing torch==$torch_wanted (CPU) into ${venv#"$root"/} by pip:" \
      "200 MB to fetch, a minute or two"
  else
    need_space 10
    say "libtorch: installing torch==$torch_wanted for the NVIDIA GPU into ${venv#"$root"/} by pip:" \
      "3 GB to fetch, five minutes or more"
  fi
  for python in "${usable[@]}"; do
    make_venv "$python" || continue
    if { [[ $index == cpu ]] && pip_install --index-url "$cpu_index" --retries 0 --timeout 10; } ||
      pip_install; then
      sync -f "$venv"
      write_file "$venv/.cifarpipe" "ready $torch_version"
      rm -rf "$root/build/tmp"
      say "libtorch: installed in $(duration $((SECONDS - started)))"
      return 0
    fi
  done
  rm -rf "$root/build/tmp"
  [[ -e $root/build/logs/pip.log ]] || fail_step venv "no Python could make a .venv"
  fail_step pip "pip could not install torch==$torch_wanted (CIFARPIPE_TORCH may name the folder of" \
    "another libtorch)"
}

# Sets `usable` of install_torch. Debian's Python has no ensurepip without python3-venv.
find_usable_pythons() {
  local python
  usable=()
  hash -r
  list_pythons
  for python in "${pythons[@]}"; do
    timeout 30 "$python" -c 'import sys
assert sys.version_info >= (3, 10) and sys.maxsize > 2 ** 32
import venv, ensurepip' 2>/dev/null && usable+=("$python")
  done
}

has_nvidia_driver() {
  [[ -e /proc/driver/nvidia/version || -e /dev/nvidiactl ]] && return 0
  command -v nvidia-smi >/dev/null && timeout 30 nvidia-smi -L >/dev/null 2>&1
}

need_space() {
  local free
  free=$(df -Pk "$root" | awk 'NR == 2 {print int($4 / 1048576)}')
  ((${free:-$1} >= $1)) || fail "libtorch needs about $1 GB, and $root has $free GB free."
}

# Begun anew when it was not finished: pip cannot tell a package that it left half unpacked. What
# it had fetched whole is in its cache.
make_venv() {
  rm -rf "$venv"
  { mkdir -p "$venv" && printf 'installing\n' >"$venv/.cifarpipe"; } || fail "cannot write $venv."
  run_step venv "making ${venv#"$root"/}" watch_nothing "$1" -m venv "$venv"
}

# pip_install OPTION...: from the index that the options or the user's own settings name. Big
# wheels are unpacked beside the checkout: /tmp may be small, and the size found there is shown.
pip_install() {
  rm -rf "$root/build/tmp"
  mkdir -p "$root/build/tmp" || fail "cannot write $root/build/tmp."
  TMPDIR=$root/build/tmp run_step pip 'libtorch' watch_pip "$venv/bin/python" -m pip install \
    --disable-pip-version-check --no-input --progress-bar off "$@" "torch==$torch_wanted" &&
    find_in_venv
}

watch_pip() {
  local size
  case $1 in
    Downloading* | '  Downloading'* | *Processing*) progress=${1#"${1%%[! ]*}"} doing=$progress ;;
    'Installing collected'*) progress='unpacking' doing= ;;
    '')
      [[ -n ${doing-} ]] || return 0
      size=$(du -sm "$root/build/tmp" 2>/dev/null)
      progress="$doing, ${size%%[!0-9]*} MB so far"
      ;;
  esac
}
