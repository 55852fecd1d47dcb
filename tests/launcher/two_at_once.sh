#!/bin/bash
# Two first starts in one checkout: one builds, the other waits, both run.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

cat >"$work/ninja.hook" <<'END'
for ((i = 0; i < 400; ++i)); do
  [[ $(cat "$WORK"/messages-*) == *"waiting for it"* ]] && return 0
  sleep 0.05
done
END
cd "$work" || exit 1
for i in 1 2; do
  "$repo/cifarpipe" "$i" </dev/null >"$work/output-$i" 2>"$work/messages-$i" &
  pids[i]=$!
done
for i in 1 2; do
  wait "${pids[i]}"
  expect "status of $i" $? 0
  expect "output of $i" "$(<"$work/output-$i")" "in $work <$i>"
done
expect "builds" "$(made '^ninja')" 1
expect "pips" "$(made '^pip')" 1
expect "who waited" "$(cat "$work"/messages-* | grep -c 'waiting for it')" 1

# The program does not hold the lock: a long run keeps nobody from building.
cat >"$work/ninja.hook" <<'END'
printf '#!/bin/bash\nflock -n "$WORK/a checkout/build/.lock" true && echo free\n' >"$2/bin/cifarpipe"
exit 0
END
new_commit
launch
expect "the lock while the program runs" "$output" free
