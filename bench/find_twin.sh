# shellcheck shell=bash
# Sourced: sets `python` to a Python with NumPy and the very torch that build/release was built with
# (both sides of a comparison must compute with the same library): CIFARPIPE_PYTHON, the one that
# libtorch came from, .venv or the one on the PATH. Ends the program with 3 where there is none.
torch=$(sed -n 's/^CIFARPIPE_TORCH:[A-Z]*=//p' "$root/build/release/CMakeCache.txt")
[[ -d $root/build/python ]] && export PYTHONPATH=$root/build/python${PYTHONPATH:+:$PYTHONPATH}  # NumPy
find_twin='import os, sys, numpy, torch
sys.exit(not os.path.samefile(os.path.dirname(torch.__file__), sys.argv[1]))'
for python in ${CIFARPIPE_PYTHON:+"$CIFARPIPE_PYTHON"} "${torch%/lib/python*}/bin/python" \
  "$root/.venv/bin/python" python3 ''; do
  "$python" -c "$find_twin" "$torch" 2>/dev/null && break
done
if [[ -z $python ]]; then
  echo "${0##*/}: no Python with NumPy and the torch in $torch; set CIFARPIPE_PYTHON" >&2
  exit 3
fi
