"""Container instances: EC2 instances whose user data joins them to an ECS cluster.

Imitates "Bootstrapping Amazon ECS Linux container instances to pass data" (ECS Developer Guide):
the agent of an instance whose user data has `ECS_CLUSTER=NAME` registers it there. Nothing of the
user data runs. `RegisterContainerInstance` by hand does the same.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.gateway import Call

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

JOINS = re.compile(r"ECS_CLUSTER=[\"']?([\w-]+)")
# The calls after which there are other instances than before.
CHANGING = {
    "ec2": {"RunInstances", "TerminateInstances"},
    "autoscaling": {
        "CreateAutoScalingGroup", "UpdateAutoScalingGroup", "SetDesiredCapacity",
        "DeleteAutoScalingGroup", "TerminateInstanceInAutoScalingGroup",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Instance:
    """One container instance."""

    arn: str
    id: str  # of the EC2 instance
    cluster: str


class Instances:
    """Knows the container instances of every cluster, and registers those that EC2 starts."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: dict[str, Instance] = {}  # by ARN
        self._syncing = asyncio.Lock()
        gateway = cloud.gateway
        gateway.after("ecs", "RegisterContainerInstance", self._registered)
        gateway.after("ecs", "DeregisterContainerInstance", self._deregistered)
        for service in CHANGING:
            gateway.subscribe(service, self._changed)

    def of(self, cluster: str) -> list[Instance]:
        """The container instances of a cluster."""
        return [each for each in self._known.values() if each.cluster == cluster]

    async def _registered(self, call: Call, reply: dict[str, Any]) -> None:
        shape = reply["containerInstance"]
        cluster = call.params.get("cluster", "default").rsplit("/", 1)[-1]
        arn = shape["containerInstanceArn"]
        self._known[arn] = Instance(arn, shape["ec2InstanceId"], cluster)
        self._cloud.tasks.instance_registered(cluster)

    async def _deregistered(self, _: Call, reply: dict[str, Any]) -> None:
        self._known.pop(reply["containerInstance"]["containerInstanceArn"], None)

    async def _changed(self, call: Call) -> None:
        if call.action in CHANGING[call.service]:
            self._cloud.spawn(self._sync())

    async def _sync(self) -> None:
        """Register running instances that ask for it, and forget those that are gone."""
        async with self._syncing:
            running = await self._running()
            for instance in [each for each in self._known.values() if each.id not in running]:
                await self._call(
                    "deregister_container_instance",
                    cluster=instance.cluster,
                    containerInstance=instance.arn,
                    force=True,
                )
            for identity in running - {each.id for each in self._known.values()}:
                if cluster := await self._cluster_of(identity):
                    document = json.dumps({"instanceId": identity})
                    await self._call(
                        "register_container_instance",
                        cluster=cluster,
                        instanceIdentityDocument=document,
                    )

    async def _running(self) -> set[str]:
        reservations = await self._cloud.control.pages("ec2", "describe_instances", "Reservations")
        return {
            each["InstanceId"]
            for reservation in reservations
            for each in reservation["Instances"]
            if each["State"]["Name"] == "running"
        }

    async def _cluster_of(self, identity: str) -> str:
        """The cluster that the user data names; "" for none."""
        reply = await self._cloud.control.call(
            "ec2", "describe_instance_attribute", InstanceId=identity, Attribute="userData"
        )
        encoded = reply.get("UserData", {}).get("Value", "")
        found = JOINS.search(base64.b64decode(encoded).decode(errors="replace"))
        return found[1] if found else ""

    async def _call(self, method: str, **arguments: Any) -> None:
        try:
            await self._cloud.control.call("ecs", method, through_gateway=True, **arguments)
        except ClientError as error:
            print(f"{method} {arguments}: {error}", flush=True)
