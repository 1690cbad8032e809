#!/usr/bin/env bash
# Wakes the service, waits until it is awake, and pins it if asked to.
set -euo pipefail

# shellcheck source=../invoke.sh
source "$GITHUB_ACTION_PATH/../invoke.sh"

whole='^[1-9][0-9]{0,5}$'
[[ -n $FUNCTION_NAME ]] || fail 'function-name is empty. Write the output function_name of the module.'
[[ $TIMEOUT_SECONDS =~ $whole ]] || fail "timeout-seconds must be a whole number above 0; got \"$TIMEOUT_SECONDS\". Leave it out, or write for example 900."
[[ -z $PIN_MINUTES || $PIN_MINUTES =~ $whole ]] || fail "pin-minutes must be a whole number above 0 and below 1000000; got \"$PIN_MINUTES\". Leave it out, or write for example 60."

invoke '{"command": "wake", "wait": true}' "$TIMEOUT_SECONDS"
phase=$(field phase)
if [[ -n $PIN_MINUTES ]]; then
  invoke "{\"command\": \"pin\", \"minutes\": $PIN_MINUTES}" 60
fi
{
  echo "phase=$phase"
  echo "seconds=$SECONDS"
  echo "pinned-until=$(field pinned_until)"
} >>"$GITHUB_OUTPUT"
