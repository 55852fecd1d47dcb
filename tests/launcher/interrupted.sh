#!/bin/bash
# Whatever ends a first start, the next call goes on: nothing half done counts as done.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

# start: a launcher in the background, with the signals of a foreground job; its id in $launcher.
start() {
  cd "$work" || exit 1
  env --default-signal=INT "$repo/cifarpipe" </dev/null >/dev/null 2>"$work/messages" &
  launcher=$!
  cd - >/dev/null || exit 1
}

ended_with() {
  wait "$launcher" 2>/dev/null
  expect "$1: status" $? "$2"
  messages=$(<"$work/messages")
}

called() {
  (($(made "$1") > 0))
}

# pip, killed with the launcher after it has unpacked some of torch.
cat >"$work/pip.hook" <<'END'
site=${0%/bin/*}/lib/python3.11/site-packages
"$WORK/make-torch" "$site/torch" 2 13 0
: >"$site/half"
echo $$ >"$WORK/pip.pid"
exec sleep 60
END
start
wait_for test -s "$work/pip.pid"
kill -9 "$launcher"
ended_with "kill -9 in pip" 137
rm "$work/pip.hook" "$work/pip.pid"
forget_calls

# Ninja, by a SIGTERM to the launcher alone: it is told to stop, too.
cat >"$work/ninja.hook" <<'END'
sleep 60 &
trap 'kill $!; echo "ninja stopped" >>"$WORK/calls"; exit 2' TERM
wait
END
start
wait_for called '^ninja'
expect "pip after it was killed" "$(made '^pip')" 1
expect "what it had left" "$(find "$repo/.venv" -name half)" ""
kill -TERM "$launcher"
ended_with "SIGTERM in ninja" 143
expect_message "interrupted; the same command goes on from here"
wait_for called '^ninja stopped'

# Ctrl-C in the configuring.
forget_calls
cat >"$work/cmake.hook" <<'END'
kill -INT $PPID
sleep 1
END
start
ended_with "SIGINT in cmake" 130
expect "builds after Ctrl-C" "$(made '^ninja')" 0
rm "$work/cmake.hook" "$work/ninja.hook"

forget_calls
launch x
expect "status in the end" "$status" 0
expect "output in the end" "$output" "in $work <x>"
expect "pip again" "$(made '^pip')" 0
expect "builds" "$(made '^ninja')" 1

# The power fails in a build: what the compiler had written may be holes.
new_commit
echo 'kill -9 $PPID; exit 1' >"$work/ninja.hook"
launch
: >"$repo/build/release/object"
rm "$work/ninja.hook"
launch
expect "objects after a kill" "$(ls "$repo/build/release/object")" "$repo/build/release/object"
new_commit
echo 'kill -9 $PPID; exit 1' >"$work/ninja.hook"
launch
rm "$work/ninja.hook"
expect "a mark" "$(wc -l <"$repo/build/release/.building")" 1
echo another-boot >"$repo/build/release/.building"
launch
expect "status" "$status" 0
expect "objects after a power failure" "$(find "$repo/build/release" -name object)" ""
