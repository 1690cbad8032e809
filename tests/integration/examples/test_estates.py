"""Real estates, most of them the examples, on a local cloud of their own: sleep, wake, destroy.

Each estate goes through the same life, `live`, and its module is destroyed in a phase of its own.
During deployments and destroys clients ask by every route, and each request must get the service's
own answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.client import LocalCloud, running
from tests.estate import MODULE_ALONE, client, surroundings
from tests.homes import Home, Route, asking
from tests.integration.conftest import QUICK_START, elsewhere
from tests.surroundings import Surroundings, forward_to, host_is

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(elsewhere(), reason="needs a local cloud, with its clock and its load"),
]

COUNT = 2  # of tasks, which is not the module's awake_count
FLAGS = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": True,  # the caller's own suspension
}
ALL_SUSPENDED = dict.fromkeys(FLAGS, True)


@pytest.fixture(scope="module")
def own_cloud() -> Iterator[LocalCloud]:
    """The cloud of all estates of this file."""
    with running() as cloud:
        cloud.settings(ecs=QUICK_START)
        yield cloud


def live(home: Home, *, asleep: Callable[[], bool] = lambda: True) -> None:
    """Serves awake, sleeps and wakes by each route, and is called back by each while drowsy.

    A plan is empty awake and asleep, which differ in all that the module moves. `asleep` says
    whether the estate is as it should be while it sleeps.
    """
    home.count_to(COUNT)
    home.settle_awake()
    assert home.quiet_in("awake")
    assert home.served_by_its_rules()
    for number, route in enumerate(home.routes.values()):
        sleep_and_wake(home, route, asleep=asleep if number == 0 else None)
    for route in home.routes.values():
        home.fall_drowsy()
        home.cloud.settle()  # until then a node may send the request to the service itself
        assert route.get().status_code == 200
        home.settle_awake()
        assert home.service()["desiredCount"] == COUNT


def sleep_and_wake(home: Home, route: Route, *, asleep: Callable[[], bool] | None = None) -> None:
    """Falls asleep, and a request by the route wakes it and is served.

    With `asleep` the sleeping estate is looked at: by that, and by a plan.
    """
    home.fall_asleep(home.cloud)
    if asleep is not None:
        assert asleep()
        assert home.quiet_in("asleep")
    assert home.service()["desiredCount"] == 0
    answer = route.get()
    assert answer.status_code == 200
    assert answer.history, "the warmkeeper has not held it"
    home.settle_awake()
    assert home.service()["desiredCount"] == COUNT


def changed_in(home: Home, phase: str, change: Callable[[], None]) -> None:
    """Terraform takes something away in this phase: nobody is turned away, then or after.

    Clients ask all the time. Where they would change the phase, they begin when the warmkeeper has
    been told of the change.
    """
    home.bring_to(phase, home.cloud)
    changed_by_requests = phase in ("drowsy", "asleep")
    with asking(home, begins=home.told() if changed_by_requests else lambda: True) as clients:
        change()
        home.cloud.advance_until(home.served_by_its_rules, minutes=2, speed=2)
    assert clients.lost() == []
    home.cloud.settings(ecs=QUICK_START)
    assert home.service()["desiredCount"] == COUNT


def destroy_in(home: Home, phase: str) -> None:
    """The module goes while the service is in this phase, and none of its rules is left."""
    changed_in(home, phase, lambda: home.workspace.destroy("module.scale_to_zero"))
    rules = home.client("elbv2").describe_rules(ListenerArn=listener(home))["Rules"]
    assert not [rule for rule in rules if int(rule["Priority"].replace("default", "0")) > 30_000]


def weights(home: Home, rule_arn: str) -> dict[str, int]:
    """The target groups of a rule's forward, by their ARN."""
    [found] = home.client("elbv2").describe_rules(RuleArns=[rule_arn])["Rules"]
    weighted = found["Actions"][0]["ForwardConfig"]["TargetGroups"]
    return {each["TargetGroupArn"]: each["Weight"] for each in weighted}


def deploy(home: Home) -> None:
    """The owner deploys the same task definition again."""
    home.client("ecs").update_service(
        cluster=home.outputs["cluster_name"],
        service=home.outputs["service_name"],
        forceNewDeployment=True,
    )


def last_deployment(home: Home) -> str:
    """The status of the service's last deployment."""
    reply = home.client("ecs").list_service_deployments(
        cluster=home.outputs["cluster_name"], service=home.outputs["service_name"]
    )
    return str(reply["serviceDeployments"][0]["status"])


def deploy_in_use(home: Home) -> None:
    """A deployment keeps it awake, and no request is lost."""
    with asking(home) as clients:
        deploy(home)
        assert last_deployment(home) == "IN_PROGRESS"
        assert home.invoke({"command": "sleep"})["phase"] == "awake"
        home.cloud.advance_until(
            lambda: last_deployment(home) == "SUCCESSFUL", minutes=10, speed=10
        )
    assert clients.lost() == []
    home.cloud.advance_until(lambda: home.service()["runningCount"] == COUNT, minutes=5)


def listener(home: Home) -> str:
    assert home.surroundings is not None
    return home.surroundings.listener_arn


def test_several_rules(own_cloud: LocalCloud, tmp_path: Path) -> None:
    """Apex and www on port 443, and both on port 80."""
    apex, www = "example.com", "www.example.com"
    around = surroundings(own_cloud, "several", rule_priority=None)
    https = around.make_listener(443)
    around.make_rule(100, host_is(apex), listener_arn=https)
    around.make_rule(110, host_is(www), listener_arn=https)
    around.make_rule(100, host_is(apex, www))
    around.make_service(around.target(around.target_group_arn))
    home = Home(
        own_cloud,
        "several-rules",
        tmp_path,
        around,
        load_balancer_name=around.name,
        target_group_name=f"{around.name}-app",
        hosts={"apex": [apex], "www": [www], "http": [apex, www]},
        rule_priorities={"apex": 100, "www": 110, "http": 100},
    )
    home.add_route("apex", apex, 443)
    home.add_route("www", www, 443)
    home.add_route("http", www)
    live(home)
    deploy_in_use(home)
    destroy_in(home, "drowsy")


def scalable_target(home: Home) -> dict[str, Any]:
    """As Application Auto Scaling has it."""
    resource = f"service/{home.outputs['cluster_name']}/{home.outputs['service_name']}"
    reply = home.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[resource]
    )
    [target] = reply["ScalableTargets"]
    return dict(target)


def stays_at_zero(home: Home) -> bool:
    """Longer than a policy would wait before it raises the count to the minimum."""
    home.cloud.advance(180)
    suspended = scalable_target(home)["SuspendedState"] == ALL_SUSPENDED
    return bool(suspended and home.service()["desiredCount"] == 0)


def test_autoscaling(own_cloud: LocalCloud, tmp_path: Path) -> None:
    around = surroundings(own_cloud, "scaled")
    home = Home(
        own_cloud,
        "autoscaling",
        tmp_path,
        around,
        target_group_arn=around.target_group_arn,
        service_rule_arn=around.service_rule_arn,
        rule_priority=97,
    )
    home.add_route("this")
    target = {
        key: value
        for key, value in scalable_target(home).items()
        if key in ("ServiceNamespace", "ResourceId", "ScalableDimension")
    }
    scaling = home.client("application-autoscaling")
    scaling.register_scalable_target(**target, SuspendedState=FLAGS)

    def as_before() -> bool:
        return bool(scalable_target(home)["SuspendedState"] == FLAGS)

    live(home, asleep=lambda: stays_at_zero(home))
    own_cloud.advance_until(as_before, minutes=5)
    deploy_in_use(home)
    destroy_in(home, "asleep")
    assert as_before()


def make_neighbour(around: Surroundings, listener_arn: str, priority: int) -> None:
    """A rule of another service for other.example.com, which answers 418."""
    answer = {"StatusCode": "418", "ContentType": "text/plain"}
    around.elbv2.create_rule(
        ListenerArn=listener_arn,
        Priority=priority,
        Conditions=[host_is("other.example.com")],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": answer}],
    )


def test_default_action(own_cloud: LocalCloud, tmp_path: Path) -> None:
    around = surroundings(own_cloud, "served-by-default", rule_priority=None)
    serves = [forward_to(around.target_group_arn)]
    around.elbv2.modify_listener(ListenerArn=around.listener_arn, DefaultActions=serves)
    make_neighbour(around, around.listener_arn, 1)
    around.make_service(around.target(around.target_group_arn))
    home = Home(
        own_cloud,
        "default-action",
        tmp_path,
        around,
        load_balancer_name=around.name,
        listener_port=80,
        target_group_name=f"{around.name}-app",
    )
    home.add_route("this")
    others = Route(home.url, "other.example.com")

    def others_are_left_alone() -> bool:
        return others.get().status_code == 418 and home.phase() == "asleep"

    live(home, asleep=others_are_left_alone)
    deploy_in_use(home)
    destroy_in(home, "waking")
    [left, default] = around.elbv2.describe_rules(ListenerArn=around.listener_arn)["Rules"]
    assert (left["Priority"], default["IsDefault"]) == ("1", True)


def blue_green(own_cloud: LocalCloud, scratch: Path, name: str) -> tuple[Surroundings, Home]:
    """The example in its surroundings, without the service."""
    around = surroundings(own_cloud, name, rule_priority=None)
    home = Home(
        own_cloud,
        "blue-green",
        scratch,
        around,
        listener_arn=around.listener_arn,
        service_rule_priority=100,
        vpc_id=around.vpc_id,
        health_check_path="/healthz",
    )
    return around, home


def test_blue_green(own_cloud: LocalCloud, tmp_path: Path) -> None:
    around, home = blue_green(own_cloud, tmp_path, "blue-green")
    groups = home.outputs["target_group_arns"]
    rule = home.outputs["service_rule_arn"]
    around.make_service(
        around.shifting_target(groups["blue"], groups["green"], rule),
        deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1},
    )
    home.add_route("this")
    own_cloud.advance_until(lambda: home.phase() == "awake", minutes=5)
    home.apply()

    live(home)
    deploy_in_use(home)
    assert weights(home, rule) == {groups["blue"]: 0, groups["green"]: 100}

    def deploys_at_zero() -> bool:
        """A deployment to the sleeping service shifts the rule back, and wakes nobody."""
        deploy(home)
        own_cloud.advance_until(lambda: last_deployment(home) == "SUCCESSFUL", minutes=10)
        shifted = weights(home, rule) == {groups["blue"]: 100, groups["green"]: 0}
        return shifted and home.phase() == "asleep"

    sleep_and_wake(home, home.routes["this"], asleep=deploys_at_zero)
    destroy_in(home, "awake")
    assert weights(home, rule) == {groups["blue"]: 100, groups["green"]: 0}


EXPRESS_HOST = "ex-0123456789abcdef0123456789abcdef.ecs.us-east-1.on.aws"


def express_mode(own_cloud: LocalCloud) -> tuple[Surroundings, str]:
    """What ECS Express Mode makes, with the rule where the guide puts it, and a neighbour.

    Gives the second of its target groups, too.
    """
    around = surroundings(own_cloud, "express", rule_priority=None)
    around.listener_arn = around.make_listener(443)
    second = around.make_target_group(f"{around.name}-second")
    made = around.elbv2.create_rule(
        ListenerArn=around.listener_arn,
        Priority=1,
        Conditions=[host_is(EXPRESS_HOST)],
        Actions=[forward_to(around.target_group_arn, second)],
    )
    around.service_rule_arn = made["Rules"][0]["RuleArn"]
    make_neighbour(around, around.listener_arn, 3)
    around.make_service(
        around.shifting_target(around.target_group_arn, second, around.service_rule_arn),
        deploymentConfiguration={
            "strategy": "CANARY",
            "canaryConfiguration": {"canaryPercent": 5.0, "canaryBakeTimeInMinutes": 3},
            "bakeTimeInMinutes": 3,
        },
    )
    scaled = {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{around.name}/{around.name}-app",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    cpu = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    scaling = client(own_cloud.environment(), "application-autoscaling")
    scaling.register_scalable_target(**scaled, MinCapacity=1, MaxCapacity=20)
    scaling.put_scaling_policy(
        **scaled,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 60,
            "PredefinedMetricSpecification": cpu,
        },
    )
    moved = {"RuleArn": around.service_rule_arn, "Priority": 100}  # no number is free before 1
    around.elbv2.set_rule_priorities(RulePriorities=[moved])
    return around, second


def test_express_mode(own_cloud: LocalCloud, tmp_path: Path) -> None:
    around, second = express_mode(own_cloud)
    first = around.target_group_arn
    home = Home(
        own_cloud,
        MODULE_ALONE,
        tmp_path,
        around,
        **{**around.variables(), "name": f"{around.name}-app"},
        more_target_group_arns=[second],
        hosts=[EXPRESS_HOST],
        rule_priority=97,
    )
    home.add_route("this", EXPRESS_HOST, 443)
    others = Route(home.routes["this"].url, "other.example.com")
    scaling = scalable_target(home)

    def sleeps_alone() -> bool:
        return others.get().status_code == 418 and stays_at_zero(home)

    def scales_as_before() -> bool:
        return scalable_target(home) == scaling

    def waits_for_deployment() -> bool:
        answer = home.invoke({"command": "sleep"})
        return answer["phase"] == "awake" and "a deployment is in progress" in answer["reason"]

    def shifted(to_first: int, to_second: int) -> bool:
        return weights(home, around.service_rule_arn) == {first: to_first, second: to_second}

    def deployed() -> bool:
        over = last_deployment(home) == "SUCCESSFUL"
        return over and bool(home.service()["runningCount"] == COUNT)

    live(home, asleep=sleeps_alone)
    own_cloud.advance_until(scales_as_before, minutes=5)
    with asking(home) as clients:
        deploy(home)
        own_cloud.advance_until(lambda: shifted(95, 5), minutes=5, speed=10)
        assert waits_for_deployment()
        own_cloud.advance_until(lambda: shifted(0, 100), minutes=5, speed=60)
        assert waits_for_deployment()
        own_cloud.advance(150, speed=60)  # of the bake time
        own_cloud.advance_until(deployed, minutes=5, speed=10)
    assert clients.lost() == []
    destroy_in(home, "waking")
    own_cloud.advance_until(scales_as_before, minutes=5)
    assert shifted(0, 100)


def code_deploy_group(home: Home, target_groups: list[str]) -> Callable[[], str]:
    """CodeDeploy deploys the service; gives what starts a deployment and gives its id."""
    around, codedeploy = home.surroundings, home.client("codedeploy")
    assert around is not None
    name = around.name
    codedeploy.create_application(applicationName=name, computePlatform="ECS")
    pair = {
        "targetGroups": [{"name": arn.split("/")[1]} for arn in target_groups],
        "prodTrafficRoute": {"listenerArns": [around.listener_arn]},
    }
    terminates = {"action": "TERMINATE", "terminationWaitTimeInMinutes": 1}
    codedeploy.create_deployment_group(
        applicationName=name,
        deploymentGroupName=name,
        deploymentConfigName="CodeDeployDefault.ECSAllAtOnce",
        serviceRoleArn="arn:aws:iam::123456789012:role/codedeploy",
        ecsServices=[{"serviceName": f"{name}-app", "clusterName": name}],
        loadBalancerInfo={"targetGroupPairInfoList": [pair]},
        blueGreenDeploymentConfiguration={"terminateBlueInstancesOnDeploymentSuccess": terminates},
    )
    properties = {
        "TaskDefinition": home.service()["taskDefinition"],
        "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8080},
    }
    target = {"Type": "AWS::ECS::Service", "Properties": properties}
    content = json.dumps({"version": 0.0, "Resources": [{"TargetService": target}]})

    def deploy() -> str:
        reply = codedeploy.create_deployment(
            applicationName=name,
            deploymentGroupName=name,
            revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": content}},
        )
        return str(reply["deploymentId"])

    return deploy


def test_code_deploy(own_cloud: LocalCloud, tmp_path: Path) -> None:
    """A deployment by CodeDeploy in each phase, the first one to a group that no rule names yet."""
    around, home = blue_green(own_cloud, tmp_path, "code-deploy")
    groups = home.outputs["target_group_arns"]
    around.make_service(around.target(groups["blue"]), deploymentController={"type": "CODE_DEPLOY"})
    deploy = code_deploy_group(home, list(groups.values()))
    home.add_route("this")
    home.count_to(COUNT)
    home.settle_awake()

    def status(deployment: str) -> str:
        info = home.client("codedeploy").get_deployment(deploymentId=deployment)
        return str(info["deploymentInfo"]["status"])

    def finish(deployment: str) -> None:
        """The deployment succeeds, the old task set goes, and the service is awake."""
        own_cloud.advance_until(lambda: status(deployment) == "Succeeded", minutes=10, speed=20)
        own_cloud.advance_until(lambda: len(home.service()["taskSets"]) == 1, minutes=5)
        home.settle_awake()

    def serves() -> list[str]:
        """The target groups to which the service rule sends requests."""
        weighted = weights(home, home.outputs["service_rule_arn"])
        return [arn for arn, weight in weighted.items() if weight > 0]

    with asking(home) as clients:
        deployment = deploy()
        own_cloud.advance_until(lambda: len(home.service()["taskSets"]) == 2, minutes=1, speed=2)
        assert home.invoke({"command": "sleep"})["phase"] == "awake"
        finish(deployment)
    assert clients.lost() == []
    assert serves() == [groups["green"]]

    home.bring_to("asleep", own_cloud)
    deployment = deploy()
    own_cloud.advance_until(lambda: serves() == [groups["blue"]], minutes=5)
    assert (home.phase(), home.service()["desiredCount"]) == ("asleep", 0)
    with asking(home) as clients:
        finish(deployment)
    assert clients.lost() == []

    home.bring_to("asleep", own_cloud)
    own_cloud.settings(ecs={"pull_seconds": 5})
    home.invoke({"command": "wake"})
    deployment = deploy()
    assert home.phase() == "waking"
    with asking(home) as clients:
        finish(deployment)
    assert clients.lost() == []
    assert serves() == [groups["green"]]
    own_cloud.settings(ecs=QUICK_START)
    assert home.service()["desiredCount"] == COUNT
    assert home.quiet_in("awake")
    home.workspace.destroy("module.scale_to_zero")
