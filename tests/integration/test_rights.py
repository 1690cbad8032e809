"""What the warmkeeper is allowed, what it refuses, and what it keeps to itself, on a local cloud.

Every test of the shared estate is watched besides: see `estate` in conftest.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from localcloud.client import LocalCloud
from tests import figures
from tests.estate import Estate
from tests.rights.reference import UNCALLED
from tests.rights.watch import Watch
from tests.waits import until
from tests.warmkeeper.recorded import recorded, request

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

TOKEN = "live-token-5e1f"
CANARY = "live-canary-9a2c"


@pytest.fixture
def tokened(estate: Estate) -> Iterator[Estate]:
    """The estate with a token for heartbeats."""
    parameters = estate.client("ssm")
    parameters.put_parameter(Name="/staging/token", Value=TOKEN, Type="SecureString")
    arn = parameters.get_parameter(Name="/staging/token")["Parameter"]["ARN"]
    estate.apply(heartbeat_token_parameter_arn=arn)
    yield estate
    parameters.delete_parameter(Name="/staging/token")


def beat(estate: Estate, authorization: str | None, body: str = '{"in_flight": 1}') -> int:
    headers = {"Authorization": authorization} if authorization else {}
    url = estate.outputs["heartbeat_url"]
    return requests.post(url, data=body, headers=headers, timeout=300).status_code


def alarm(arn: str) -> dict[str, Any]:
    event: dict[str, Any] = recorded("alarm_idle")
    return event | {"alarmArn": arn}


def assert_refused(estate: Estate) -> int:
    """Sends what is not to be obeyed, in every way: counted, with the reason in the log."""

    def invoked(event: Any) -> str:
        with pytest.raises(RuntimeError, match="RefusedError"):
            estate.invoke(event)
        return "raised"

    ours = estate.outputs["idle_alarm_arn"]
    before, already = refusals(estate), counted(estate)
    memory, count = untold(estate), estate.service()["desiredCount"]
    wrong = f'{{"in_flight": "{CANARY}"}}'
    sent = [
        (401, "send the token", beat(estate, None)),
        (401, "send the token", beat(estate, f"Bearer {CANARY}")),
        (400, "in_flight must be", beat(estate, f"Bearer {TOKEN}", wrong)),
        (403, "not from a target group", estate.invoke(request())["statusCode"]),
        (400, "not in the form", estate.invoke({"requestContext": {"elb": CANARY}})["statusCode"]),
        ("raised", "the command is not one of", invoked({"command": CANARY})),
        ("raised", "minutes must be", invoked({"command": "pin", "minutes": CANARY})),
        ("raised", "not a command", invoked(alarm(ours + CANARY))),
        ("raised", "not a command", invoked([CANARY])),
    ]
    assert [came for _, _, came in sent] == [expected for expected, _, _ in sent]
    until(lambda: counted(estate) >= already + len(sent), "all of them in the log")
    reasons = refusals(estate) - before
    assert reasons.total() == len(sent)
    assert [why for _, why, _ in sent if not any(why in reason for reason in reasons)] == []
    assert counted(estate) == already + len(sent)
    assert (untold(estate), estate.service()["desiredCount"]) == (memory, count)
    assert "beats-refused" in estate.memory()["notified_at"]
    return len(sent)


def untold(estate: Estate) -> dict[str, Any]:
    """The memory but for what people were told, which a refusal may leave in it."""
    return {k: v for k, v in estate.memory().items() if k not in ("notified_at", "version")}


def log_lines(estate: Estate) -> list[str]:
    """Every line of the function's log."""
    pages = estate.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=estate.outputs["log_group_name"])
    return [event["message"] for page in found for event in page["events"]]


def entries(lines: list[str]) -> list[dict[str, Any]]:
    """The warmkeeper's own lines; the others are Lambda's."""
    return [json.loads(line) for line in lines if line.startswith("{")]


def refusals(estate: Estate) -> Counter[str]:
    """Why it has refused, by the log."""
    lines = entries(log_lines(estate))
    return Counter(line["reason"] for line in lines if line.get("message") == "refused")


def counted(estate: Estate) -> int:
    """How many refusals the metric has counted."""
    return sum(int(line.get("Refused", 0)) for line in entries(log_lines(estate)))


def kept(estate: Estate) -> dict[str, str]:
    """Where a secret could come to lie: state, environment, table, log and what people are told."""
    function, table = estate.outputs["function_name"], estate.outputs["table_name"]
    states = sorted(estate.workspace.scratch.glob("*.tfstate*"))
    settings = estate.client("lambda").get_function_configuration(FunctionName=function)
    items = estate.client("dynamodb").scan(TableName=table)["Items"]
    return {
        "state": "".join(file.read_text() for file in states),
        "environment": json.dumps(settings["Environment"]),
        "table": json.dumps(items),
        "log": "\n".join(log_lines(estate)),
    }


def play(estate: Estate, cloud: LocalCloud) -> None:
    """Everything that it does: every command, a beat, an idle alarm, asleep and awake again."""
    assert estate.invoke({"command": "doctor"}) == {"findings": []}
    for command in ("status", "pin", "unpin", "explain"):
        assert estate.invoke({"command": command})["phase"] == "awake"
    estate.invoke(alarm(estate.outputs["idle_alarm_arn"]))
    estate.fall_asleep(cloud)
    estate.invoke({"source": "aws.events", "detail-type": "Scheduled Event"})
    if "heartbeat_url" not in estate.outputs:
        estate.invoke(alarm(estate.outputs["idle_alarm_arn"].replace("-idle", "-wake")))
        estate.until("awake")
        return
    headers = {"Cookie": f"session={CANARY}", "Authorization": f"Basic {CANARY}"}
    page = requests.get(
        f"{estate.url}/{CANARY}?q={CANARY}",
        headers={**headers, "Sec-Fetch-Mode": "navigate", "Accept": "text/html"},
        timeout=300,
    )
    assert page.status_code == 503
    assert estate.get().status_code == 200
    assert requests.get(estate.outputs["status_url"], timeout=300).json()["phase"] == "awake"
    assert beat(estate, f"Bearer {TOKEN}") == 200


def assert_kept_to_itself(estate: Estate) -> None:
    """No secret in any place, and in the log nothing of a request; each place was looked into."""
    places = kept(estate)
    for place in ("state", "environment"):
        assert estate.workspace.variables["heartbeat_token_parameter_arn"] in places[place]
    assert '"phase"' in places["table"]
    assert "refused" in places["log"]
    assert [place for place, text in places.items() if TOKEN in text or CANARY in text] == []


# What this estate has no need of: it has no blue/green deployments. Those of tests/rights do.
UNNEEDED = {("SeeDeployments", "ecs:ListServiceDeployments")}


@pytest.fixture
def scaling(estate: Estate) -> Iterator[None]:
    """The service is a scalable target."""
    client = estate.client("application-autoscaling")
    cluster, service = estate.outputs["cluster_name"], estate.outputs["service_name"]
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{cluster}/{service}",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    client.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    yield
    client.deregister_scalable_target(**target)


@pytest.mark.usefixtures("scaling")
def test_the_role_allows_what_is_called_and_no_more_and_what_is_foreign_is_refused(
    tokened: Estate, cloud: LocalCloud, watch: Watch
) -> None:
    estate, found = tokened, dict[str, Any]()
    for path in ("listener", "alarm"):
        if path == "alarm":
            estate.apply(cloud, wake_path="alarm")
        before = watch.calls
        play(estate, cloud)
        # the ticks resume auto scaling; else the next sleep would find it suspended already
        cloud.advance_until(lambda: not estate.memory()["suspended"], minutes=5)
        if path == "listener":
            with estate.without_ticks():  # one that writes meanwhile would delay the notice
                found["refused"] = assert_refused(estate)
            assert_kept_to_itself(estate)
        assert watch.violations() == []
        by_others = {right for right in UNCALLED if right[0] == "WriteLog"}
        assert watch.unused() == by_others | UNNEEDED
        found[path] = {"calls": watch.calls - before, "rights": sorted(watch.used)}
    figures.record("rights", "used", found)
