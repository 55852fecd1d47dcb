# shellcheck shell=bash
# Configures and builds a preset of CMakePresets.json, with as many jobs as cores and memory allow.

job_memory_kb=1835008  # what a source file that includes libtorch takes: 1.75 GB

# find_cmake, find_ninja: the first on the PATH that runs and is new enough. A name on the PATH
# may be no more than a front that cannot run.
find_cmake() {
  local text
  while IFS= read -r cmake; do
    text=$("$cmake" --version 2>/dev/null) || continue
    text=${text#cmake version }
    at_least 3.25 "${text%%[!0-9.]*}" && return 0
  done < <(type -aP cmake)
  return 1
}

find_ninja() {
  while IFS= read -r ninja; do
    "$ninja" --version >/dev/null 2>&1 && return 0
  done < <(type -aP ninja)
  return 1
}

# Sets `cached` to a value of the release build's CMake cache.
cache_value() {
  local line
  cached=
  [[ -r $root/build/release/CMakeCache.txt ]] || return 0
  while IFS= read -r line; do
    if [[ $line == "$1":* ]]; then
      cached=${line#*=}
      return 0
    fi
  done <"$root/build/release/CMakeCache.txt"
}

# configure PRESET OPTION...
configure() {
  local preset=$1
  shift
  hash -r
  find_cmake || fail "CMake 3.25 or newer is needed, and there is none on the PATH."
  find_ninja || fail "Ninja is needed, and there is none on the PATH."
  [[ $preset == asan ]] || forget_unusable_build
  run_step "configure-$preset" "configuring $preset" watch_nothing "$cmake" -S "$root" \
    --preset "$preset" "-DCMAKE_MAKE_PROGRAM=$ninja" "-DCIFARPIPE_TORCH=$torch" "$@" ||
    fail_step "configure-$preset" "CMake could not configure the build"
}

# A build folder that was copied or moved, or in which the machine itself went down, is begun anew;
# ccache keeps what was compiled.
forget_unusable_build() {
  local release=$root/build/release boot='' marked=''
  cache_value CMAKE_HOME_DIRECTORY
  read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id
  [[ -e $release/.building ]] && read -r marked <"$release/.building"
  if [[ (-n $cached && ! $cached -ef $root) || (-n $marked && $marked != "$boot") ]]; then
    say "what is in build/release cannot be gone on with: building from the beginning"
    rm -rf "$release"
  fi
  mkdir -p "$release" || fail "cannot write $release."
  rm -f "$release/.built"
  write_file "$release/.building" "$boot"
}

# build PRESET TARGET...: the test preset is built in the folder of the release preset.
build() {
  local preset=$1 folder=$root/build/$1 jobs
  shift
  [[ $preset == test ]] && folder=$root/build/release
  jobs=${CIFARPIPE_JOBS:-$(count_jobs /proc /sys/fs/cgroup)}
  say "building ${folder#"$root"/} with $jobs $( ((jobs == 1)) && echo job || echo jobs) at a time"
  export NINJA_STATUS='[%f/%t] '
  if ! run_step "build-$preset" building watch_ninja "$ninja" -C "$folder" -j "$jobs" "$@"; then
    explain_failed_build "build-$preset"
  fi
}

explain_failed_build() {
  local line log=$root/build/logs/$1.log
  grep -q 'Killed signal' "$log" && fail_step "$1" "the build ran out of memory; CIFARPIPE_JOBS=1" \
    "takes the least"
  while IFS= read -r line; do
    printf '  %s\n' "$line" >&2
  done < <(grep -m 3 -E 'error[: ]|undefined reference|No space left' "$log")
  fail_step "$1" "the build failed"
}

# [12/80] Building CXX object cli/CMakeFiles/cifarpipe_cli.dir/main.cpp.o
watch_ninja() {
  local built total what spent=$((SECONDS - step_started))
  [[ $1 =~ ^\[([0-9]+)/([0-9]+)\]\ (.*) && $1 != *'] Re-'* ]] || return 0  # [0/2] Re-checking globs
  built=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]} what=${BASH_REMATCH[3]##* }
  what=${what%.o}
  progress="$built of $total"
  if ((spent >= 20 && built * 10 >= total && built < total)); then
    progress+=", about $(duration $((spent * (total - built) / built))) left"
  fi
  progress+=": ${what##*.dir/}"
}

# write_stamp: this commit is built. After it, nothing is left to do.
write_stamp() {
  local release=$root/build/release
  sync -f "$release" 2>/dev/null
  write_file "$release/.built" "$commit" "$torch"
  rm -f "$release/.building"
}

# write_file FILE LINE...: all or nothing.
write_file() {
  local file=$1
  shift
  { printf '%s\n' "$@" >"$file.new" && mv -f "$file.new" "$file"; } || fail "cannot write $file."
}

count_cores() {
  env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc
}

# count_jobs PROC SYS: the cores of the affinity mask and the cgroup's quota; one for each
# 1.75 GB of memory that is free here and in the cgroup; at least one.
count_jobs() {
  local proc=$1 sys=$2
  local cores memory name value jobs
  cores=$(count_cores)
  memory=$((cores * job_memory_kb))
  while read -r name value _; do
    [[ $name == MemAvailable: ]] && memory=$value
  done <"$proc/meminfo"
  apply_cgroups "$proc" "$sys"
  jobs=$((memory / job_memory_kb < cores ? memory / job_memory_kb : cores))
  echo $((jobs > 0 ? jobs : 1))
}

# Lowers `cores` and `memory` of count_jobs to the limits of every cgroup that this process is in.
apply_cgroups() {
  local line controllers path
  [[ -r $1/self/cgroup ]] || return 0
  while IFS=: read -r _ controllers path; do
    case ,$controllers, in
      ,,) apply_cgroup_tree "$2" "$path" ;;
      *,memory,*) apply_cgroup_tree "$2/memory" "$path" ;;
      *,cpu,*)
        apply_cgroup_tree "$2/cpu" "$path"
        apply_cgroup_tree "$2/$controllers" "$path"
        ;;
    esac
  done <"$1/self/cgroup"
}

# Version 2 and version 1 of the files. In a container the path may be the host's, not to be found
# here; the root is then the container's own.
apply_cgroup_tree() {
  local base=$1 path=${2%/} folder limit used quota period
  while :; do
    folder=$base$path
    limit=$(first_word "$folder/memory.max" "$folder/memory.limit_in_bytes")
    used=$(first_word "$folder/memory.current" "$folder/memory.usage_in_bytes")
    if [[ $limit =~ ^[0-9]{1,18}$ && $used =~ ^[0-9]+$ ]]; then
      limit=$(((limit - used + $(droppable "$folder")) / 1024))
      memory=$((limit < memory ? limit : memory))
    fi
    read -r quota period 2>/dev/null <"$folder/cpu.max" || {
      quota=$(first_word "$folder/cpu.cfs_quota_us")
      period=$(first_word "$folder/cpu.cfs_period_us")
    }
    if [[ $quota =~ ^[1-9][0-9]*$ && $period =~ ^[1-9][0-9]*$ ]]; then
      quota=$(((quota + period - 1) / period))
      cores=$((quota < cores ? quota : cores))
    fi
    [[ -n $path ]] || return 0
    path=${path%/*}
  done
}

# The files that the kernel would drop from memory before it refuses any.
droppable() {
  local name value bytes=0
  [[ -r $1/memory.stat ]] && while read -r name value; do
    [[ $name == inactive_file || $name == total_inactive_file ]] && bytes=$value
  done <"$1/memory.stat"
  echo "$bytes"
}

first_word() {
  local file word=''
  for file in "$@"; do
    [[ -r $file ]] && read -r word _ <"$file" && break
  done
  echo "$word"
}
