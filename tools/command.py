"""Asks a warmkeeper for what it knows: what tools/explain.py and tools/report.py have in common.

As the person who runs it: credentials, region and endpoint are boto3's own (AWS_PROFILE,
AWS_REGION, AWS_ENDPOINT_URL, ...), or --region and --profile.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ERRORS = (BotoCoreError, ClientError)
SUFFIX = "-warmkeeper"


class CommandError(RuntimeError):
    """The warmkeeper cannot be asked, or has failed. The message says what to do."""


def options(description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line: the module's `name`, and where."""
    found = argparse.ArgumentParser(description=description.splitlines()[0])
    found.add_argument("name", help="the module's name, or the function's (NAME-warmkeeper)")
    found.add_argument("--region")
    found.add_argument("--profile")
    chosen = found.parse_args(arguments)
    if not chosen.name:
        found.error("name the module: NAME=... with make, which is its input name")
    return chosen


def function_of(name: str) -> str:
    """The function of the module of that name."""
    return name if name.endswith(SUFFIX) else name + SUFFIX


def session_of(chosen: argparse.Namespace) -> boto3.Session:
    return boto3.Session(region_name=chosen.region, profile_name=chosen.profile)


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
        why = told.get("errorMessage", told)
        raise CommandError(f"{function} does not answer {command}: {why}")
    return told


def moment(seconds: float, form: str = "%H:%M:%S") -> str:
    """An epoch second as UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime(form)
