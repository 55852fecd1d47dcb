# shellcheck shell=bash
# Messages, and the step that shows how a long command gets on: one live line on a terminal, a
# plain line now and then elsewhere, everything in build/logs. Nothing here is coloured, and
# nothing goes to stdout, which belongs to the program.

shopt -s lastpipe  # the reader of a step's output is this shell, not a child

live=0
[[ -t 2 && ${TERM:-dumb} != dumb ]] && live=1
plain_every=20  # seconds between plain lines

say() {
  clear_line
  printf 'cifarpipe: %s\n' "$*" >&2
}

fail() {
  say "$@"
  exit 3
}

# fail_step NAME SENTENCE: where nobody can open the log afterwards, its end is shown.
fail_step() {
  local name=$1
  shift
  [[ -n ${CI-} ]] && tail -n 80 "$root/build/logs/$name.log" >&2
  fail "$*; see $root/build/logs/$name.log."
}

clear_line() {
  if ((live)); then printf '\r\033[K' >&2; fi
}

duration() {
  if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %d s' $(($1 / 60)) $(($1 % 60)); fi
}

# at_least 3.25 3.25.1: whether the second version is the first or newer.
at_least() {
  local -a want have
  local i
  IFS=. read -ra want <<<"$1"
  IFS=. read -ra have <<<"${2%%[!0-9.]*}"
  for i in 0 1 2; do
    ((10#${have[i]:-0} > 10#${want[i]:-0})) && return 0
    ((10#${have[i]:-0} < 10#${want[i]:-0})) && return 1
  done
  return 0
}

# on_signal SIGNAL STATUS. The command of a step ends with this shell: see run_step.
on_signal() {
  trap '' "$1"
  say "interrupted; the same command goes on from here"
  exit "$2"
}

# run_step NAME TITLE WATCH COMMAND...: runs the command with its output in build/logs/NAME.log and
# returns its status. WATCH LINE sets `progress` from a line of output, or from what it finds when
# LINE is empty, which is once a second.
run_step() {
  local name=$1 title=$2 watch=$3 line='' part='' status last=$SECONDS log_fd
  shift 3
  local log=$root/build/logs/$name.log
  local columns=80
  progress=''
  step_started=$SECONDS
  ((live)) && read -r _ columns < <(stty size 2>/dev/null <&2) && ((columns > 20)) || columns=80
  exec {log_fd}>"$log" || fail "cannot write $log."
  # However this shell ends, its command is told to end, too. (apt is not, and finishes.)
  declare -F "$1" >/dev/null || ! command -v setpriv >/dev/null ||
    set -- setpriv --pdeathsig TERM "$@"
  "$@" </dev/null 2>&1 {log_fd}>&- | while :; do
    IFS= read -r -t 1 part
    status=$?
    line+=$part
    if ((status == 0)); then
      printf '%s\n' "$line" >&"$log_fd"
      "$watch" "$line"
      line=
    elif ((status > 128)); then
      "$watch" ''
    else
      [[ -n $line ]] && printf '%s\n' "$line" >&"$log_fd"
      break
    fi
    show_progress "$title"
  done
  status=${PIPESTATUS[0]}
  exec {log_fd}>&-
  clear_line
  return "$status"
}

show_progress() {
  local spent=$((SECONDS - step_started)) text
  text="cifarpipe: $1, $(duration "$spent")${progress:+, $progress}"
  if ((live)); then
    printf '\r\033[K%s' "${text:0:columns-1}" >&2
  elif ((SECONDS - last >= plain_every)); then
    last=$SECONDS
    printf '%s\n' "$text" >&2
  fi
}

watch_nothing() { :; }
