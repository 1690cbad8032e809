"""Application Auto Scaling of ECS services: a scalable target's bounds and suspensions.

No policy computes anything here. `RegisterScalableTarget` pulls the count into its bounds at once,
and a policy that scales out pulls a count below the minimum up to it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.gateway import Call

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

SERVICE = "application-autoscaling"
DIMENSION = "ecs:service:DesiredCount"
RUNNING = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}


@dataclass
class ScalableTarget:
    """What was registered: bounds, and which scaling activities are suspended."""

    resource: str  # as in "service/CLUSTER/NAME"
    dimension: str
    minimum: int = 0
    maximum: int = 0
    suspended: dict[str, bool] = field(default_factory=RUNNING.copy)
    waits: bool = False  # for a policy that scales out

    @property
    def cluster(self) -> str:
        """The name of the ECS service's cluster."""
        return self.resource.split("/")[1]

    @property
    def name(self) -> str:
        """The ECS service's name."""
        return self.resource.split("/")[2]


class Scaling:
    """Keeps the scalable targets, and the counts of ECS services within their bounds."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._targets: dict[tuple[str, str], ScalableTarget] = {}  # by resource id and dimension
        gateway = cloud.gateway
        gateway.after(SERVICE, "RegisterScalableTarget", self._registered)
        gateway.after(SERVICE, "DescribeScalableTargets", self._described)
        gateway.after(SERVICE, "DeregisterScalableTarget", self._deregistered)
        gateway.after(SERVICE, "PutScalingPolicy", self._policy_put)

    def count_changed(self, cluster: str, name: str) -> None:
        """An ECS service has a new count: a policy may scale out some time later."""
        target = self._targets.get((f"service/{cluster}/{name}", DIMENSION))
        if target is not None:
            self._await_policy(target)

    # What callers do.

    async def _registered(self, call: Call, _: dict[str, Any]) -> None:
        """`RegisterScalableTarget`: what is not given stays as it is; the count is pulled in.

        So is each flag of `SuspendedState`: moto forgets the flags that a call does not name.
        """
        params = call.params
        key = (params["ResourceId"], params["ScalableDimension"])
        target = self._targets.setdefault(key, ScalableTarget(*key))
        target.minimum = int(params.get("MinCapacity", target.minimum))
        target.maximum = int(params.get("MaxCapacity", target.maximum))
        target.suspended.update(params.get("SuspendedState", {}))
        if target.dimension != DIMENSION:
            return
        count = self._cloud.tasks.count_of(target.cluster, target.name)
        if count is not None:
            await self._set(target, min(max(count, target.minimum), target.maximum))
        self._await_policy(target)

    async def _described(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        """`ScalableTarget` of the API reference: all three flags, whichever were ever given."""
        for shape in reply["ScalableTargets"]:
            target = self._targets.get((shape["ResourceId"], shape["ScalableDimension"]))
            shape["SuspendedState"] = dict(target.suspended if target else RUNNING)
        return reply

    async def _deregistered(self, call: Call, _: dict[str, Any]) -> None:
        self._targets.pop((call.params["ResourceId"], call.params["ScalableDimension"]), None)

    async def _policy_put(self, call: Call, _: dict[str, Any]) -> None:
        key = (call.params["ResourceId"], call.params["ScalableDimension"])
        if key in self._targets:
            self._await_policy(self._targets[key])

    # What a policy does.

    def _await_policy(self, target: ScalableTarget) -> None:
        """Let a policy scale out, `policy_seconds` from now."""
        if self._falls_short(target) and not target.waits:
            target.waits = True
            self._cloud.spawn(self._fire(target))

    def _falls_short(self, target: ScalableTarget) -> bool:
        """Whether the count is below the minimum and scaling out is not suspended."""
        if target.dimension != DIMENSION or target.suspended["DynamicScalingOutSuspended"]:
            return False
        count = self._cloud.tasks.count_of(target.cluster, target.name)
        return count is not None and count < target.minimum

    async def _fire(self, target: ScalableTarget) -> None:
        """Pull the count up to the minimum, as a policy that scales out does.

        Imitates "Service auto scaling considerations" of the ECS guide ("Step scaling policies").
        There, a policy that scales in leaves such a count alone. Here, any policy scales out.
        """
        await self._cloud.clock.sleep(self._cloud.settings["scaling"]["policy_seconds"])
        target.waits = False
        known = self._targets.get((target.resource, target.dimension)) is target
        if not known or not self._falls_short(target):
            return
        policies = await self._cloud.control.call(
            SERVICE,
            "describe_scaling_policies",
            ServiceNamespace="ecs",
            ResourceId=target.resource,
            ScalableDimension=target.dimension,
        )
        if policies["ScalingPolicies"]:
            with suppress(ClientError):  # the service is gone
                await self._set(target, target.minimum)

    async def _set(self, target: ScalableTarget, count: int) -> None:
        if count != self._cloud.tasks.count_of(target.cluster, target.name):
            client = self._cloud.control.client("ecs", through_gateway=True)
            await asyncio.to_thread(
                client.update_service,
                cluster=target.cluster,
                service=target.name,
                desiredCount=count,
            )
