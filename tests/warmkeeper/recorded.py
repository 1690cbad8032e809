"""Events as AWS sends them, kept in events/*.json, and what the warmkeeper answers and logs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.warmkeeper.world import CONTROL_GROUP, WAKE_GROUP, World

EVENTS = Path(__file__).parent / "events"
TEXTS = {file.stem: file.read_text(encoding="utf-8") for file in EVENTS.glob("*.json")}
OWN = {"accept", "user-agent", "x-forwarded-for"}  # of the recorded call: a client has its own


def recorded(name: str) -> Any:
    """The event in events/NAME.json."""
    return json.loads(TEXTS[name])


def request(
    method: str = "GET",
    path: str = "/api/things",
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, list[str]] | None = None,
    body: bytes | str = "",
    group: str = WAKE_GROUP,
) -> dict[str, Any]:
    """The recorded call with its parts replaced; bytes go as base64, as the load balancer does."""
    event: dict[str, Any] = recorded("alb_call")
    event |= {"httpMethod": method, "path": path, "multiValueQueryStringParameters": query or {}}
    event["multiValueHeaders"] |= {name: [value] for name, value in (headers or {}).items()}
    event["requestContext"]["elb"]["targetGroupArn"] = group
    event["isBase64Encoded"] = isinstance(body, bytes)
    event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return event


def event_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The request of a row of clients.toml, as the load balancer hands it over."""
    event: dict[str, Any] = recorded("alb_call")
    headers = {name: v for name, v in event["multiValueHeaders"].items() if name not in OWN}
    query: dict[str, list[str]] = {}
    for pair in row.get("query", "").split("&") if "query" in row else ():
        name, _, value = pair.partition("=")
        query.setdefault(name, []).append(value)
    headers = {**headers, "x-forwarded-for": ["203.0.113.7"], **row["headers"]}
    event |= {"httpMethod": row["method"], "path": row["path"], "multiValueHeaders": headers}
    return event | {"multiValueQueryStringParameters": query}


def ask(world: World, method: str = "GET", path: str = "/api/things", **more: Any) -> Any:
    """The answer to a call on the wake rule."""
    return world.invoke(request(method, path, **more))


def control(world: World, method: str, path: str, **more: Any) -> Any:
    """The answer to a call on the control rule."""
    return world.invoke(request(method, path, group=CONTROL_GROUP, **more))


def headers_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """An answer's headers, names in lower case; each stands there once."""
    named: dict[str, list[str]] = answer["multiValueHeaders"]
    assert all(len(values) == 1 for values in named.values())
    return {name.lower(): values[0] for name, values in named.items()}


def log_lines(output: str) -> list[dict[str, Any]]:
    """The log: every line of it is a JSON object."""
    lines = [json.loads(line) for line in output.splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def metrics(output: str) -> dict[str, float]:
    """The sum of each metric in the log's embedded metric lines."""
    sums: dict[str, float] = {}
    for line in log_lines(output):
        for space in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for metric in space["Metrics"]:
                sums[metric["Name"]] = sums.get(metric["Name"], 0) + line[metric["Name"]]
    return sums


def state(world: World) -> tuple[object, ...]:
    """Everything outside that an event could change."""
    return (
        json.dumps(world.items),
        dict(world.rules),
        world.desired,
        list(world.calls),
        list(world.notices),
    )


def counted(world: World) -> dict[str, int]:
    """The metrics of a refusal: asleep nothing is written."""
    return {} if world.phase() == "asleep" else {"Refused": 1}


def told_already(world: World) -> None:
    """As if somebody had been told a moment ago that heartbeats are refused."""
    aws = world.aws()
    aws.write_memory(replace(aws.read_memory(), notified_at={"beats-refused": world.time}))
