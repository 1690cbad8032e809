"""What the load balancer answers itself while the service is not awake, and the rule against it.

docs/guide/waiting.md tells whoever is refused what to do.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from localcloud.client import LocalCloud
from tests.estate import Estate

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
MEGABYTE = 1024 * 1024


def upgrade(estate: Estate) -> int:
    """The status that an upgrade gets. The sample speaks no WebSocket: it answers as to any GET."""
    answer = requests.get(estate.url + "/api/time", headers=UPGRADE, timeout=300)
    return answer.status_code


def upload(estate: Estate, size: int) -> requests.Response:
    return requests.post(estate.url + "/upload", data=b"x" * size, timeout=300)


def test_what_the_load_balancer_refuses_wakes_nothing_and_goes_through_after_a_small_request(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    began = cloud.now()
    refused = upload(estate, MEGABYTE + 1)
    assert refused.status_code == 413
    assert refused.headers["Server"].startswith("awselb"), "nobody else has seen it"
    assert upgrade(estate) == 400
    assert estate.phase() == "asleep"
    assert estate.updates(cloud, began) == []
    grpc = {"Content-Type": "application/grpc"}
    call = requests.post(estate.url + "/a.B/C", headers=grpc, data=b"\0" * 5, timeout=300)
    assert call.status_code == 503, (
        "which gRPC takes for UNAVAILABLE; a redirect it could not follow"
    )
    wake = estate.outputs["status_url"].replace("/status", "/wake")
    assert requests.post(wake, timeout=300).status_code == 202
    estate.until("awake")
    assert estate.get().status_code == 200
    cloud.settle()  # until then a node may send the upload to the warmkeeper
    assert upload(estate, MEGABYTE + 1).json()["received_bytes"] == MEGABYTE + 1


@pytest.fixture
def passing(estate: Estate) -> Iterator[Estate]:
    """The estate with its WebSocket rule, awake."""
    estate.workspace.apply(websocket_rule=True)
    yield estate
    estate.workspace.apply(websocket_rule=False)


def test_with_the_websocket_rule_an_upgrade_reaches_the_service_while_its_tasks_run(
    passing: Estate, cloud: LocalCloud
) -> None:
    """What is seen of it is nothing: a beat has to say that somebody is there."""
    passing.fall_drowsy()
    cloud.settle()
    assert passing.get(allow_redirects=False).status_code == 307
    passing.fall_drowsy()
    cloud.settle()
    assert upgrade(passing) == 200
    assert passing.phase() == "drowsy"
    beat = {"in_flight": 1, "requests": 0}
    assert (
        requests.post(passing.outputs["heartbeat_url"], json=beat, timeout=300).status_code == 200
    )
    assert passing.phase() == "awake"
    passing.fall_asleep(cloud)
    assert upgrade(passing) == 503
    assert passing.phase() == "asleep", "the load balancer has answered"
    assert passing.get().status_code == 200
    assert upgrade(passing) == 200
