"""CodeDeploy's blue/green deployments of ECS services whose deployment controller is CODE_DEPLOY.

Moto keeps the applications, deployment groups and revisions. The scheduler in `tasks.py` runs the
task sets; here is when they come and go, and how traffic shifts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.alb import target_groups_of
from localcloud.deployments import Deployment, date
from localcloud.gateway import ApiError, Call, Reply

if TYPE_CHECKING:
    from localcloud.cloud import Cloud
    from localcloud.tasks import Service

# What `UpdateService` takes under this controller ("UpdateService" in the ECS API reference).
UPDATABLE = {
    "cluster", "service", "desiredCount", "deploymentConfiguration",
    "healthCheckGracePeriodSeconds", "placementConstraints", "placementStrategy",
    "enableECSManagedTags", "propagateTags",
}  # fmt: skip
ALL_AT_ONCE = ("CodeDeployDefault.ECSAllAtOnce", "CodeDeployDefault.OneAtATime")  # moto's default
POLL_SECONDS = 5.0  # virtual, between two looks at the replacement task set
INSTALL_SECONDS = 3600.0  # virtual, in which it must become steady
TIMED_OUT = (
    "The deployment timed out while waiting for the replacement task set to become healthy. "
    "This time out period is 60 minutes."
)
NOT_BEHIND = (
    "The ELB could not be updated due to the following error: Primary taskset target group must "
    "be behind listener {}"
)


@dataclass(eq=False)
class Run:
    """A deployment ("DeploymentInfo" in the CodeDeploy API reference)."""

    id: str
    group: Mapping[str, Any]  # the deployment group, as `GetDeploymentGroup` has it
    service: Service
    original: Deployment
    replacement: Deployment
    pair: tuple[str, str]  # the target groups of the original task set and of the replacement
    status: str = "InProgress"
    waits: bool = False  # for the termination of the original task set
    error: Mapping[str, str] = field(default_factory=dict)
    ended: float | None = None

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.ended is None

    @property
    def listener(self) -> str:
        """The ARN of the production listener."""
        [pair] = self.group["loadBalancerInfo"]["targetGroupPairInfoList"]
        return str(pair["prodTrafficRoute"]["listenerArns"][0])

    @property
    def wait_seconds(self) -> float:
        """How long the original task set stays after traffic has shifted."""
        options = self.group["blueGreenDeploymentConfiguration"]
        wait = options.get("terminateBlueInstancesOnDeploymentSuccess", {})
        return float(wait.get("terminationWaitTimeInMinutes", 0)) * 60

    def end(self, status: str, now: float, **error: str) -> None:
        """It is over, in this status."""
        self.status, self.ended, self.error = status, now, error


class CodeDeploy:
    """Carries deployments out, and refuses what `UpdateService` leaves to them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._runs: dict[str, Run] = {}
        gateway = cloud.gateway
        gateway.override("ecs", "UpdateService", self._update_service)
        gateway.override("codedeploy", "CreateDeployment", self._create)
        gateway.override("codedeploy", "StopDeployment", self._stop)
        gateway.after("codedeploy", "GetDeployment", self._get)

    # What callers do.

    async def _update_service(self, call: Call) -> None:
        service = self._cloud.tasks.service_of(call.params)
        if service is None or not service.by_code_deploy:
            return
        if refused := sorted(call.params.keys() - UPDATABLE):
            raise ApiError(
                "InvalidParameterException",
                f"Unable to update {', '.join(refused)} on services with a CODE_DEPLOY deployment "
                "controller. Use AWS CodeDeploy to trigger a new deployment.",
            )

    async def _create(self, call: Call) -> Reply | None:
        """`CreateDeployment` of an AppSpec for ECS, in JSON; of others as moto has it."""
        reply = await self._cloud.gateway.forward(call)
        names = {key: call.params[key] for key in ("applicationName", "deploymentGroupName")}
        answer = await self._cloud.control.call("codedeploy", "get_deployment_group", **names)
        group = answer["deploymentGroupInfo"]
        if not group.get("ecsServices"):
            return reply
        self._check(call, group)
        run = await self._prepared(reply["deploymentId"], group, _definition_of(call.params))
        self._runs[run.id] = run
        self._cloud.spawn(self._carry_out(run))
        return reply

    def _check(self, call: Call, group: Mapping[str, Any]) -> None:
        """Refuse what is not imitated, and a second deployment of the group at a time."""
        config = call.params.get("deploymentConfigName", group["deploymentConfigName"])
        if config not in ALL_AT_ONCE:
            raise ApiError("NotImplemented", f"{config} is not in the local cloud")
        name = group["deploymentGroupName"]
        for run in self._runs.values():
            if run.active and run.group["deploymentGroupId"] == group["deploymentGroupId"]:
                raise ApiError(
                    "DeploymentLimitExceededException",
                    f"The Deployment Group '{name}' already has an active Deployment '{run.id}'",
                )

    async def _prepared(self, name: str, group: Mapping[str, Any], task_definition: str) -> Run:
        """The deployment, its replacement task set in the other target group of the pair."""
        [where] = group["ecsServices"]
        service = self._cloud.tasks.service(where["clusterName"], where["serviceName"])
        if service is None or not service.by_code_deploy:
            raise ApiError("InvalidECSServiceException", "The ECS service is not valid.")
        [pair] = group["loadBalancerInfo"]["targetGroupPairInfoList"]
        control = self._cloud.control
        names = [each["name"] for each in pair["targetGroups"]]
        answer = await control.call("elbv2", "describe_target_groups", Names=names)
        groups = {each["TargetGroupArn"] for each in answer["TargetGroups"]}
        [named] = [each["targetGroupArn"] for each in service.load_balancers]
        original = service.serving
        live = original.groups.get(named, named)
        [other] = groups - {live}
        answer = await control.call(
            "ecs", "describe_task_definition", taskDefinition=task_definition
        )
        replacement = Deployment(
            answer["taskDefinition"],
            self._cloud.clock.now(),
            status="ACTIVE",
            groups={named: other},
            external_id=name,
        )
        return Run(name, group, service, original, replacement, (live, other))

    async def _stop(self, call: Call) -> Reply:
        """`StopDeployment`: at once. With a rollback traffic returns to the original task set."""
        run = self._runs.get(call.params["deploymentId"])
        if run is None:
            raise ApiError("DeploymentDoesNotExistException", "The deployment does not exist.")
        if not run.active:
            raise ApiError("DeploymentAlreadyCompletedException", "The deployment is over.")
        run.end("Stopped", self._cloud.clock.now())
        if call.params.get("autoRollbackEnabled"):
            await self._roll_back(run)
        return {"status": "Succeeded", "statusMessage": "No more lifecycle events are run."}

    async def _get(self, call: Call, reply: Reply) -> Reply:
        run = self._runs.get(call.params["deploymentId"])
        if run is not None:
            info = reply["deploymentInfo"]
            info["status"] = run.status
            info["createTime"] = info["startTime"] = date(run.replacement.created)
            info["instanceTerminationWaitTimeStarted"] = run.waits
            if run.ended is not None:
                info["completeTime"] = date(run.ended)
            if run.error:
                info["errorInformation"] = run.error
        return reply

    # What a deployment does.

    async def _carry_out(self, run: Run) -> None:
        """Imitates "What happens during an Amazon ECS deployment", without its hooks.

        "Amazon ECS blue/green": traffic waits up to an hour for the replacement task set.
        """
        clock, tasks = self._cloud.clock, self._cloud.tasks
        if astray := await self._rules_astray(run):
            said = NOT_BEHIND.format(astray)
            run.end("Failed", clock.now(), code="ELASTIC_LOAD_BALANCING_INVALID", message=said)
            return
        tasks.keep_task_sets(run.service, run.replacement, run.original)
        until = clock.now() + INSTALL_SECONDS
        while run.active and not tasks.is_stable(run.service, run.replacement):
            if clock.now() >= until:
                await self._fail(run, "TIMEOUT", TIMED_OUT)
            await clock.sleep(POLL_SECONDS)
        if run.active:
            await self._send(run, run.replacement, run.original)
            run.waits = True
            await clock.sleep(run.wait_seconds)
        if run.active:
            run.end("Succeeded", clock.now())
            tasks.keep_task_sets(run.service, run.replacement)

    async def _fail(self, run: Run, code: str, message: str) -> None:
        run.end("Failed", self._cloud.clock.now(), code=code, message=message)
        if run.group["autoRollbackConfiguration"].get("enabled"):
            await self._roll_back(run)

    async def _roll_back(self, run: Run) -> None:
        await self._send(run, run.original, run.replacement)
        self._cloud.tasks.keep_task_sets(run.service, run.original)

    async def _send(self, run: Run, to: Deployment, instead_of: Deployment) -> None:
        """Send all traffic to a task set, which is PRIMARY from then on.

        CodeDeploy leaves the other target group in the action, at weight 0.
        """
        new, old = run.pair if to is run.original else run.pair[::-1]
        weighted = [
            {"TargetGroupArn": new, "Weight": 100},
            {"TargetGroupArn": old, "Weight": 0},
        ]
        actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": weighted}}]
        for rule in await self._rules(run):
            if rule["IsDefault"]:
                await self._change(
                    "modify_listener", ListenerArn=run.listener, DefaultActions=actions
                )
            else:
                await self._change("modify_rule", RuleArn=rule["RuleArn"], Actions=actions)
        to.status, instead_of.status = "PRIMARY", "ACTIVE"

    async def _change(self, method: str, **arguments: Any) -> None:
        await self._cloud.control.call("elbv2", method, through_gateway=True, **arguments)

    async def _rules(self, run: Run) -> list[dict[str, Any]]:
        """The rules of the production listener, its default one too, that forward to the pair."""
        try:
            answer = await self._cloud.control.call(
                "elbv2", "describe_rules", ListenerArn=run.listener
            )
        except ClientError:  # the listener is gone
            return []
        return [
            rule
            for rule in answer["Rules"]
            if set(run.pair) & target_groups_of(rule["Actions"]).keys()
        ]

    async def _rules_astray(self, run: Run) -> str:
        """A rule that does not forward to the PRIMARY task set; the listener if no rule does."""
        rules = await self._rules(run)
        for rule in rules:
            if not target_groups_of(rule["Actions"]).get(run.pair[0]):
                return str(rule["RuleArn"])
        return "" if rules else run.listener


def _definition_of(params: Mapping[str, Any]) -> str:
    """The task definition of the AppSpec ("AppSpec 'resources' section")."""
    revision = params["revision"]
    try:
        content = revision.get("appSpecContent", revision.get("string", {}))["content"]
        [resource] = json.loads(content)["Resources"]
        return str(resource["TargetService"]["Properties"]["TaskDefinition"])
    except (KeyError, TypeError, ValueError) as error:
        raise ApiError(
            "InvalidRevisionException",
            f"The local cloud wants an AppSpec in JSON, with one TargetService: {error!r}",
        ) from error
