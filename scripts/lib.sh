# shellcheck shell=bash
# What ./cifarpipe and the scripts share: from a bare machine to a built program. Read by them, not
# run; `root`, `read_commit` and `is_built` come from ./cifarpipe. Every message goes to stderr,
# a failed step ends the script with one sentence and exit code 3, and whatever was interrupted is
# taken up by the next call: what says "done" is always written last.

root=$(cd -P -- "$root" && pwd)
# shellcheck source=scripts/lib/say.sh
source "$root/scripts/lib/say.sh" || return 1
# shellcheck source=scripts/lib/packages.sh
source "$root/scripts/lib/packages.sh" || return 1
# shellcheck source=scripts/lib/libtorch.sh
source "$root/scripts/lib/libtorch.sh" || return 1
# shellcheck source=scripts/lib/build.sh
source "$root/scripts/lib/build.sh" || return 1

# begin_work: the folders, the lock that lets one script at a time change them, what Ctrl-C does.
begin_work() {
  mkdir -p "$root/build/logs" 2>/dev/null ||
    fail "cannot write $root/build; it needs a checkout that it may write to."
  trap 'on_signal INT 130' INT
  trap 'on_signal TERM 143' TERM
  trap 'on_signal HUP 129' HUP
  exec {lock}>>"$root/build/.lock" || fail "cannot write $root/build/.lock."
  if ! flock -n "$lock"; then
    say "another cifarpipe is preparing this checkout; waiting for it"
    flock "$lock" || fail "cannot lock $root/build/.lock."
  fi
}

end_work() {
  exec {lock}>&-
  trap - INT TERM HUP
}

# prepare_program: what the launcher does when there is no program of this commit.
prepare_program() {
  local started=$SECONDS
  begin_work
  read_commit  # it may have changed while this waited
  if [[ ${CIFARPIPE_REBUILD:-0} != 0 ]] || ! is_built; then
    say_what_is_due
    install_packages "${build_packages[@]}"
    find_libtorch
    configure release -DCIFARPIPE_TESTS=OFF
    build release
    write_stamp
    say "ready after $(duration $((SECONDS - started)))"
  fi
  end_work
}

say_what_is_due() {
  local name=${commit:0:10}
  if [[ ! -e $root/build/release/build.ninja ]]; then
    say "first start here: installs what is missing, finds or gets libtorch, then builds." \
      "Allow five to fifteen minutes; interrupted, it goes on at the next call."
  elif [[ -e $root/build/release/.building ]]; then
    say "the last build did not end: going on with it"
  elif [[ $commit == none ]]; then
    say "building again"
  else
    say "building commit $name"
  fi
}
