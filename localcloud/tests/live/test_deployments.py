"""Deployments of ECS services against AWS's documentation: history, blue/green, CodeDeploy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.tests.live.estate import (
    Running,
    Site,
    a_service_behind,
    ask,
    define,
    fixed,
    to,
)

pytestmark = pytest.mark.cloud

BREAKER = {"enable": True, "rollback": True}
BAKE_MINUTES = 3


def listed(service: Running, **more: Any) -> list[dict[str, Any]]:
    """The service's deployments by `ListServiceDeployments`, newest first."""
    reply = service.ecs.list_service_deployments(
        cluster=service.cluster, service=service.name, **more
    )
    return list(reply["serviceDeployments"])


def states(service: Running) -> list[str]:
    """The states of its service deployments, newest first."""
    return [each["status"] for each in listed(service)]


def described(service: Running, arn: str) -> dict[str, Any]:
    """One by `DescribeServiceDeployments`."""
    reply = service.ecs.describe_service_deployments(serviceDeploymentArns=[arn])
    [found] = reply["serviceDeployments"]
    return dict(found)


def deploy(service: Running, **more: Any) -> None:
    """Start a deployment of the same task definition, or of the one in `more`."""
    service.ecs.update_service(
        cluster=service.cluster, service=service.name, forceNewDeployment=True, **more
    )


def rollouts(service: Running) -> list[str]:
    """The `rolloutState` of the service's deployments."""
    return [each.get("rolloutState", "") for each in service.describe()["deployments"]]


def test_a_rolling_deployment_is_in_progress_and_then_successful(own_service: Running) -> None:
    """View service history using Amazon ECS service deployments."""
    service, estate = own_service, own_service.site.estate
    [first] = listed(service)
    assert first["status"] == "SUCCESSFUL"
    assert first["startedAt"] <= first["finishedAt"]
    deploy(service)
    assert states(service) == ["IN_PROGRESS", "SUCCESSFUL"]
    [current] = listed(service, status=["IN_PROGRESS"])
    assert "finishedAt" not in current
    assert current["serviceArn"] == service.describe()["serviceArn"]
    assert current["clusterArn"] == service.describe()["clusterArn"]
    assert current["serviceDeploymentArn"].startswith("arn:aws:ecs:us-east-1:123456789012:service-")
    whole = described(service, current["serviceDeploymentArn"])
    assert whole["status"] == "IN_PROGRESS"
    assert whole["targetServiceRevision"]["arn"] == current["targetServiceRevisionArn"]
    assert whole["targetServiceRevision"]["requestedTaskCount"] == 1
    [source] = whole["sourceServiceRevisions"]
    assert source["arn"] == first["targetServiceRevisionArn"]
    estate.wait(lambda: rollouts(service) == ["COMPLETED"])
    assert states(service) == ["SUCCESSFUL", "SUCCESSFUL"]
    assert listed(service, status=["IN_PROGRESS", "PENDING"]) == []


def test_service_deployments_are_listed_by_their_start_and_in_pages(own_service: Running) -> None:
    """ListServiceDeployments: `createdAt`, `maxResults` and `nextToken`."""
    service = own_service
    deploy(service)
    newest, oldest = listed(service)
    moment = newest["createdAt"]
    assert listed(service, createdAt={"after": moment}) == [newest]
    assert listed(service, createdAt={"before": moment - timedelta(seconds=1)}) == [oldest]
    page = service.ecs.list_service_deployments(
        cluster=service.cluster, service=service.name, maxResults=1
    )
    assert page["serviceDeployments"] == [newest]
    assert listed(service, maxResults=1, nextToken=page["nextToken"]) == [oldest]


def test_a_service_deployment_of_no_service_is_an_error(own_service: Running) -> None:
    ecs = own_service.ecs
    with pytest.raises(ClientError, match="ServiceNotFoundException"):
        ecs.list_service_deployments(cluster=own_service.cluster, service="nowhere")
    reply = ecs.describe_service_deployments(serviceDeploymentArns=["arn:nowhere"])
    assert reply["failures"] == [{"arn": "arn:nowhere", "reason": "MISSING"}]


def test_a_deployment_to_a_service_at_zero_is_successful_at_once(own_service: Running) -> None:
    service = own_service
    service.count(0)
    deploy(service)
    assert states(service) == ["SUCCESSFUL", "SUCCESSFUL"]


def test_the_breaker_stops_a_deployment_where_it_does_not_roll_back(own_service: Running) -> None:
    """ServiceDeployment: `stoppedAt`, if the rollback option is not in use."""
    service, estate = own_service, own_service.site.estate
    estate.cloud.settings(ecs={"failure": "image"})
    deploy(
        service,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": False}},
    )
    estate.wait(lambda: states(service) == ["STOPPED", "SUCCESSFUL"])
    stopped = described(service, listed(service)[0]["serviceDeploymentArn"])
    assert stopped["stoppedAt"] >= stopped["startedAt"]
    assert stopped["deploymentCircuitBreaker"] == {
        "status": "TRIGGERED",
        "failureCount": 3,
        "threshold": 3,
    }
    assert "rollback" not in stopped


def test_the_breaker_rolls_a_rolling_deployment_back(own_service: Running) -> None:
    """Deployment circuit breaker: back to the last deployment that completed."""
    service, estate = own_service, own_service.site.estate
    [before] = service.describe()["deployments"]
    [task] = service.tasks()
    estate.cloud.settings(ecs={"failure": "image"})
    broken = define(estate, service.name, "second")
    deploy(
        service,
        taskDefinition=broken,
        deploymentConfiguration={"deploymentCircuitBreaker": BREAKER},
    )
    estate.wait(lambda: states(service) == ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"])
    [after] = service.describe()["deployments"]
    assert after["id"] == before["id"]
    assert (after["status"], after["rolloutState"]) == ("PRIMARY", "COMPLETED")
    assert service.describe()["taskDefinition"] == before["taskDefinition"] != broken
    assert [each["taskArn"] for each in service.tasks()] == [task["taskArn"]]
    failed, first = listed(service)
    whole = described(service, failed["serviceDeploymentArn"])
    assert whole["rollback"]["serviceRevisionArn"] == first["targetServiceRevisionArn"]
    assert "circuit breaker" in failed["statusReason"]


@dataclass
class BlueGreen:
    """A service with a production rule of two target groups."""

    service: Running
    rule: str
    blue: str
    green: str

    def action(self) -> list[tuple[str, int]]:
        """The production rule's target groups, with their weights, in its order."""
        [rule] = self._rules()
        [action] = rule["Actions"]
        groups = action["ForwardConfig"]["TargetGroups"]
        return [(each["TargetGroupArn"], each["Weight"]) for each in groups]

    def weights(self) -> dict[str, int]:
        """The weights, by target group."""
        return dict(self.action())

    def place(self) -> tuple[str, list[Any]]:
        """The rule's priority, and its conditions."""
        [rule] = self._rules()
        return rule["Priority"], rule["Conditions"]

    def targets(self) -> tuple[list[str], list[str]]:
        """The states of the targets in the blue group, and in the green one."""
        site = self.service.site
        return site.states(self.blue), site.states(self.green)

    def stage(self) -> str:
        """The stage of the newest service deployment; "" if it is over."""
        newest = listed(self.service)[0]["serviceDeploymentArn"]
        return str(described(self.service, newest).get("lifecycleStage", ""))

    def marks(self) -> set[str]:
        """The marks of the tasks that answer, in a few requests."""
        return {ask(self.service.site.url).json()["task"] for _ in range(4)}

    def _rules(self) -> list[dict[str, Any]]:
        elbv2 = self.service.site.estate.client("elbv2")
        return list(elbv2.describe_rules(RuleArns=[self.rule])["Rules"])


def configured(strategy: str = "BLUE_GREEN", **more: Any) -> dict[str, Any]:
    """A `deploymentConfiguration`."""
    return {"strategy": strategy, "bakeTimeInMinutes": BAKE_MINUTES, **more}


@contextmanager
def a_blue_green_service(site: Site, **configuration: Any) -> Iterator[BlueGreen]:
    """The app as a blue/green service of one task; the rule forwards to one group at first."""
    blue, green = site.group(), site.group()
    rule = site.rule(10, to(blue))
    load_balancer = {
        "targetGroupArn": blue,
        "containerName": "app",
        "containerPort": 8080,
        "advancedConfiguration": {
            "alternateTargetGroupArn": green,
            "productionListenerRule": rule,
            "roleArn": "arn:aws:iam::123456789012:role/ecs",
        },
    }
    with a_service_behind(
        site,
        blue,
        healthCheckGracePeriodSeconds=0,
        loadBalancers=[load_balancer],
        deploymentConfiguration=configuration or configured(),
    ) as service:
        assert service.describe()["loadBalancers"] == [load_balancer]
        site.estate.wait(lambda: site.states(blue) == ["healthy"])
        site.estate.wait(lambda: states(service) == ["SUCCESSFUL"])
        yield BlueGreen(service, rule, blue, green)


@pytest.fixture
def both(site: Site) -> Iterator[BlueGreen]:
    """A blue/green service of the test's own."""
    with a_blue_green_service(site) as made:
        yield made


def test_a_blue_green_deployment_shifts_the_rule_and_bakes(both: BlueGreen) -> None:
    """Amazon ECS blue/green service deployments workflow."""
    service, estate = both.service, both.service.site.estate
    before = both.place()
    deploy(service, taskDefinition=define(estate, service.name, "second"))
    assert states(service) == ["IN_PROGRESS", "SUCCESSFUL"]
    assert rollouts(service) == ["", ""]
    assert (both.stage(), both.weights()) == ("SCALE_UP", {both.blue: 100, both.green: 0})
    estate.wait(lambda: both.stage() == "BAKE_TIME", speed=10)
    assert both.action() == [(both.blue, 0), (both.green, 100)]
    assert both.targets() == (["healthy"], ["healthy"])
    assert both.place() == before
    service.site.estate.cloud.settle()
    assert both.marks() == {"second"}
    assert states(service) == ["IN_PROGRESS", "SUCCESSFUL"]
    took = estate.wait(lambda: states(service)[0] == "SUCCESSFUL", speed=60)
    assert took >= BAKE_MINUTES * 60 - 60
    estate.wait(lambda: both.targets() == ([], ["healthy"]))
    assert both.action() == [(both.blue, 0), (both.green, 100)]
    assert rollouts(service) == [""]
    assert len(service.tasks()) == 1


def baked(both: BlueGreen) -> None:
    """Deploy, and wait until the old tasks have gone."""
    estate = both.service.site.estate
    number = len(listed(both.service))
    deploy(both.service)
    estate.wait(lambda: states(both.service) == ["SUCCESSFUL"] * (number + 1), speed=60)
    estate.wait(lambda: sorted(both.targets()) == [[], ["healthy"]])


def test_after_a_blue_green_deployment_tasks_are_registered_where_traffic_goes(
    both: BlueGreen,
) -> None:
    service, estate = both.service, both.service.site.estate
    baked(both)
    assert both.targets() == ([], ["healthy"])
    service.count(0)
    estate.wait(lambda: both.targets() == ([], []))
    assert both.weights() == {both.blue: 0, both.green: 100}
    service.count(2)
    estate.wait(lambda: both.targets() == ([], ["healthy", "healthy"]))
    assert len(listed(service)) == 2
    service.count(1)
    estate.wait(lambda: both.targets() == ([], ["healthy"]))
    baked(both)
    assert both.targets() == (["healthy"], [])
    assert both.weights() == {both.blue: 100, both.green: 0}


def test_a_blue_green_deployment_to_a_service_at_zero_completes_at_once(both: BlueGreen) -> None:
    service, estate = both.service, both.service.site.estate
    service.count(0)
    deploy(service)
    assert states(service) == ["SUCCESSFUL", "SUCCESSFUL"]
    assert both.weights() == {both.blue: 0, both.green: 100}
    service.count(1)
    estate.wait(lambda: both.targets() == ([], ["healthy"]))


def test_the_breaker_rolls_a_blue_green_deployment_back(site: Site) -> None:
    """Tasks that do not become healthy: the old ones go on, and traffic stays with them."""
    estate = site.estate
    with a_blue_green_service(site, **configured(deploymentCircuitBreaker=BREAKER)) as both:
        service = both.service
        [task] = service.tasks()
        estate.cloud.settings(ecs={"failure": "unhealthy"})
        deploy(service, taskDefinition=define(estate, service.name, "second"))
        estate.wait(lambda: states(service) == ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"])
        assert both.weights() == {both.blue: 100, both.green: 0}
        assert [each["taskArn"] for each in service.tasks()] == [task["taskArn"]]
        assert service.describe()["taskDefinition"] == task["taskDefinitionArn"]
        estate.wait(lambda: both.targets() == (["healthy"], []))


def test_a_blue_green_deployment_whose_time_is_over_is_rolled_back(both: BlueGreen) -> None:
    """A stage of a deployment may take 24 hours; the setting says less."""
    service, estate = both.service, both.service.site.estate
    estate.cloud.settings(ecs={"failure": "unhealthy", "scale_up_timeout_seconds": 240})
    try:
        deploy(service)
        estate.wait(lambda: states(service) == ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"])
    finally:
        estate.cloud.settings(ecs={"failure": None, "scale_up_timeout_seconds": 86400})
    assert both.weights() == {both.blue: 100, both.green: 0}
    estate.wait(lambda: both.targets() == (["healthy"], []))


def test_a_failure_in_the_bake_time_takes_traffic_back(site: Site) -> None:
    estate = site.estate
    with a_blue_green_service(
        site, **configured(bakeTimeInMinutes=60, deploymentCircuitBreaker=BREAKER)
    ) as both:
        service = both.service
        deploy(service)
        estate.wait(lambda: both.stage() == "BAKE_TIME", speed=10)
        assert both.weights() == {both.blue: 0, both.green: 100}
        estate.cloud.settings(ecs={"failure": "image"})
        [new] = [
            task
            for task in service.tasks()
            if task["startedBy"] == service.describe()["deployments"][0]["id"]
        ]
        estate.cloud.stop_task(new["taskArn"])
        estate.wait(lambda: states(service) == ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"])
        assert both.weights() == {both.blue: 100, both.green: 0}


def test_another_deployment_ends_one_that_has_not_shifted_traffic(both: BlueGreen) -> None:
    service, estate = both.service, both.service.site.estate
    estate.cloud.settings(ecs={"failure": "unhealthy"})
    deploy(service)
    estate.wait(lambda: both.targets()[1])
    estate.cloud.settings(ecs={"failure": None})
    deploy(service)
    assert states(service) == ["IN_PROGRESS", "STOPPED", "SUCCESSFUL"]
    estate.wait(lambda: states(service) == ["SUCCESSFUL", "STOPPED", "SUCCESSFUL"], speed=60)
    estate.wait(lambda: both.targets() == ([], ["healthy"]))
    assert len(service.tasks()) == 1


@pytest.mark.parametrize(
    ("strategy", "steps", "weights"),
    [
        (
            "CANARY",
            {"canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 4}},
            [0, 10, 100],
        ),
        (
            "LINEAR",
            {"linearConfiguration": {"stepPercent": 40.0, "stepBakeTimeInMinutes": 4}},
            [0, 40, 80, 100],
        ),
    ],
)
def test_traffic_shifts_in_steps(
    site: Site, strategy: str, steps: dict[str, Any], weights: list[int]
) -> None:
    """Amazon ECS canary deployments, Amazon ECS linear deployments."""
    estate = site.estate
    with a_blue_green_service(site, **configured(strategy, **steps)) as both:
        seen = [both.weights().get(both.green, 0)]

        def over(service: Running) -> bool:
            weight = both.weights()
            assert sum(weight.values()) == 100
            if weight[both.green] != seen[-1]:
                seen.append(weight[both.green])
            return states(service)[0] == "SUCCESSFUL"

        deploy(both.service)
        estate.wait(partial(over, both.service), speed=30)
        assert seen == weights
        estate.wait(lambda: both.targets() == ([], ["healthy"]))


def test_a_deployment_has_its_service_connect_configuration(site: Site) -> None:
    """Deployment: `serviceConnectConfiguration`. A changed one starts a deployment."""
    connect = {
        "enabled": True,
        "namespace": "internal",
        "services": [
            {
                "portName": "http",
                "discoveryName": "app",
                "clientAliases": [{"port": 80, "dnsName": "app"}],
            }
        ],
    }
    with a_service_behind(
        site, site.group(), desiredCount=0, serviceConnectConfiguration=connect
    ) as service:
        [deployment] = service.describe()["deployments"]
        assert deployment["serviceConnectConfiguration"] == connect
        service.count(0)
        assert service.describe()["deployments"] == [deployment]
        service.ecs.update_service(
            cluster=service.cluster,
            service=service.name,
            serviceConnectConfiguration={"enabled": False},
        )
        [another] = service.describe()["deployments"]
        assert another["id"] != deployment["id"]
        assert another["serviceConnectConfiguration"] == {"enabled": False}


@dataclass
class CodeDeployed:
    """A service with task sets: the listener's default action and a rule of it forward to them."""

    service: Running
    rule: str
    blue: str
    green: str

    @property
    def codedeploy(self) -> Any:
        """A client."""
        return self.service.site.estate.client("codedeploy")

    def deploy(self, task_definition: str | None = None) -> str:
        """Start a deployment; gives its id."""
        properties = {
            "TaskDefinition": task_definition or self.service.describe()["taskDefinition"],
            "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8080},
        }
        target = {"Type": "AWS::ECS::Service", "Properties": properties}
        app_spec = {"version": 0.0, "Resources": [{"TargetService": target}]}
        reply = self.codedeploy.create_deployment(
            applicationName=self.service.name,
            deploymentGroupName=self.service.name,
            revision={
                "revisionType": "AppSpecContent",
                "appSpecContent": {"content": json.dumps(app_spec)},
            },
        )
        return str(reply["deploymentId"])

    def info(self, deployment: str) -> dict[str, Any]:
        """A deployment, as `GetDeployment` has it."""
        return dict(self.codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"])

    def ends(self, deployment: str) -> str:
        """Wait until a deployment is over; gives its status."""
        estate = self.service.site.estate
        estate.wait(lambda: self.info(deployment)["status"] != "InProgress", speed=60)
        return str(self.info(deployment)["status"])

    def task_sets(self) -> list[tuple[str, str, int]]:
        """The status, stability and computed count of each, the newest first."""
        return [
            (each["status"], each["stabilityStatus"], each["computedDesiredCount"])
            for each in self.service.describe()["taskSets"]
        ]

    def weights(self) -> list[list[tuple[str, int]]]:
        """The target groups of the rule, and of the default action, with their weights."""
        elbv2 = self.service.site.estate.client("elbv2")
        rules = elbv2.describe_rules(ListenerArn=self.service.site.listener)["Rules"]
        return [
            [(each["TargetGroupArn"], each["Weight"]) for each in config["TargetGroups"]]
            for rule in rules
            for config in [rule["Actions"][0].get("ForwardConfig")]
            if config
        ]


WAIT_MINUTES = 3


@contextmanager
def a_code_deploy_service(site: Site, **more: Any) -> Iterator[CodeDeployed]:
    """The app as a service of CodeDeploy; its deployment group has the name of the service."""
    blue, green = site.group(), site.group()
    rule = site.rule(10, to(blue), path=["/app/*"])
    site.rule(20, fixed(418), path=["/other"])
    elbv2 = site.estate.client("elbv2")
    elbv2.modify_listener(ListenerArn=site.listener, DefaultActions=[to(blue)])
    controller = {"type": "CODE_DEPLOY"}
    with a_service_behind(site, blue, deploymentController=controller, **more) as service:
        made = CodeDeployed(service, rule, blue, green)
        made.codedeploy.create_application(applicationName=service.name, computePlatform="ECS")
        names = [arn.split("/")[1] for arn in (blue, green)]
        pair = {
            "targetGroups": [{"name": name} for name in names],
            "prodTrafficRoute": {"listenerArns": [site.listener]},
        }
        made.codedeploy.create_deployment_group(
            applicationName=service.name,
            deploymentGroupName=service.name,
            deploymentConfigName="CodeDeployDefault.ECSAllAtOnce",
            serviceRoleArn="arn:aws:iam::123456789012:role/codedeploy",
            ecsServices=[{"serviceName": service.name, "clusterName": service.cluster}],
            loadBalancerInfo={"targetGroupPairInfoList": [pair]},
            blueGreenDeploymentConfiguration={
                "terminateBlueInstancesOnDeploymentSuccess": {
                    "action": "TERMINATE",
                    "terminationWaitTimeInMinutes": WAIT_MINUTES,
                }
            },
        )
        yield made


STEADY, STABILIZING = "STEADY_STATE", "STABILIZING"


def test_codedeploy_replaces_a_task_set(site: Site) -> None:
    """Deployments on an Amazon ECS compute platform: what happens during a deployment."""
    estate = site.estate
    with a_code_deploy_service(site) as made:
        service = made.service
        assert made.task_sets() == [("PRIMARY", STABILIZING, 1)]
        estate.wait(lambda: made.task_sets() == [("PRIMARY", STEADY, 1)])
        assert (service.describe()["deployments"], listed(service)) == ([], [])
        second = define(estate, service.name, "second")
        deployment = made.deploy(second)
        estate.wait(lambda: len(made.task_sets()) == 2)
        assert made.task_sets() == [("ACTIVE", STABILIZING, 1), ("PRIMARY", STEADY, 1)]
        assert made.weights() == [[(made.blue, 1)]] * 2
        with pytest.raises(ClientError, match="DeploymentLimitExceededException"):
            made.deploy()
        estate.wait(lambda: made.info(deployment)["instanceTerminationWaitTimeStarted"], speed=10)
        assert made.weights() == [[(made.green, 100), (made.blue, 0)]] * 2
        assert [each[0] for each in made.task_sets()] == ["PRIMARY", "ACTIVE"]
        shown = service.describe()
        assert shown["taskDefinition"] == second
        assert [each["targetGroupArn"] for each in shown["loadBalancers"]] == [made.green]
        [replacement, _] = shown["taskSets"]
        assert (replacement["startedBy"], replacement["externalId"]) == ("CODE_DEPLOY", deployment)
        assert made.ends(deployment) == "Succeeded"
        info = made.info(deployment)
        assert info["completeTime"] - info["startTime"] >= timedelta(minutes=WAIT_MINUTES)
        assert made.task_sets() == [("PRIMARY", STEADY, 1), ("DRAINING", STEADY, 0)]
        estate.wait(lambda: made.task_sets() == [("PRIMARY", STEADY, 1)])
        assert (site.states(made.blue), site.states(made.green)) == ([], ["healthy"])
        estate.cloud.settle()
        assert ask(site.url).json()["task"] == "second"


def test_a_codedeploy_service_takes_a_count_alone(site: Site) -> None:
    """UpdateService: what a CODE_DEPLOY controller lets it update. A count of 0 is steady, too."""
    estate = site.estate
    with a_code_deploy_service(site) as made:
        service = made.service
        refused: list[dict[str, Any]] = [
            {"taskDefinition": define(estate, service.name)},
            {"loadBalancers": []},
            {"forceNewDeployment": True},
        ]
        for more in refused:
            with pytest.raises(ClientError, match="CODE_DEPLOY"):
                service.ecs.update_service(cluster=service.cluster, service=service.name, **more)
        service.count(0)
        estate.wait(lambda: made.task_sets() == [("PRIMARY", STEADY, 0)], minutes=5)
        assert made.ends(made.deploy()) == "Succeeded"
        assert made.weights() == [[(made.green, 100), (made.blue, 0)]] * 2
        assert service.tasks() == []
        service.count(1)
        estate.wait(lambda: site.states(made.green) == ["healthy"])
        assert site.states(made.blue) == []


def test_a_stopped_codedeploy_deployment_is_rolled_back(site: Site) -> None:
    """CodeDeploy rolls back by rerouting traffic to the original task set."""
    estate = site.estate
    with a_code_deploy_service(site) as made:
        service = made.service
        estate.wait(lambda: site.states(made.blue) == ["healthy"])
        [task] = service.tasks()
        deployment = made.deploy(define(estate, service.name, "second"))
        estate.wait(lambda: made.info(deployment)["instanceTerminationWaitTimeStarted"], speed=10)
        made.codedeploy.stop_deployment(deploymentId=deployment, autoRollbackEnabled=True)
        assert made.info(deployment)["status"] == "Stopped"
        assert made.weights() == [[(made.blue, 100), (made.green, 0)]] * 2
        [primary, _] = service.describe()["taskSets"]
        assert (primary["status"], primary["taskDefinition"]) == (
            "PRIMARY",
            task["taskDefinitionArn"],
        )
        estate.wait(lambda: len(made.task_sets()) == 1)
        assert [each["taskArn"] for each in service.tasks()] == [task["taskArn"]]


def test_codedeploy_wants_every_rule_at_the_primary_task_set(site: Site) -> None:
    """Troubleshooting: "Primary taskset target group must be behind listener"."""
    with a_code_deploy_service(site, desiredCount=0) as made:
        elbv2 = site.estate.client("elbv2")
        elbv2.modify_rule(RuleArn=made.rule, Actions=[to(made.green)])
        deployment = made.deploy()
        assert made.ends(deployment) == "Failed"
        message = made.info(deployment)["errorInformation"]["message"]
        assert message.endswith(f"target group must be behind listener {made.rule}")
        assert len(made.task_sets()) == 1
        assert made.weights() == [[(made.green, 1)], [(made.blue, 1)]]
