#!/bin/bash
# Every shell script of the repository has to pass shellcheck.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
mapfile -t files < <(git ls-files --cached --others --exclude-standard |
  while IFS= read -r file; do
    [[ -f $file && $file != scripts/lib* ]] && IFS= read -r line <"$file" 2>/dev/null &&
      [[ $line =~ ^#!.*(bash|/sh) ]] && printf '%s\n' "$file"
  done)
# scripts/lib is read through the scripts that source it.
shellcheck -x -a -S warning "${files[@]}"
