"""What happens to each member of an environment in each phase: who asks gets the service's answer.

One estate of five services is applied once. Each test begins with all of it, in a phase, and ends
with all of it awake. Clients ask by all routes. They do not ask where ECS alone would lose them: of
a member in the moment in which its task dies, or whose count somebody has set to 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from localcloud.client import POLL_SECONDS, LocalCloud, running
from tests.estate import REPOSITORY, SLOW, surroundings
from tests.homes import Home, asking
from tests.integration.conftest import elsewhere
from tests.surroundings import Surroundings, host_is

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.xdist_group("members"),  # they share the estate
    pytest.mark.skipif(elsewhere(), reason="needs a local cloud, with its clock and its load"),
]

PHASES = ("awake", "drowsy", "asleep", "waking")
COUNTS = {"web": 2, "api": 2, "worker": 1, "mailer": 1, "auth": 1}
OWN = ("web", "api", "worker", "mailer")  # auth is shared
HOSTS = {
    "web/this": "web.example.com",
    "web/other": "www.example.com",
    "api/this": "api.example.com",
}
START = {"provisioning_seconds": 0.2, "pull_seconds": 0.2, "start_seconds": 0.1}


class Members(Home):
    """The applied environment: its services, by the keys of the module."""

    def __init__(self, cloud: LocalCloud, scratch: Any, around: Surroundings) -> None:
        groups = {"web": around.target_group_arn, "api": around.make_target_group("members-api")}
        rules = {
            key: around.make_rule(number, host_is(host), target_group_arn=groups[key.split("/")[0]])
            for number, (key, host) in zip(range(100, 200, 10), HOSTS.items(), strict=False)
        }
        around.make_service(around.target(groups["web"]))
        balanced = {
            "loadBalancers": [around.target(groups["api"])],
            "healthCheckGracePeriodSeconds": 60,
        }
        self.names = {
            "web": f"{around.name}-app",
            "api": around.make_another("api", **balanced),
            **{key: around.make_another(key) for key in ("worker", "mailer", "auth")},
        }
        self.rules = rules
        self.groups = groups
        super().__init__(
            cloud,
            REPOSITORY / "tests" / "integration" / "members",
            scratch,
            around,
            service_names=self.names,
            routes={
                key: {
                    "host": HOSTS[key],
                    "rule_priority": 97 + 10 * number,
                    "service_rule_arn": arn,
                    "target_group_arn": groups[key.split("/")[0]],
                }
                for number, (key, arn) in enumerate(rules.items())
            },
        )
        for key, host in HOSTS.items():
            self.add_route(key, host)

    def described(self) -> dict[str, dict[str, Any]]:
        """Each member as ECS has it."""
        reply = self.client("ecs").describe_services(
            cluster=self.outputs["cluster_name"], services=list(self.names.values())
        )
        by_name = {each["serviceName"]: each for each in reply["services"]}
        return {key: by_name[name] for key, name in self.names.items()}

    def counts(self) -> dict[str, int]:
        return {key: each["desiredCount"] for key, each in self.described().items()}

    def change(self, key: str, **changes: Any) -> None:
        """Somebody else than the module calls UpdateService."""
        self.client("ecs").update_service(
            cluster=self.outputs["cluster_name"], service=self.names[key], **changes
        )

    def set_counts(self, **counts: int) -> None:
        for key, count in counts.items():
            self.change(key, desiredCount=count)

    def deploy(self, *keys: str) -> None:
        for key in keys:
            self.change(key, forceNewDeployment=True)

    def deploys(self, *keys: str) -> bool:
        """Whether a deployment of any of these members is in progress."""
        deployments = [each for key in keys for each in self.described()[key]["deployments"]]
        return any(each["rolloutState"] != "COMPLETED" for each in deployments)

    def tasks(self, key: str) -> list[dict[str, Any]]:
        """The tasks of a member that run and are to run on."""
        return [
            task
            for task in self.cloud.tasks()
            if task["group"] == f"service:{self.names[key]}"
            and task["lastStatus"] == task["desiredStatus"] == "RUNNING"
        ]

    def is_restarted(self, key: str) -> None:
        """The member has as many tasks as it is to have."""
        self.cloud.advance_until(lambda: len(self.tasks(key)) == COUNTS[key], minutes=5, speed=10)

    def rules_up(self) -> dict[str, bool]:
        """Whether the wake rule of each route stands before the service rule."""
        wakes = self.outputs["wake_rule_arns"]
        reply = self.client("elbv2").describe_rules(
            RuleArns=[*wakes.values(), *self.rules.values()]
        )
        numbers = {rule["RuleArn"]: int(rule["Priority"]) for rule in reply["Rules"]}
        return {key: numbers[arn] < numbers[self.rules[key]] for key, arn in wakes.items()}

    def is_in(self, phase: str) -> bool:
        """Whether it is in this phase, and the rules and counts are as they are to be in it."""
        up = set(self.rules_up().values()) == {phase != "awake"}
        given = any(self.counts()[key] for key in OWN if key in self.present())
        return up and self.phase() == phase and given is (phase != "asleep")

    def present(self) -> set[str]:
        """The members that are in the configuration."""
        return self.names.keys() - set(self.workspace.variables.get("absent", ()))

    def runs(self, counts: dict[str, int]) -> bool:
        """Whether each member has its count and so many tasks, and nothing is being replaced.

        Those with routes have so many healthy targets. A load balancer that has no healthy one asks
        the others, so that the service's answer does not show it.
        """
        described = self.described()
        whole = {
            key: (each["desiredCount"], each["runningCount"], len(each["deployments"]))
            for key, each in described.items()
        }
        healthy = {key: self.healthy_targets(group) for key, group in self.groups.items()}
        return healthy == {key: counts[key] for key in self.groups} and whole == {
            key: (count, count, 1) for key, count in counts.items()
        }

    def healthy_targets(self, group: str) -> int:
        reply = self.client("elbv2").describe_target_health(TargetGroupArn=group)
        states = [each["TargetHealth"]["State"] for each in reply["TargetHealthDescriptions"]]
        return states.count("healthy")

    def ends_awake(self, counts: dict[str, int] = COUNTS) -> None:
        """It becomes awake with these counts, and its own rules serve every route."""
        self.cloud.advance_until(
            lambda: self.runs(counts) and self.is_in("awake"), minutes=10, speed=20
        )
        self.cloud.settle()
        assert self.served_by_its_rules()

    def serves_until_awake(self, counts: dict[str, int] = COUNTS) -> None:
        """The same while clients ask by all routes: each gets the service's answer."""
        with asking(self) as clients:
            self.ends_awake(counts)
        assert clients.lost() == []

    def ticks(self) -> None:
        """The next tick comes, and has time for its answer."""
        self.cloud.advance(65, speed=60)

    def begin_in(self, phase: str, pull_seconds: float = 3) -> None:
        """All members run with their counts, and then it is in this phase.

        `pull_seconds`: what the first tasks of a wake take at least.

        The clock is slow in the phases that pass: no tick ends them before something happens.
        """
        self.cloud.settings(ecs={**START, "failure": None})
        now = self.counts()
        self.set_counts(**{key: count for key, count in COUNTS.items() if now[key] != count})
        self.wake()
        self.invoke({"command": "unpin"})
        self.ends_awake()
        self.forget_wakes()
        if phase == "drowsy":
            self.fall_drowsy()
            self.cloud.settle()
            self.cloud.set_speed(SLOW)
        if phase in ("asleep", "waking"):
            self.fall_asleep(self.cloud)
        if phase == "waking":
            self.cloud.settings(ecs={"pull_seconds": pull_seconds})
            self.cloud.set_speed(SLOW)
            self.invoke({"command": "wake"})
        assert self.is_in(phase)


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    with running() as cloud:
        cloud.settings(ecs=START)
        around = surroundings(cloud, "members", rule_priority=None)
        yield Members(cloud, tmp_path_factory.mktemp("members"), around)


@pytest.fixture
def members(applied: Members) -> Iterator[Members]:
    """The environment, with the clock at 1x after the test."""
    yield applied
    applied.cloud.set_speed(1)


# --- a task dies ----------------------------------------------------------------------------------
def kill(members: Members, tasks: list[dict[str, Any]]) -> None:
    """These tasks die; back when none is a target any more. The clock stays as it is."""
    killed = {task["taskArn"] for task in tasks}
    for arn in killed:
        members.cloud.stop_task(arn)
    while [
        task
        for task in members.cloud.tasks()
        if task["taskArn"] in killed and task["lastStatus"] == "RUNNING"
    ]:
        time.sleep(POLL_SECONDS)


def test_a_task_of_each_that_dies_awake_is_ecs_s_to_restart(members: Members) -> None:
    members.begin_in("awake")
    began = members.cloud.now()
    for key in COUNTS:
        with asking(members, but=[key]) as others:
            kill(members, members.tasks(key)[:1])
            with asking(members) as clients:
                members.is_restarted(key)
        assert others.lost() + clients.lost() == []
        assert members.is_in("awake")
    members.ends_awake()
    assert members.updates(members.cloud, began) == []


@pytest.mark.wide
def test_all_tasks_that_die_drowsy_are_waited_for(members: Members) -> None:
    members.begin_in("drowsy")
    kill(members, [task for key in COUNTS for task in members.tasks(key)])
    assert members.phase() == "drowsy"
    members.cloud.set_speed(1)
    members.serves_until_awake()


@pytest.mark.wide
def test_a_shared_task_that_dies_while_the_others_sleep_wakes_nobody(members: Members) -> None:
    members.begin_in("asleep")
    kill(members, members.tasks("auth"))
    members.ticks()
    assert members.is_in("asleep")
    members.serves_until_awake()


def failed(members: Members, key: str, since: float) -> bool:
    """Whether a task of the member that was created since then has ended by itself."""
    return any(
        task.get("stopCode") == "EssentialContainerExited"
        for task in members.cloud.tasks()
        if task["group"] == f"service:{members.names[key]}"
        and datetime.fromisoformat(task["createdAt"]).timestamp() >= since
    )


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(("api", "worker", "mailer"), id="what starts at once", marks=pytest.mark.wide),
        pytest.param(("web",), id="what waits"),
    ],
)
def test_the_first_tasks_that_die_while_it_wakes_are_waited_for(
    members: Members, first: tuple[str, ...]
) -> None:
    members.begin_in("waking" if first == ("web",) else "asleep")
    cloud = members.cloud
    began = cloud.now()
    cloud.settings(ecs={"failure": "exit"})  # of tasks that are created from now on
    members.invoke({"command": "wake"})
    cloud.advance_until(
        lambda: all(failed(members, key, began) for key in first), minutes=5, speed=10
    )
    cloud.settings(ecs={"failure": None})
    assert members.is_in("waking")
    members.serves_until_awake()


# --- a deployment ---------------------------------------------------------------------------------
@pytest.mark.wide
def test_a_deployment_of_each_keeps_all_awake_but_that_of_a_shared_one(members: Members) -> None:
    members.begin_in("awake")
    members.cloud.settings(ecs={"pull_seconds": 30})  # longer than until the commands
    with asking(members) as clients:
        for key in OWN:
            members.deploy(key)
            answer = members.invoke({"command": "sleep"})
            assert answer["phase"] == "awake"
            assert "a deployment is in progress" in answer["reason"]
            members.cloud.advance_until(lambda: not members.deploys(*OWN), minutes=5, speed=30)
    assert clients.lost() == []
    members.deploy("auth")
    members.fall_drowsy()
    assert members.deploys("auth")
    members.serves_until_awake()


@pytest.mark.wide
def test_deployments_to_a_drowsy_environment_keep_it_awake(members: Members) -> None:
    members.begin_in("drowsy")
    members.cloud.settings(ecs={"pull_seconds": 70})  # longer than until the tick
    members.deploy(*OWN)
    members.cloud.advance_until(lambda: members.phase() == "awake", minutes=3, speed=60)
    assert "a deployment is in progress" in members.memory()["because"]
    members.serves_until_awake()


def deployments(members: Members) -> dict[str, str]:
    """By which deployment each member runs."""
    return {key: each["deployments"][0]["id"] for key, each in members.described().items()}


def test_deployments_to_a_sleeping_environment_wake_nobody(members: Members) -> None:
    members.begin_in("asleep")
    before = deployments(members)
    members.deploy(*OWN)
    members.ticks()
    assert members.is_in("asleep")
    members.serves_until_awake()
    after = deployments(members)
    assert [key for key in COUNTS if after[key] == before[key]] == ["auth"]


@pytest.mark.wide
def test_deployments_to_a_waking_environment_are_waited_for(members: Members) -> None:
    members.begin_in("waking")
    before = deployments(members)
    members.deploy(*COUNTS)
    assert members.is_in("waking")
    members.cloud.set_speed(1)
    members.serves_until_awake()
    assert deployments(members).items().isdisjoint(before.items())


# --- a count that somebody raises -----------------------------------------------------------------
RAISED = {key: count + 1 for key, count in COUNTS.items()}


def test_counts_that_are_raised_awake_are_remembered(members: Members) -> None:
    members.begin_in("awake")
    with asking(members) as clients:
        members.set_counts(**RAISED)
        members.ticks()
        members.ends_awake(RAISED)
    assert clients.lost() == []
    members.fall_drowsy()
    assert members.memory()["counts"] == {key: RAISED[key] for key in OWN}


@pytest.mark.wide
def test_counts_that_are_raised_drowsy_are_those_of_the_next_wake(members: Members) -> None:
    members.begin_in("drowsy")
    members.set_counts(**RAISED)
    members.cloud.advance_until(lambda: members.is_in("asleep"), minutes=5)
    members.serves_until_awake(RAISED)


@pytest.mark.parametrize("key", [pytest.param("web", marks=pytest.mark.wide), "worker"])
def test_a_count_that_is_raised_asleep_wakes_the_others(members: Members, key: str) -> None:
    """But not that of a shared service."""
    members.begin_in("asleep")
    members.set_counts(auth=2)
    members.ticks()
    assert members.is_in("asleep")
    members.set_counts(**{key: 3})
    members.cloud.advance_until(lambda: members.phase() != "asleep", minutes=3, speed=20)
    members.serves_until_awake({**COUNTS, "auth": 2, key: 3})


@pytest.mark.wide
def test_counts_that_are_raised_while_it_wakes_stay_raised(members: Members) -> None:
    members.begin_in("waking")
    members.set_counts(**RAISED)
    assert members.is_in("waking")
    members.cloud.set_speed(1)
    members.serves_until_awake(RAISED)


# --- a count that somebody sets to 0 --------------------------------------------------------------
@pytest.mark.wide
def test_each_that_is_set_to_0_awake_is_left_alone_until_the_next_wake(members: Members) -> None:
    """When all of them are set to 0, it is asleep. The wake gives what ran when it became awake."""
    members.begin_in("drowsy")
    members.cloud.set_speed(1)
    members.wake()
    for key in OWN:
        members.set_counts(**{key: 0})
        with asking(members, but=[key]) as clients:
            members.ticks()
        assert clients.lost() == []
        assert members.is_in("awake")
        assert members.counts() == {**COUNTS, key: 0}
        if key != OWN[-1]:
            members.set_counts(**{key: COUNTS[key]})
            members.ends_awake()
    members.set_counts(**dict.fromkeys(OWN, 0))
    members.cloud.advance_until(lambda: members.is_in("asleep"), minutes=5, speed=30)
    members.serves_until_awake()


def test_members_that_are_set_to_0_drowsy_are_given_again_by_a_request(members: Members) -> None:
    members.begin_in("drowsy")
    members.set_counts(worker=0, api=0)
    assert members.phase() == "drowsy"
    members.cloud.set_speed(1)
    members.serves_until_awake()


@pytest.mark.wide
def test_a_shared_service_that_is_set_to_0_asleep_is_started_first(members: Members) -> None:
    members.begin_in("asleep")
    members.set_counts(auth=0)
    members.ticks()
    assert members.is_in("asleep")
    members.serves_until_awake()
    started = members.memory()["wakes"][-1]["members"]
    assert started["auth"] < started["api"] < started["web"]


@pytest.mark.wide
def test_members_that_are_set_to_0_while_it_wakes_are_given_again(members: Members) -> None:
    members.begin_in("waking")
    members.set_counts(worker=0, api=0, auth=0)
    assert members.phase() == "waking"
    members.cloud.set_speed(1)
    members.serves_until_awake()


# --- a member leaves the configuration ------------------------------------------------------------
WHAT_LEAVES = ("web/other", "api", "worker", "mailer", "auth")
IN_SHORT = (("asleep", "web/other"), ("asleep", "worker"))
LEAVING = [
    pytest.param(phase, what, marks=() if (phase, what) in IN_SHORT else pytest.mark.wide)
    for phase in PHASES
    for what in WHAT_LEAVES
]


@pytest.mark.parametrize(("phase", "what"), LEAVING)
def test_what_leaves_the_configuration_is_given_back_first(
    members: Members, phase: str, what: str
) -> None:
    """The rest sleeps and wakes on. Afterwards it comes back."""
    members.begin_in(phase, pull_seconds=20)  # longer than until Terraform tells the module
    # before the module has been told of it, a request would change the phase
    begins = members.told() if phase != "awake" else lambda: True
    with asking(members, begins=begins) as clients:
        members.apply(absent=[what])
        members.cloud.set_speed(1)
        members.cloud.settings(ecs=START)
        members.ends_awake()
    assert clients.lost() == []
    members.apply(absent=[])
    if (phase, what) == IN_SHORT[-1]:  # a plan takes seconds, so once
        assert not members.workspace.changes()
