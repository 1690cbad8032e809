"""RDS: DB instances and Aurora clusters that start and stop, over moto's.

Moto creates, describes and deletes them; here they have a status that moves with the virtual clock
and an endpoint that takes connections while they are available. Imitates "Stopping an Amazon RDS DB
instance temporarily" and "Starting an Amazon RDS DB instance that was previously stopped" (RDS User
Guide), "Stopping and starting an Amazon Aurora DB cluster" (Aurora User Guide), and "Amazon RDS
event categories and event messages" (both).
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.deployments import date
from localcloud.gateway import ApiError, Call, Reply
from localcloud.logs import iso

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

HOST = "127.0.0.1"
RESOURCE_ID = "dbi-resource-id"  # a filter
# Actions of moto's whose replies have the shape of an instance or a cluster.
SHOWING = (
    "CreateDBInstance", "CreateDBInstanceReadReplica", "DeleteDBInstance", "DescribeDBInstances",
    "ModifyDBInstance", "PromoteReadReplica", "RebootDBInstance",
    "RestoreDBInstanceFromDBSnapshot", "RestoreDBInstanceToPointInTime",
    "StartDBInstance", "StopDBInstance",
    "CreateDBCluster", "DeleteDBCluster", "DescribeDBClusters", "FailoverDBCluster",
    "ModifyDBCluster", "PromoteReadReplicaDBCluster", "RestoreDBClusterFromSnapshot",
    "RestoreDBClusterToPointInTime", "StartDBCluster", "StopDBCluster",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What differs between DB instances and clusters, in the words of the API and the events."""

    shape: str
    describe: str  # boto3's method
    status: str  # its key in the shape
    invalid: str  # the error code for a call in another status
    refusal: str  # and its message
    noun: str
    detail_type: str
    source_type: str
    stopped: str  # the ids of the events
    started: str
    overdue: str

    @property
    def identifier(self) -> str:
        """The parameter that names one, and its key in the shape."""
        return f"{self.shape}Identifier"


INSTANCE = Kind(
    shape="DBInstance",
    describe="describe_db_instances",
    status="DBInstanceStatus",
    invalid="InvalidDBInstanceState",
    refusal="Instance {name} is not in {wanted} state.",
    noun="DB instance",
    detail_type="RDS DB Instance Event",
    source_type="DB_INSTANCE",
    stopped="RDS-EVENT-0087",
    started="RDS-EVENT-0088",
    overdue="RDS-EVENT-0154",
)
CLUSTER = Kind(
    shape="DBCluster",
    describe="describe_db_clusters",
    status="Status",
    invalid="InvalidDBClusterStateFault",
    refusal="DbCluster {name} is in {status} state but expected it to be one of {wanted}.",
    noun="DB cluster",
    detail_type="RDS DB Cluster Event",
    source_type="CLUSTER",
    stopped="RDS-EVENT-0150",
    started="RDS-EVENT-0151",
    overdue="RDS-EVENT-0153",
)
KINDS = (INSTANCE, CLUSTER)


class Endpoint:
    """A port of 127.0.0.1 that stays the same, and takes connections while it is open."""

    def __init__(self) -> None:
        # Bound, and never listening: nobody else gets the port while this endpoint is closed.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((HOST, 0))
        self.port: int = self._reserved.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.BaseTransport] = set()

    async def open(self) -> None:
        """Take connections; what they send is not answered."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._connections), HOST, self.port
        )

    def close(self) -> None:
        """Refuse connections, and end those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.close()

    def give_up(self) -> None:
        """Close for good: the port is anybody's."""
        self.close()
        self._reserved.close()


class _Connection(asyncio.Protocol):
    def __init__(self, connections: set[asyncio.BaseTransport]) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._connections.discard(self._transport)


@dataclass(eq=False)
class Database:
    """A DB instance or cluster, with what moto does not know about it."""

    kind: Kind
    name: str
    arn: str
    cluster: str  # of an instance; "" if it is in none
    endpoint: Endpoint = field(default_factory=Endpoint)
    resource_id: str = field(default_factory=lambda: f"db-{uuid.uuid4().hex.upper()}")
    status: str = "available"
    restarts_at: float | None = None  # virtual epoch seconds, while it is stopped


class Databases:
    """Starts and stops databases, in their time, and tells it by events."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: dict[tuple[Kind, str], Database] = {}
        self._syncing = asyncio.Lock()
        gateway = cloud.gateway
        for kind in KINDS:
            gateway.override("rds", f"Start{kind.shape}", partial(self._start, kind))
            gateway.override("rds", f"Stop{kind.shape}", partial(self._stop, kind))
            gateway.override("rds", f"Modify{kind.shape}", partial(self._check_change, kind))
        gateway.override("rds", "DescribeDBInstances", self._describe)
        for action in SHOWING:
            gateway.after("rds", action, self._show)

    async def start(self) -> None:
        """There is nothing until somebody creates a database."""

    async def stop(self) -> None:
        """Close every endpoint."""
        for database in self._known.values():
            database.endpoint.give_up()

    # What callers do.

    async def _start(self, kind: Kind, call: Call) -> Reply:
        shape = await self._find(kind, call)
        _check_member(kind, shape)
        _expect(kind, shape, "stopped")
        self._begin_start(self._known[kind, shape[kind.identifier]])
        return {kind.shape: shape}

    async def _stop(self, kind: Kind, call: Call) -> Reply:
        if "DBSnapshotIdentifier" in call.params:
            raise ApiError("NotImplemented", "a snapshot before a stop is not in the local cloud")
        shape = await self._find(kind, call)
        _check_member(kind, shape)
        if reason := why_never_stopped(kind, shape):
            raise ApiError(kind.invalid, reason)
        _expect(kind, shape, "available")
        seconds = self._cloud.settings["rds"]["stopping_seconds"]
        self._move(self._known[kind, shape[kind.identifier]], "stopping", "stopped", seconds)
        return {kind.shape: shape}

    async def _check_change(self, kind: Kind, call: Call) -> None:
        """Neither a stopped instance nor a stopped cluster can be modified."""
        _expect(kind, await self._find(kind, call), "available")

    async def _describe(self, call: Call) -> Reply | None:
        """Moto has one resource id for all instances: the filter by it is answered here."""
        filters = {each["Name"]: each["Values"] for each in call.params.get("Filters", [])}
        if RESOURCE_ID not in filters:
            return None
        wanted = filters.pop(RESOURCE_ID)
        names = [each.name for each in self._known.values() if each.resource_id in wanted]
        if not names:
            return {"DBInstances": []}
        filters["db-instance-id"] = names
        shapes = [{"Name": name, "Values": values} for name, values in filters.items()]
        arguments = {**call.params, "Filters": shapes}
        return await self._cloud.control.call("rds", "describe_db_instances", **arguments)

    async def _find(self, kind: Kind, call: Call) -> dict[str, Any]:
        """The shape of the database that a call names; `ApiError` if there is none."""
        arguments = {kind.identifier: call.params[kind.identifier]}
        try:
            reply = await self._cloud.control.call("rds", kind.describe, **arguments)
        except ClientError as error:
            details = error.response["Error"]
            raise ApiError(details["Code"], details["Message"], 404) from error
        [shape] = reply[f"{kind.shape}s"]
        self._amend(kind, shape)
        return dict(shape)

    # What callers see.

    async def _show(self, call: Call, reply: Reply) -> Reply:
        """Put what moto does not know into each shape of a reply."""
        if not call.action.startswith("Describe"):
            await self._sync()
        for kind in KINDS:
            one = [reply[kind.shape]] if kind.shape in reply else []
            for shape in reply.get(f"{kind.shape}s", one):
                self._amend(kind, shape)
        return reply

    async def _sync(self) -> None:
        """Take up databases that moto has made, and forget those that it has deleted."""
        async with self._syncing:
            there: dict[tuple[Kind, str], dict[str, Any]] = {}
            for kind in KINDS:
                shapes = await self._cloud.control.pages("rds", kind.describe, f"{kind.shape}s")
                there |= {(kind, shape[kind.identifier]): shape for shape in shapes}
            for key in set(self._known) - set(there):
                self._known.pop(key).endpoint.give_up()
            for key in set(there) - set(self._known):
                kind, name = key
                shape = there[key]
                cluster = shape.get("DBClusterIdentifier", "") if kind is INSTANCE else ""
                database = Database(kind, name, shape[f"{kind.shape}Arn"], cluster)
                self._known[key] = database
                await database.endpoint.open()

    def _amend(self, kind: Kind, shape: dict[str, Any]) -> None:
        """Put in status, endpoint, resource id and the time of the automatic start.

        The endpoint is there in every status ("it retains its ID, DNS endpoint").
        """
        database = self._known.get((kind, shape[kind.identifier]))
        if database is None:  # deleted by this call
            return
        if database.status != "available":  # else moto's, which also knows "creating"
            shape[kind.status] = database.status
        if database.restarts_at is not None:
            shape["AutomaticRestartTime"] = date(database.restarts_at)
        if kind is INSTANCE:
            shape["Endpoint"] = {"Address": HOST, "Port": database.endpoint.port}
            shape["DbiResourceId"] = database.resource_id
        else:
            shape["Endpoint"] = shape["ReaderEndpoint"] = HOST
            shape["Port"] = database.endpoint.port
            if not shape.get("ScalingConfigurationInfo"):  # of Serverless v1 alone
                shape.pop("ScalingConfigurationInfo", None)

    # What happens by itself.

    def _begin_start(self, database: Database) -> None:
        seconds = self._cloud.settings["rds"]["starting_seconds"]
        self._move(database, "starting", "available", seconds)

    def _move(self, database: Database, through: str, to: str, seconds: float) -> None:
        """Change the status at once and again `seconds` later; a cluster's instances follow."""
        group = [database]
        if database.kind is CLUSTER:
            group += [each for each in self._known.values() if each.cluster == database.name]
        for each in group:
            each.status = through
            each.restarts_at = None
            each.endpoint.close()
        self._cloud.spawn(self._arrive(group, to, seconds))

    async def _arrive(self, group: list[Database], to: str, seconds: float) -> None:
        await self._cloud.clock.sleep(seconds)
        for each in filter(self._exists, group):
            each.status = to
            if to == "available":
                await each.endpoint.open()
                await self._tell(each, each.kind.started, "started.")
            else:
                await self._tell(each, each.kind.stopped, "stopped.")
        if to == "stopped":
            await self._start_when_overdue(group[0])

    async def _start_when_overdue(self, database: Database) -> None:
        """Start a database that was stopped for seven days, unless somebody did it before."""
        seconds = self._cloud.settings["rds"]["longest_stop_seconds"]
        due = self._cloud.clock.now() + seconds
        database.restarts_at = due
        await self._cloud.clock.sleep_until(due)
        if self._exists(database) and database.restarts_at == due:
            await self._tell(
                database,
                database.kind.overdue,
                "is being started due to it exceeding the maximum allowed time being stopped.",
            )
            self._begin_start(database)

    def _exists(self, database: Database) -> bool:
        return self._known.get((database.kind, database.name)) is database

    async def _tell(self, database: Database, event: str, what: str) -> None:
        """Put an event on the bus, as "Tutorial: log the state of an Amazon RDS instance" has it.

        The RDS User Guide's page about EventBridge has that tutorial.
        """
        detail = {
            "EventCategories": ["notification"],
            "SourceType": database.kind.source_type,
            "SourceArn": database.arn,
            "Date": iso(self._cloud.clock.now()),
            "Message": f"{database.kind.noun} {what}",
            "SourceIdentifier": database.name,
            "EventID": event,
        }
        await self._cloud.events.emit("aws.rds", database.kind.detail_type, detail, [database.arn])


def _expect(kind: Kind, shape: dict[str, Any], wanted: str) -> None:
    """`ApiError` unless the database has the status `wanted`."""
    status = shape[kind.status]
    if status != wanted:
        text = kind.refusal.format(name=shape[kind.identifier], status=status, wanted=wanted)
        raise ApiError(kind.invalid, text)


def _check_member(kind: Kind, shape: dict[str, Any]) -> None:
    """An instance of an Aurora cluster is started and stopped with its cluster alone."""
    if kind is INSTANCE and shape.get("DBClusterIdentifier"):
        text = f"{shape['Engine']} DB instances are not eligible for stopping and starting."
        raise ApiError("InvalidParameterCombination", text)


def why_never_stopped(kind: Kind, shape: dict[str, Any]) -> str:
    """Why such an instance or cluster cannot be stopped in any status; "" if it can.

    The limitations in "Stopping an Amazon RDS DB instance temporarily" and in "Limitations for
    stopping and starting Aurora DB clusters".
    """
    if kind is INSTANCE:
        if shape.get("ReadReplicaSourceDBInstanceIdentifier"):
            return "A read replica cannot be stopped."
        if shape.get("ReadReplicaDBInstanceIdentifiers"):
            return "A DB instance that has a read replica cannot be stopped."
        if shape.get("MultiAZ") and shape["Engine"].startswith("sqlserver"):
            return "A Multi-AZ DB instance for SQL Server cannot be stopped."
        return ""
    if shape.get("GlobalClusterIdentifier"):
        return "A DB cluster of a global database cannot be stopped."
    if shape.get("ReplicationSourceIdentifier") or shape.get("ReadReplicaIdentifiers"):
        return "A DB cluster that takes part in replication cannot be stopped."
    if shape.get("EngineMode") == "serverless":
        return "An Aurora Serverless v1 DB cluster cannot be stopped."
    return ""
