#!/usr/bin/env bash
# Ends the pin: the service sleeps when it is idle.
set -euo pipefail

# shellcheck source=../invoke.sh
source "$GITHUB_ACTION_PATH/../invoke.sh"

[[ -n $FUNCTION_NAME ]] || fail 'function-name is empty. Write the output function_name of the module.'

invoke '{"command": "unpin"}' 60
echo "phase=$(field phase)" >>"$GITHUB_OUTPUT"
