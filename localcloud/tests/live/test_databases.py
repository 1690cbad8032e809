"""RDS: DB instances and Aurora clusters that start and stop, against AWS's documentation."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.tests.live.estate import Estate

pytestmark = pytest.mark.cloud

STARTING_SECONDS = 120
STOPPING_SECONDS = 60
QUICK_WEEK_SECONDS = 1200
LOGIN = {"MasterUsername": "staging", "MasterUserPassword": "not-a-secret"}


@dataclass
class Base:
    """A DB instance or cluster."""

    estate: Estate
    shape: str  # "DBInstance" or "DBCluster"
    name: str

    @property
    def rds(self) -> Any:
        """A client."""
        return self.estate.client("rds")

    def call(self, verb: str, **more: Any) -> dict[str, Any]:
        """`StartDBInstance`, `StopDBCluster` and the like; returns the shape in the reply."""
        method = getattr(self.rds, f"{verb}_{self._word}")
        return dict(method(**{f"{self.shape}Identifier": self.name}, **more)[self.shape])

    def describe(self) -> dict[str, Any]:
        """Its shape as `DescribeDBInstances` or `DescribeDBClusters` has it."""
        method = getattr(self.rds, f"describe_{self._word}s")
        [shape] = method(**{f"{self.shape}Identifier": self.name})[f"{self.shape}s"]
        return dict(shape)

    def status(self, shape: dict[str, Any] | None = None) -> str:
        """The status, in `shape` or now."""
        key = {"DBInstance": "DBInstanceStatus", "DBCluster": "Status"}[self.shape]
        return str((shape or self.describe())[key])

    def becomes(self, status: str) -> None:
        """Let time run until it has that status."""
        self.estate.wait(lambda: self.status() == status, speed=60)

    def refused(self, verb: str, **more: Any) -> tuple[str, int, str]:
        """Code, HTTP status and message with which a call is refused."""
        with pytest.raises(ClientError) as caught:
            self.call(verb, **more)
        answer = caught.value.response
        details = answer["Error"]
        return details["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], details["Message"]

    @property
    def _word(self) -> str:
        return {"DBInstance": "db_instance", "DBCluster": "db_cluster"}[self.shape]


@pytest.fixture(autouse=True)
def quick(estate: Estate) -> Iterator[None]:
    """Databases that start and stop in a minute or two; no faults afterwards."""
    usual = estate.cloud.settings()["rds"]
    estate.cloud.settings(
        rds={"starting_seconds": STARTING_SECONDS, "stopping_seconds": STOPPING_SECONDS}
    )
    yield
    estate.cloud.settings(rds=usual)
    estate.cloud.clear_faults()


def an_instance(estate: Estate, **more: Any) -> Base:
    """A new DB instance for PostgreSQL, or a member of the cluster that `more` names."""
    name = estate.name()
    given = {"Engine": "postgres", "AllocatedStorage": 20, **LOGIN, **more}
    estate.client("rds").create_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.t4g.medium", **given
    )
    return Base(estate, "DBInstance", name)


def a_cluster(estate: Estate, **more: Any) -> Base:
    """A new Aurora cluster without instances."""
    cluster = Base(estate, "DBCluster", estate.name())
    cluster.rds.create_db_cluster(
        DBClusterIdentifier=cluster.name, Engine="aurora-postgresql", **LOGIN, **more
    )
    cluster.becomes("available")
    return cluster


def a_member(cluster: Base) -> Base:
    """A new instance of the cluster."""
    name = cluster.estate.name()
    cluster.rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.medium",
        Engine="aurora-postgresql",
        DBClusterIdentifier=cluster.name,
    )
    return Base(cluster.estate, "DBInstance", name)


MAKERS = pytest.mark.parametrize("make", [an_instance, a_cluster])


class Told:
    """The events about RDS from now on, by a rule and a queue."""

    def __init__(self, estate: Estate, pattern: dict[str, Any]) -> None:
        self._sqs = estate.client("sqs")
        self._queue = self._sqs.create_queue(QueueName=estate.name())["QueueUrl"]
        self._events: list[dict[str, Any]] = []
        name, events = estate.name(), estate.client("events")
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        asked = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        target = {"Id": "1", "Arn": asked["Attributes"]["QueueArn"]}
        events.put_targets(Rule=name, Targets=[target])

    def all(self) -> list[dict[str, Any]]:
        """The events so far, in the order of their dates."""
        reply = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        messages = reply.get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        self._events += [json.loads(message["Body"]) for message in messages]
        return sorted(self._events, key=lambda event: str(event["detail"]["Date"]))

    def ids(self) -> list[str]:
        """The ids of those events."""
        return [event["detail"]["EventID"] for event in self.all()]


def about(*bases: Base) -> dict[str, Any]:
    """The pattern of every event about these."""
    return {
        "source": ["aws.rds"],
        "detail": {"SourceIdentifier": [base.name for base in bases]},
    }


def moment(event: dict[str, Any]) -> datetime:
    """When the event's detail says that it happened."""
    return datetime.fromisoformat(event["detail"]["Date"])


@MAKERS
def test_a_stop_and_a_start_take_their_time(estate: Estate, make: Any) -> None:
    """Stopping an Amazon RDS DB instance temporarily: `stopping`, then `stopped`."""
    base = make(estate)
    assert base.status() == "available"
    for verb, through, to, seconds in (
        ("stop", "stopping", "stopped", STOPPING_SECONDS),
        ("start", "starting", "available", STARTING_SECONDS),
    ):
        began = estate.cloud.now()
        assert base.status(base.call(verb)) == through
        assert base.status() == through
        base.becomes(to)
        assert estate.cloud.now() - began >= seconds


@MAKERS
def test_a_call_in_another_status_is_refused(estate: Estate, make: Any) -> None:
    """StopDBInstance, StartDBInstance, StopDBCluster, StartDBCluster: Errors."""
    base = make(estate)
    code = {
        "DBInstance": "InvalidDBInstanceState",
        "DBCluster": "InvalidDBClusterStateFault",
    }[base.shape]
    assert base.refused("start")[:2] == (code, 400)
    base.call("stop")
    assert [base.refused(verb)[:2] for verb in ("stop", "start")] == [(code, 400)] * 2
    base.becomes("stopped")
    assert base.refused("stop")[:2] == (code, 400)
    base.call("start")
    assert [base.refused(verb)[:2] for verb in ("stop", "start")] == [(code, 400)] * 2
    base.becomes("available")


def test_what_is_not_there_is_not_found(estate: Estate) -> None:
    """StopDBInstance and StopDBCluster: Errors."""
    for shape, code in (
        ("DBInstance", "DBInstanceNotFound"),
        ("DBCluster", "DBClusterNotFoundFault"),
    ):
        nothing = Base(estate, shape, "nothing")
        for verb in ("start", "stop"):
            assert nothing.refused(verb)[:2] == (code, 404)


@MAKERS
def test_what_is_stopped_cannot_be_modified(estate: Estate, make: Any) -> None:
    """Limitations of stopping your DB instance; possible operations while a cluster is stopped."""
    base = make(estate)
    base.call("modify", BackupRetentionPeriod=3)
    base.call("stop")
    base.becomes("stopped")
    assert base.refused("modify", BackupRetentionPeriod=5)[0].startswith("InvalidDB")
    assert base.describe()["BackupRetentionPeriod"] == 3
    assert base.status() == "stopped"


def test_the_instances_of_a_cluster_stop_and_start_with_it(estate: Estate) -> None:
    """Overview of stopping and starting an Aurora DB cluster: all instances at once."""
    cluster = a_cluster(estate)
    members, other = [a_member(cluster), a_member(cluster)], an_instance(estate)
    told = Told(estate, about(cluster, *members, other))
    cluster.call("stop")
    assert [each.status() for each in members] == ["stopping"] * 2
    cluster.becomes("stopped")
    assert [each.status() for each in members] == ["stopped"] * 2
    cluster.call("start")
    assert [each.status() for each in members] == ["starting"] * 2
    cluster.becomes("available")
    assert [each.status() for each in [*members, other]] == ["available"] * 3
    estate.wait(lambda: len(told.all()) == 6)
    assert [sorted(told.ids()[part]) for part in (slice(3), slice(3, 6))] == [
        ["RDS-EVENT-0087", "RDS-EVENT-0087", "RDS-EVENT-0150"],
        ["RDS-EVENT-0088", "RDS-EVENT-0088", "RDS-EVENT-0151"],
    ]


def test_an_instance_of_a_cluster_does_not_stop_by_itself(estate: Estate) -> None:
    """StopDBInstance: "For Aurora clusters, use StopDBCluster instead"."""
    member = a_member(a_cluster(estate))
    for verb in ("stop", "start"):
        code, status, message = member.refused(verb)
        assert (code, status) == ("InvalidParameterCombination", 400)
        assert message.startswith("aurora-postgresql DB instances are not eligible")
    assert member.status() == "available"


def test_replicas_their_sources_and_global_databases_are_not_stopped(estate: Estate) -> None:
    """The limitations on both pages about stopping."""
    source = an_instance(estate)
    replica = Base(estate, "DBInstance", estate.name())
    source.rds.create_db_instance_read_replica(
        DBInstanceIdentifier=replica.name, SourceDBInstanceIdentifier=source.name
    )
    mirrored = an_instance(estate, Engine="sqlserver-se", MultiAZ=True)
    for base in (source, replica, mirrored):
        assert base.refused("stop")[:2] == ("InvalidDBInstanceState", 400)
        assert base.status() == "available"
    replica.call("delete", SkipFinalSnapshot=True)
    source.call("stop")
    world = estate.name()
    source.rds.create_global_cluster(GlobalClusterIdentifier=world, Engine="aurora-postgresql")
    part = a_cluster(estate, GlobalClusterIdentifier=world)
    assert part.refused("stop")[:2] == ("InvalidDBClusterStateFault", 400)


@MAKERS
def test_a_database_may_be_stopped_for_seven_days(estate: Estate, make: Any) -> None:
    """Both pages about stopping: "for up to seven days"; AutomaticRestartTime of the shape."""
    base = make(estate)
    told = Told(estate, about(base))
    assert "AutomaticRestartTime" not in base.describe()
    base.call("stop")
    estate.wait(told.all)
    [stopped] = told.all()
    restarts = base.describe()["AutomaticRestartTime"] - moment(stopped)
    assert abs(restarts - timedelta(days=7)) < timedelta(minutes=1)
    base.call("start")
    assert "AutomaticRestartTime" not in base.describe()


@MAKERS
def test_what_is_stopped_for_too_long_is_started(estate: Estate, make: Any) -> None:
    """Amazon RDS event categories and event messages: the events of the automatic start."""
    base = make(estate)
    told = Told(estate, about(base))
    estate.cloud.settings(rds={"longest_stop_seconds": QUICK_WEEK_SECONDS})
    base.call("stop")
    base.becomes("stopped")
    due = base.describe()["AutomaticRestartTime"]
    estate.wait(lambda: len(told.ids()) == 3, minutes=120, speed=600)
    _, overdue, started = told.all()
    ids = {
        "DBInstance": ["RDS-EVENT-0087", "RDS-EVENT-0154", "RDS-EVENT-0088"],
        "DBCluster": ["RDS-EVENT-0150", "RDS-EVENT-0153", "RDS-EVENT-0151"],
    }
    assert told.ids() == ids[base.shape]
    assert due - timedelta(seconds=1) <= moment(overdue)
    assert moment(started) - moment(overdue) >= timedelta(seconds=STARTING_SECONDS - 1)
    assert overdue["detail"]["Message"].endswith(
        "is being started due to it exceeding the maximum allowed time being stopped."
    )
    assert base.status() == "available"


def test_the_seven_days_begin_with_each_stop(estate: Estate) -> None:
    base = an_instance(estate)
    told = Told(estate, about(base))
    estate.cloud.settings(rds={"longest_stop_seconds": QUICK_WEEK_SECONDS})
    base.call("stop")
    base.becomes("stopped")
    base.call("start")
    base.becomes("available")
    base.call("stop")
    estate.wait(lambda: len(told.ids()) >= 4, minutes=120, speed=600)
    assert told.ids()[:3] == ["RDS-EVENT-0087", "RDS-EVENT-0088", "RDS-EVENT-0087"]
    stopped, overdue = told.all()[2:4]
    assert overdue["detail"]["EventID"] == "RDS-EVENT-0154"
    assert moment(overdue) - moment(stopped) >= timedelta(seconds=QUICK_WEEK_SECONDS - 1)


def test_a_rule_invokes_a_function_when_a_database_has_started(estate: Estate) -> None:
    """Tutorial: log the state of an Amazon RDS instance using EventBridge."""
    base, other = an_instance(estate), an_instance(estate)
    function, events = estate.function(), estate.client("events")
    pattern = {
        "source": ["aws.rds"],
        "detail-type": ["RDS DB Instance Event"],
        "detail": {"EventID": ["RDS-EVENT-0088"], "SourceArn": [base.describe()["DBInstanceArn"]]},
    }
    rule = events.put_rule(Name=estate.name(), EventPattern=json.dumps(pattern))["RuleArn"]
    estate.permit(function, "events.amazonaws.com", rule)
    events.put_targets(Rule=rule.rpartition("/")[2], Targets=[{"Id": "1", "Arn": function}])
    for each in (base, other):
        each.call("stop")
    for each in (base, other):
        each.becomes("stopped")
        each.call("start")

    def seen() -> list[dict[str, Any]]:
        lines = [line for line in estate.lines(function) if line.startswith("ALARM ")]
        return [json.loads(line.removeprefix("ALARM ")) for line in lines]

    for each in (other, base):
        each.becomes("available")
    estate.wait(seen)
    [event] = seen()
    arn = base.describe()["DBInstanceArn"]
    assert event["resources"] == [arn]
    assert event["detail"] == {
        "EventCategories": ["notification"],
        "SourceType": "DB_INSTANCE",
        "SourceArn": arn,
        "Date": event["detail"]["Date"],
        "Message": "DB instance started.",
        "SourceIdentifier": base.name,
        "EventID": "RDS-EVENT-0088",
    }


def test_an_event_of_a_cluster_is_its_own(estate: Estate) -> None:
    """Amazon Aurora's sample of a DB cluster event."""
    cluster = a_cluster(estate)
    told = Told(estate, {"detail-type": ["RDS DB Cluster Event"], **about(cluster)})
    cluster.call("stop")
    cluster.becomes("stopped")
    estate.wait(told.all)
    [event] = told.all()
    detail = event["detail"]
    assert detail["SourceArn"] == cluster.describe()["DBClusterArn"]
    assert (detail["SourceType"], detail["SourceIdentifier"]) == ("CLUSTER", cluster.name)
    assert (detail["EventID"], detail["Message"]) == ("RDS-EVENT-0150", "DB cluster stopped.")


def endpoint(base: Base) -> tuple[str, int]:
    """Where clients reach it."""
    shape = base.describe()
    if base.shape == "DBCluster":
        return shape["Endpoint"], shape["Port"]
    return shape["Endpoint"]["Address"], shape["Endpoint"]["Port"]


def connects(address: tuple[str, int]) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(address, timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


@MAKERS
def test_an_endpoint_takes_connections_while_it_is_available(estate: Estate, make: Any) -> None:
    """Stopping an Amazon RDS DB instance temporarily: it keeps its endpoint."""
    base = make(estate)
    address = endpoint(base)
    assert connects(address)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"hello")
        base.call("stop")
        assert connection.recv(1) == b""
    assert not connects(address)
    base.becomes("stopped")
    assert (endpoint(base), connects(address)) == (address, False)
    base.call("start")
    assert not connects(address)
    base.becomes("available")
    assert (endpoint(base), connects(address)) == (address, True)
    base.call("delete", SkipFinalSnapshot=True)
    assert not connects(address)


def test_a_provisioned_cluster_has_no_scaling_of_serverless_v1(estate: Estate) -> None:
    """Terraform would plan to change it."""
    assert "ScalingConfigurationInfo" not in a_cluster(estate).describe()


def test_instances_have_resource_ids_of_their_own(estate: Estate) -> None:
    """DescribeDBInstances: the filter `dbi-resource-id`."""
    one, other = an_instance(estate), an_instance(estate)
    identity = one.describe()["DbiResourceId"]
    assert identity != other.describe()["DbiResourceId"]

    def found(value: str) -> list[str]:
        reply = one.rds.describe_db_instances(
            Filters=[{"Name": "dbi-resource-id", "Values": [value]}]
        )
        return [each["DBInstanceIdentifier"] for each in reply["DBInstances"]]

    assert found(identity) == [one.name]
    one.call("delete", SkipFinalSnapshot=True)
    assert found(identity) == []


def test_a_database_that_is_deleted_while_it_stops_is_gone(estate: Estate) -> None:
    base = an_instance(estate)
    told = Told(estate, about(base))
    base.call("stop")
    base.call("delete", SkipFinalSnapshot=True)
    until = estate.cloud.now() + 2 * STOPPING_SECONDS
    estate.wait(lambda: estate.cloud.now() > until, speed=60)
    assert told.ids() == []
    assert base.refused("start")[0] == "DBInstanceNotFound"


def test_a_start_can_be_made_to_fail(estate: Estate) -> None:
    """StartDBInstance: InsufficientDBInstanceCapacity, as a fault of one database."""
    base, other = an_instance(estate), an_instance(estate)
    for each in (base, other):
        each.call("stop")
    for each in (base, other):
        each.becomes("stopped")
    code = "InsufficientDBInstanceCapacity"
    estate.cloud.fault("fail", "rds", "StartDBInstance", code=code, status=400, resource=base.name)
    assert base.refused("start")[:2] == (code, 400)
    assert base.status() == "stopped"
    other.call("start")
    [call] = [each for each in estate.cloud.calls(service="rds") if each["error"] == code]
    assert (call["action"], call["resource"]) == ("StartDBInstance", base.name)
