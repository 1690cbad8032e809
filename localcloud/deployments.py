"""Deployments of ECS services: what one is, how it is described, and how it shifts traffic.

The scheduler in `tasks.py` starts and ends them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localcloud.alb import target_groups_of
from localcloud.control import ACCOUNT, REGION
from localcloud.gateway import ApiError, Call, Reply

if TYPE_CHECKING:
    from localcloud.cloud import Cloud
    from localcloud.connect import Endpoint
    from localcloud.tasks import Service

PAGE = 20  # service deployments that one answer lists, unless the call says otherwise
BREAKER_BOUNDS = (3, 200)  # failed tasks after which the circuit breaker trips, at least and most
NOT_STARTED = "tasks failed to start."
# Of CanaryConfiguration and LinearConfiguration in the ECS API reference: percent, minutes.
CANARY_DEFAULTS = (5.0, 10)
LINEAR_DEFAULTS = (10.0, 6)


@dataclass(eq=False)
class Deployment:
    """One of a service's deployments ("Deployment" and "ServiceDeployment" in the ECS API)."""

    definition: Mapping[str, Any]  # the task definition as `DescribeTaskDefinition` has it
    created: float
    status: str = "PRIMARY"
    rollout: str = "IN_PROGRESS"
    failed: int = 0
    id: str = field(default_factory=lambda: f"ecs-svc/{secrets.randbelow(10**19):019d}")
    revision: str = field(default_factory=lambda: f"{secrets.randbelow(10**19):019d}")
    service_connect: dict[str, Any] | None = None
    # What its tasks resolve by Service Connect, by "NAME:PORT".
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)  # `deploymentConfiguration`
    source: Deployment | None = None  # the deployment that it replaces
    state: str = "IN_PROGRESS"  # of the service deployment; `rollout` is the same for `Deployment`
    said: str = ""  # why it is in this state
    ended: float | None = None
    rolled_back_at: float | None = None
    stage: str | None = None  # of a blue/green deployment under way
    # Where its tasks are registered: by the target group that the service names.
    groups: Mapping[str, str] = field(default_factory=dict)
    external_id: str = ""  # of a task set: the CodeDeploy deployment that made it

    @property
    def task_definition(self) -> str:
        """The task definition's ARN."""
        return str(self.definition["taskDefinitionArn"])

    @property
    def awsvpc(self) -> bool:
        """Whether tasks have a network interface of their own; else they use their instance's."""
        return bool(self.definition.get("networkMode") == "awsvpc")

    @property
    def strategy(self) -> str:
        """ROLLING, BLUE_GREEN, CANARY or LINEAR."""
        return str(self.configuration.get("strategy", "ROLLING"))

    @property
    def reason(self) -> str:
        """The sentence for `rolloutStateReason`."""
        if self.rollout == "FAILED":
            return f"ECS deployment circuit breaker: {NOT_STARTED}"
        if self.rollout == "IN_PROGRESS" and self.state == "SUCCESSFUL":
            return f"ECS deployment circuit breaker: rolling back to deploymentId {self.id}."
        said = {"IN_PROGRESS": "in progress", "COMPLETED": "completed"}
        return f"ECS deployment {self.id} {said[self.rollout]}."

    def end(self, state: str, now: float, said: str = "") -> None:
        """It is over, in this state of a service deployment."""
        self.state = state
        self.ended = now
        self.said = said
        self.stage = None

    def steps(self) -> Iterator[tuple[float, float]]:
        """How traffic shifts: percent of it, and minutes until the next step or the end.

        Imitates "Amazon ECS blue/green deployments", "canary deployments", "linear deployments".
        """
        bake = float(self.configuration.get("bakeTimeInMinutes", 0))
        if self.strategy == "CANARY":
            canary = self.configuration.get("canaryConfiguration", {})
            percent, minutes = CANARY_DEFAULTS
            yield (
                canary.get("canaryPercent", percent),
                canary.get("canaryBakeTimeInMinutes", minutes),
            )
        if self.strategy == "LINEAR":
            linear = self.configuration.get("linearConfiguration", {})
            percent, minutes = LINEAR_DEFAULTS
            step = linear.get("stepPercent", percent)
            shifted = step
            while shifted < 100:
                yield shifted, linear.get("stepBakeTimeInMinutes", minutes)
                shifted += step
        yield 100, bake


class Traffic:
    """The production listener rules of blue/green services."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def serving(self, load_balancers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """The target group that gets most of the production traffic, by the one that is named."""
        found = {}
        for each in load_balancers:
            if "advancedConfiguration" in each:
                weights = await self._weights(each)
                found[each["targetGroupArn"]] = max(
                    pair_of(each), key=lambda arn: weights.get(arn, 0)
                )
        return found

    async def send(
        self,
        load_balancers: Sequence[Mapping[str, Any]],
        groups: Mapping[str, str],
        percent: float,
    ) -> None:
        """Send so much of the production traffic to `groups`, the rest to the others.

        Rewrites the actions of the rules, and not their conditions and priorities. Weights are
        whole percent. Imitates "Application Load Balancer resources for blue/green deployments";
        ClientError if a rule cannot be changed.
        """
        for each in load_balancers:
            if "advancedConfiguration" not in each:
                continue
            new = groups.get(each["targetGroupArn"], each["targetGroupArn"])
            old = other_of(each, new)
            wanted = {new: round(percent), old: 100 - round(percent)}
            if await self._weights(each) == wanted:
                continue
            weighted = [{"TargetGroupArn": arn, "Weight": wanted[arn]} for arn in pair_of(each)]
            await self._cloud.control.call(
                "elbv2",
                "modify_rule",
                through_gateway=True,
                RuleArn=each["advancedConfiguration"]["productionListenerRule"],
                Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": weighted}}],
            )

    async def _weights(self, load_balancer: Mapping[str, Any]) -> dict[str, int]:
        rule = load_balancer["advancedConfiguration"]["productionListenerRule"]
        reply = await self._cloud.control.call("elbv2", "describe_rules", RuleArns=[rule])
        return target_groups_of(reply["Rules"][0]["Actions"])


def pair_of(load_balancer: Mapping[str, Any]) -> tuple[str, str]:
    """The two target groups of a service's `loadBalancers` entry."""
    alternate = load_balancer["advancedConfiguration"]["alternateTargetGroupArn"]
    return load_balancer["targetGroupArn"], alternate


def other_of(load_balancer: Mapping[str, Any], group: str) -> str:
    """The other target group of such a pair."""
    return next(arn for arn in pair_of(load_balancer) if arn != group)


def deployment_arn(cluster: str, service: str, deployment: Deployment) -> str:
    """The ARN of its service deployment."""
    name = deployment.id.rsplit("/", 1)[1]
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:service-deployment/{cluster}/{service}/{name}"


def revision_arn(cluster: str, service: str, deployment: Deployment) -> str:
    """The ARN of its service revision."""
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:service-revision/{cluster}/{service}/" + (
        deployment.revision
    )


def cluster_arn(cluster: str) -> str:
    """The ARN of the cluster of that name."""
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}"


def breaker_threshold(desired: int) -> int:
    """The failed tasks at which the circuit breaker trips: half the count, within bounds."""
    low, high = BREAKER_BOUNDS
    return min(max(math.ceil(desired / 2), low), high)


def date(moment: float) -> datetime:
    """Virtual epoch seconds as boto3 shows them."""
    return datetime.fromtimestamp(moment, UTC)


class Deployments:
    """Answers `ListServiceDeployments` and `DescribeServiceDeployments`, which moto lacks."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        cloud.gateway.override("ecs", "ListServiceDeployments", self._list)
        cloud.gateway.override("ecs", "DescribeServiceDeployments", self._describe)

    async def _list(self, call: Call) -> Reply:
        """`ListServiceDeployments`: newest first, twenty at a time unless asked otherwise."""
        params = call.params
        service = self._cloud.tasks.service_of(params)
        if service is None:
            raise ApiError("ServiceNotFoundException", "Service not found.")
        found = [_brief(service, each) for each in service.history if _wanted(each, params)]
        start = int(params.get("nextToken", 0))
        end = start + params.get("maxResults", PAGE)
        more = {"nextToken": str(end)} if end < len(found) else {}
        return {"serviceDeployments": found[start:end], **more}

    async def _describe(self, call: Call) -> Reply:
        known = {
            deployment_arn(service.cluster, service.name, each): (service, each)
            for service in self._cloud.tasks.services()
            for each in service.history
        }
        wanted = call.params["serviceDeploymentArns"]
        return {
            "serviceDeployments": [_whole(*known[arn]) for arn in wanted if arn in known],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in wanted if arn not in known],
        }


def _wanted(deployment: Deployment, params: Mapping[str, Any]) -> bool:
    """Whether the filters of a `ListServiceDeployments` let it through."""
    if deployment.state not in (params.get("status") or [deployment.state]):
        return False
    bounds: dict[str, float] = {  # moto's parser gives UTC without saying so
        name: moment.replace(tzinfo=UTC).timestamp()
        for name, moment in params.get("createdAt", {}).items()
    }
    created = deployment.created
    return bounds.get("after", created) <= created <= bounds.get("before", created)


def _brief(service: Service, deployment: Deployment) -> dict[str, Any]:
    """`ServiceDeploymentBrief` of the ECS API reference."""
    shape: dict[str, Any] = {
        "serviceDeploymentArn": deployment_arn(service.cluster, service.name, deployment),
        "serviceArn": service.arn,
        "clusterArn": cluster_arn(service.cluster),
        "createdAt": date(deployment.created),
        "startedAt": date(deployment.created),
        "targetServiceRevisionArn": revision_arn(service.cluster, service.name, deployment),
        "status": deployment.state,
    }
    if deployment.ended is not None:
        shape["finishedAt"] = date(deployment.ended)
    if deployment.said:
        shape["statusReason"] = deployment.said
    return shape


def _whole(service: Service, deployment: Deployment) -> dict[str, Any]:
    """`ServiceDeployment` of the ECS API reference."""
    shape = _brief(service, deployment)
    del shape["targetServiceRevisionArn"]
    shape["targetServiceRevision"] = _revision(service, deployment)
    shape["sourceServiceRevisions"] = (
        [_revision(service, deployment.source)] if deployment.source else []
    )
    shape["updatedAt"] = shape.get("finishedAt", shape["createdAt"])
    shape["deploymentConfiguration"] = deployment.configuration
    shape["deploymentCircuitBreaker"] = _breaker(service, deployment)
    if deployment.state == "STOPPED":
        shape["stoppedAt"] = shape["finishedAt"]
    if deployment.stage is not None:
        shape["lifecycleStage"] = deployment.stage
    if deployment.rolled_back_at is not None and deployment.source is not None:
        shape["rollback"] = {
            "reason": deployment.said,
            "startedAt": date(deployment.rolled_back_at),
            "serviceRevisionArn": revision_arn(service.cluster, service.name, deployment.source),
        }
    return shape


def _revision(service: Service, deployment: Deployment) -> dict[str, Any]:
    """`ServiceRevisionSummary` of the ECS API reference."""
    live = [
        task
        for task in service.tasks
        if task.deployment is deployment and task.desired_status == "RUNNING"
    ]
    running = sum(task.last_status == "RUNNING" for task in live)
    return {
        "arn": revision_arn(service.cluster, service.name, deployment),
        "requestedTaskCount": service.desired if deployment in service.deployments else 0,
        "runningTaskCount": running,
        "pendingTaskCount": len(live) - running,
    }


def _breaker(service: Service, deployment: Deployment) -> dict[str, Any]:
    """`ServiceDeploymentCircuitBreaker` of the ECS API reference."""
    status = "MONITORING" if deployment.state == "IN_PROGRESS" else "MONITORING_COMPLETE"
    if deployment.rollout == "FAILED":
        status = "TRIGGERED"
    if not deployment.configuration.get("deploymentCircuitBreaker", {}).get("enable"):
        status = "DISABLED"
    threshold = breaker_threshold(service.desired)
    return {"status": status, "failureCount": deployment.failed, "threshold": threshold}
