# shellcheck shell=bash
# For the actions beside this file: sends a command to the warmkeeper by the AWS CLI, version 1 or 2.

# Ends the step with an annotation. Its text is one line: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
fail() {
  printf '::error::%s\n' "${1//%/%25}"
  exit 1
}

# The value of FIELD in the JSON text $answer: a number or a plain text, "" if there is none.
field() {
  local pattern="\"$1\": ?\"?([^\",}]*)"
  if [[ $answer =~ $pattern ]]; then
    printf '%s' "${BASH_REMATCH[1]}"
  fi
}

# The reason of an error of the function. It stays as JSON has it, without line ends: no text from
# outside becomes a command of the workflow.
reason() {
  local pattern='"errorMessage": ?"(([^"\\]|\\.)*)"'
  if [[ $answer =~ $pattern ]]; then
    printf '%s' "${BASH_REMATCH[1]//\\\"/\"}"
  else
    printf '%s' "$answer"
  fi
}

# invoke COMMAND READ_TIMEOUT: sends the JSON text COMMAND, waits READ_TIMEOUT seconds for the answer at
# most, and puts it into $answer. Ends the step with the reason if it fails.
invoke() {
  local folder error
  local region=${REGION:-${AWS_REGION:-${AWS_DEFAULT_REGION:-}}} # version 1 does not read AWS_REGION
  folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/warmkeeper.XXXXXX")
  printf '%s' "$1" >"$folder/command.json"
  # One attempt: after a time-out the command is still at work, and would be sent again beside it.
  if ! error=$(
    AWS_MAX_ATTEMPTS=1 AWS_PAGER='' aws lambda invoke ${region:+--region "$region"} \
      --function-name "$FUNCTION_NAME" --payload "fileb://$folder/command.json" \
      --cli-read-timeout "$2" --query FunctionError --output text "$folder/answer.json"
  ); then
    rm -rf "$folder"
    fail "$FUNCTION_NAME could not be asked: see the lines above. The job's role needs lambda:InvokeFunction on the function of the output function_name."
  fi
  answer=$(<"$folder/answer.json")
  rm -rf "$folder"
  if [[ $error != None ]]; then
    fail "$FUNCTION_NAME: $(reason)"
  fi
  printf '%s\n' "$answer"
}
