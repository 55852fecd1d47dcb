# shellcheck shell=bash
# Packages of Debian 12, 13 and Ubuntu 24.04. "a|b": the first that is installed, else the first
# that there is.

build_packages=(
  binutils ca-certificates ccache cmake g++ git ninja-build
  libarchive-dev libcli11-dev libcurl4-openssl-dev libfmt-dev libonnx-dev libopencv-core-dev
  libopencv-dnn-dev libopencv-imgcodecs-dev libopencv-imgproc-dev libpng-dev libprotobuf-dev
  libsqlite3-dev libssl-dev libtomlplusplus-dev nlohmann-json3-dev zlib1g-dev
)
# shellcheck disable=SC2034  # read by scripts/test
test_packages=(
  'clang-format-14|clang-format' 'clang-tidy-14|clang-tidy' jq libboost-test-dev openssl
  procps python3 shellcheck sqlite3 strace
)

# install_packages NAME...: nothing but one dpkg-query when all are there.
install_packages() {
  local -a missing=()
  [[ ${CIFARPIPE_APT:-1} == 0 ]] && return 0
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "no apt here: it is up to you that these are installed: $*"
    return 0
  fi
  find_missing "$@"
  ((${#missing[@]} == 0)) && return 0
  choose_root_command
  say "installing ${#missing[@]} Debian packages with apt (about a minute): ${missing[*]}"
  run_step apt-update 'reading the package lists' watch_apt root_apt update ||
    say "the package lists could not be brought up to date; going on with those that are here"
  resolve_alternatives
  run_step apt 'installing packages' watch_apt root_apt install "${missing[@]}" ||
    fail_step apt "apt could not install ${missing[*]}"
  say "packages: installed in $(duration $((SECONDS - step_started)))"
}

# Sets `missing` of install_packages.
find_missing() {
  local name status wanted option text options
  local -A installed=()
  local -a names=()
  for wanted in "$@"; do
    IFS='|' read -ra options <<<"$wanted"
    names+=("${options[@]}")
  done
  # shellcheck disable=SC2016  # dpkg-query's own names
  text=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${names[@]}" 2>/dev/null)
  while read -r name status; do
    [[ $status == installed ]] && installed[$name]=1
  done <<<"$text"
  for wanted in "$@"; do
    [[ $wanted == cmake ]] && find_cmake && continue  # not always Debian's
    [[ $wanted == ninja-build ]] && find_ninja && continue
    IFS='|' read -ra options <<<"$wanted"
    for option in "${options[@]}"; do
      [[ -n ${installed[$option]-} ]] && continue 2
    done
    missing+=("$wanted")
  done
}

resolve_alternatives() {
  local i option options
  for i in "${!missing[@]}"; do
    [[ ${missing[i]} == *'|'* ]] || continue
    IFS='|' read -ra options <<<"${missing[i]}"
    missing[i]=${options[-1]}
    for option in "${options[@]}"; do
      if [[ -n $(apt-cache madison "$option" 2>/dev/null) ]]; then
        missing[i]=$option
        break
      fi
    done
  done
}

# Sets `as_root`. Asks once when a person can answer; as root, or without a terminal, never.
choose_root_command() {
  local answer ask="apt-get install ${missing[*]}"
  as_root=()
  ((EUID == 0)) && return 0
  command -v sudo >/dev/null ||
    fail "Debian packages are missing, and there is no sudo here; as root: $ask"
  if [[ -t 0 && -t 2 ]]; then
    printf 'cifarpipe: %d Debian packages are missing: %s\nInstall them with sudo? [Y/n] ' \
      ${#missing[@]} "${missing[*]}" >&2
    IFS= read -r answer </dev/tty
    [[ ${answer:-y} == [yY]* ]] || fail "not installed; by hand: sudo $ask"
    sudo -v || fail "sudo refused; by hand: sudo $ask"
  else
    sudo -n true 2>/dev/null || fail "sudo wants a password, and nobody can type it; run: sudo $ask"
  fi
  as_root=(sudo -n)
}

# A dpkg that was interrupted is told to go on first. The lock of this checkout is not handed on:
# what a package starts may outlive this script.
root_apt() {
  local -a run=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C)
  local -a leftovers=(/var/lib/dpkg/updates/[0-9]*)
  exec {lock}>&-
  [[ $1 == install && -e ${leftovers[0]} ]] && "${run[@]}" dpkg --configure -a
  "${run[@]}" apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=2 \
    -o Dpkg::Options::=--force-confold --no-install-recommends "$@"
}

watch_apt() {
  case $1 in
    'Get:'*) progress='fetching' ;;
    'Unpacking '* | 'Setting up '*) progress=${1%% (*} ;;
  esac
}
