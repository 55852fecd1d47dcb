#!/bin/bash
# How many files are compiled at once: cores, memory and the limits of control groups.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
# shellcheck source=cifarpipe
source "$repo/cifarpipe"
# shellcheck source=scripts/lib.sh
source "$root/scripts/lib.sh"
stand_in nproc <<<'echo 8'

# jobs NAME WANTED
jobs() {
  expect "$1" "$(count_jobs "$work/proc" "$work/sys")" "$2"
}

# put FILE LINE...
put() {
  mkdir -p "$(dirname "$work/$1")"
  printf '%s\n' "${@:2}" >"$work/$1"
}

gb=1073741824
put proc/meminfo 'MemTotal: 99999999 kB' 'MemAvailable: 67108864 kB'
jobs "cores" 8
put proc/meminfo 'MemTotal: 99999999 kB' 'MemAvailable: 5600000 kB'
jobs "memory for three" 3
put proc/meminfo 'MemAvailable: 300000 kB'
jobs "hardly any memory" 1

put proc/meminfo 'MemAvailable: 67108864 kB'
put proc/self/cgroup '0::/outer/inner'
put sys/outer/cpu.max '250000 100000'
put sys/outer/inner/cpu.max 'max 100000'
jobs "two and a half cores" 3
put sys/outer/memory.max $((10 * gb))
put sys/outer/memory.current $((8 * gb))
put sys/outer/inner/memory.max max
put sys/outer/inner/memory.current 0
jobs "two gigabytes left" 1
put sys/outer/memory.stat 'anon 5' "inactive_file $((2 * gb))"
jobs "and two that can be dropped" 2

put proc/self/cgroup '4:memory:/docker/1' '2:cpu,cpuacct:/'
put sys/memory/memory.limit_in_bytes $((6 * gb))
put sys/memory/memory.usage_in_bytes 0
jobs "version 1: memory of the container" 3
put sys/cpu/cpu.cfs_quota_us 200000
put sys/cpu/cpu.cfs_period_us 100000
jobs "version 1: two cores" 2
put sys/cpu/cpu.cfs_quota_us -1
put sys/memory/memory.limit_in_bytes 9223372036854771712
jobs "version 1: no limits" 8
