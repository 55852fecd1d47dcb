#!/bin/bash
# A bare checkout in a folder whose name has blanks: one command, and the program runs in the
# user's folder with the user's arguments.
# shellcheck source=tests/launcher/harness.sh
source "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

launch run 'a file.toml' --set 'x=[1, 2]'
expect "status" "$status" 0
expect "output" "$output" "in $work <run> <a file.toml> <--set> <x=[1, 2]>"
expect "installations of torch" "$(made '^pip')" 1
expect "a configured release, without tests" "$(made 'cmake .*--preset release .*TESTS=OFF')" 1
expect "builds" "$(made '^ninja')" 1
expect "calls of apt" "$(made '^apt')" 0
expect_message "libtorch 2.13.0 in $repo/.venv/"
expect_message "ready after"

# Its status is the program's own.
printf '#!/bin/bash\nexit 42\n' >"$repo/build/release/bin/cifarpipe"
launch
expect "status of the program" "$status" 42
