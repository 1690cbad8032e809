"""What the tools ask and are answered: by boto3, and by the warmkeeper on a World."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from tests.warmkeeper.recorded import recorded
from tests.warmkeeper.world import World
from tools import forecast
from tools.forecast import Forecast


class Client:
    """Answers as boto3 would; what it has no answer to is denied."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers

    def __getattr__(self, operation: str) -> Any:
        def call(*_: str, **arguments: Any) -> Any:
            if operation not in self.answers:
                raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)
            answer = self.answers[operation]
            return answer(**arguments) if callable(answer) else answer

        return call


class Session:
    region_name = "eu-central-1"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def client(self, _: str, **__: Any) -> Client:
        return Client(self.answers)


def told(world: World) -> dict[str, Any]:
    """The answer to the command, as it arrives: JSON."""
    answer: dict[str, Any] = json.loads(json.dumps(world.invoke(recorded("command_explain"))))
    return answer


def ways_of(answer: dict[str, Any]) -> list[Forecast]:
    """What the tool makes of such an answer."""
    return forecast.forecasts(*forecast.read(answer))
