"""What the tools that ask an AWS account have in common: where they ask, and how they are refused.

They ask as the person who runs them: credentials and endpoint are boto3's own (AWS_PROFILE,
AWS_ENDPOINT_URL, ...). The region is the first of --region, AWS_REGION, AWS_DEFAULT_REGION and the
profile's own.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ERRORS = (BotoCoreError, ClientError)
SUFFIX = "-warmkeeper"
REFUSED = "RefusedError"  # the warmkeeper's own, with which nothing was done


class CommandError(RuntimeError):
    """The warmkeeper cannot be asked, or has failed. The message says what to do."""


def options(description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line: the module's `name`, and where."""
    found = argparse.ArgumentParser(description=description.splitlines()[0])
    found.add_argument("name", help="the module's name, or the function's (NAME-warmkeeper)")
    add_place(found)
    chosen = found.parse_args(arguments)
    if not chosen.name:
        found.error("the module's name is empty: give its input name")
    return chosen


def function_of(name: str) -> str:
    """The function of the module of that name."""
    return name if name.endswith(SUFFIX) else name + SUFFIX


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options that say where: --region and --profile."""
    parser.add_argument("--region", help="else AWS_REGION, AWS_DEFAULT_REGION, or the profile's")
    parser.add_argument("--profile", help="else AWS_PROFILE")


def session_of(chosen: argparse.Namespace) -> boto3.Session:
    """The account and the region that are meant. Raises CommandError where there is no region.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
    """
    # boto3 itself does not read AWS_REGION
    region = chosen.region or os.environ.get("AWS_REGION") or None
    session = boto3.Session(region_name=region, profile_name=chosen.profile)
    if not session.region_name:
        raise CommandError(
            "No region: set AWS_REGION or AWS_DEFAULT_REGION, give your profile one "
            "(aws configure set region REGION), or add --region REGION."
        )
    return session


def ask(session: boto3.Session, function: str, command: str) -> dict[str, Any]:
    """The answer to a command. Raises CommandError."""
    payload = json.dumps({"command": command}).encode()
    try:
        answer = session.client("lambda").invoke(FunctionName=function, Payload=payload)
    except ERRORS as error:
        raise CommandError(
            f"{function} cannot be invoked: {str(error).rstrip('.')}. Name the module's name, the "
            "region and the account; it takes lambda:InvokeFunction."
        ) from None
    told: dict[str, Any] = json.loads(answer["Payload"].read())
    if answer.get("FunctionError"):
        raise CommandError(refusal(function, command, told))
    return told


def refusal(function: str, command: str, error: object) -> str:
    """What a person reads of an error that the function raised: its message, and no trace.

    https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    told = error if isinstance(error, dict) else {}
    kind = str(told.get("errorType", "error")).rpartition(".")[2]
    why = str(told.get("errorMessage") or kind)
    verb = "refuses" if kind == REFUSED else "does not answer"
    return f"{function} {verb} {command}: {why}"


def answered(
    description: str, arguments: Sequence[str] | None, say: Callable[[boto3.Session, str], str]
) -> int:
    """Print what `say` makes of the session and the function, or why it cannot. The exit status."""
    chosen = options(description, arguments)
    try:
        print(say(session_of(chosen), function_of(chosen.name)))
    except (CommandError, *ERRORS) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def moment(seconds: float, form: str = "%H:%M:%S") -> str:
    """An epoch second as UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime(form)
