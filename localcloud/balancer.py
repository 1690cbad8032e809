"""The Application Load Balancer's data plane: real sockets, several nodes, health checks.

What is decided about one request stands in `alb.py`; here it happens.
"""

from __future__ import annotations

import asyncio
import html
import http
import json
import random
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import WSMsgType, web
from botocore.exceptions import ClientError
from multidict import CIMultiDict
from yarl import URL

from localcloud import alb, passing
from localcloud.gateway import ApiError, Call
from localcloud.logins import (
    CALLBACK,
    KINDS,
    PROVIDER_FAILED,
    Login,
    Logins,
    callback,
    described,
    identified,
)

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

CONNECT_SECONDS = 10.0  # how long the load balancer tries to connect to a target
SCHEME = "http"  # of every listener here, HTTPS ones too
PROVIDER_SECONDS = 10.0  # how long it waits for an identity provider, real time
CHECKER = "ELB-HealthChecker/2.0"
PRINCIPAL = "elasticloadbalancing.amazonaws.com"
NAMESPACE = "AWS/ApplicationELB"
CHECK_BOUNDS = (("HealthCheckIntervalSeconds", 5, 300), ("HealthCheckTimeoutSeconds", 2, 120))

T = TypeVar("T")


@dataclass(eq=False)
class Target:
    """One registered target; `drained` is set once its deregistration is over."""

    id: str
    port: int | None
    health: alb.Health
    draining: bool = False
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    requests: set[asyncio.Task[Any]] = field(default_factory=set)
    loop: asyncio.Task[None] | None = None


@dataclass(eq=False)
class Group:
    """A target group: what the control plane says of it, its targets, who uses it."""

    config: dict[str, Any]
    attributes: dict[str, str]
    targets: dict[tuple[str, int | None], Target] = field(default_factory=dict)
    used_by: set[str] = field(default_factory=set)  # ARNs of load balancers
    turn: count[int] = field(default_factory=count)

    @property
    def arn(self) -> str:
        """The target group's ARN."""
        return str(self.config["TargetGroupArn"])

    @property
    def is_lambda(self) -> bool:
        """Whether its target is a function."""
        return bool(self.config["TargetType"] == "lambda")

    @property
    def multi_value(self) -> bool:
        """Whether a function gets and gives multi-value headers."""
        return self.attributes.get("lambda.multi_value_headers.enabled") == "true"

    @property
    def checked(self) -> bool:
        """Whether targets are health-checked at all."""
        return bool(self.config.get("HealthCheckEnabled", True))

    def health_of(self, target: Target) -> dict[str, str]:
        """The `TargetHealth` of a target ("Target health status")."""
        reason = None
        if target.draining:
            state, reason = "draining", "Target.DeregistrationInProgress"
        elif not self.used_by:
            state, reason = "unused", "Target.NotInUse"
        elif not self.checked:
            state, reason = "unavailable", "Target.HealthCheckDisabled"
        else:
            return target.health.as_dict()
        return {"State": state, "Reason": reason, "Description": alb.REASONS[reason]}

    def choose(self) -> Target | None:
        """The next target in turn: a healthy one, any if none is healthy, None if none is there.

        Imitates "Health checks for target groups": with only unhealthy targets the load balancer
        fails open and sends to all of them. Draining ones get no new requests.
        """
        present = [target for target in self.targets.values() if not target.draining]
        healthy = [
            target
            for target in present
            if self.health_of(target)["State"] in ("healthy", "unavailable")
        ]
        able = healthy or present
        return able[next(self.turn) % len(able)] if able else None


@dataclass(eq=False)
class LoadBalancer:
    """One load balancer and its sockets; `port` is the one that its DNS name stands for."""

    config: dict[str, Any]
    port: int
    runners: dict[str, web.ServerRunner]  # by listener ARN, "" for the DNS name's own
    ports: dict[str, int]
    idle_seconds: float = 60.0

    @property
    def arn(self) -> str:
        """The load balancer's ARN."""
        return str(self.config["LoadBalancerArn"])

    @property
    def dimension(self) -> str:
        """What CloudWatch calls it."""
        return self.arn.split(":loadbalancer/", 1)[1]


@dataclass(eq=False)
class Node:
    """What one node of all load balancers goes by: listeners, and their rules as it knows them."""

    listeners: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class Balancer:
    """All load balancers of the local cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._balancers: dict[str, LoadBalancer] = {}
        self._groups: dict[str, Group] = {}
        self._nodes: list[Node] = []
        self._unchecked: set[str] = set()  # ARNs of groups of functions, without health checks
        self._written: dict[str, dict[str, Any]] = {}  # of rules, by ARN: what moto cannot hold
        self._connections: WeakKeyDictionary[asyncio.Transport, int] = WeakKeyDictionary()
        self._turn = count()
        self._logins = Logins(cloud.clock.now)
        self._refreshing = asyncio.Lock()
        self._spreading = 0  # changes that not every node goes by yet
        self._session: aiohttp.ClientSession | None = None
        self._counts: dict[float, dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]] = {}
        cloud.settings["elb"].setdefault("registration_seconds", 1)
        cloud.settings["elb"].setdefault("zeros_when_idle", False)
        cloud.settings["elb"].setdefault("idle_timeout_cuts_lambda", False)

    async def start(self) -> None:
        """Hear of every change, and count the hosts every minute."""
        self._session = passing.a_session()
        gateway = self._cloud.gateway
        gateway.override("elbv2", "DescribeTargetHealth", self._describe_target_health)
        gateway.after("elbv2", "CreateLoadBalancer", self._created)
        gateway.after("elbv2", "DescribeLoadBalancers", self._name)
        gateway.override("elbv2", "CreateTargetGroup", self._check_group)
        gateway.override("elbv2", "ModifyTargetGroup", self._check_group)
        gateway.override("elbv2", "CreateRule", self._create_rule)
        gateway.override("elbv2", "ModifyRule", self._modify_rule)
        gateway.override("elbv2", "SetRulePriorities", self._check_priorities)
        for action in ("CreateRule", "ModifyRule", "SetRulePriorities", "DescribeRules"):
            gateway.after("elbv2", action, self._describe_rules)
        gateway.after("elbv2", "CreateTargetGroup", self._group_created)
        gateway.after("elbv2", "DescribeTargetGroups", self._unchecked_functions)
        gateway.override("elbv2", "RegisterTargets", self._check_permission)
        gateway.after("elbv2", "RegisterTargets", self._register)
        gateway.override("elbv2", "DeregisterTargets", self._deregister)
        gateway.subscribe("elbv2", self._changed)
        self._cloud.spawn(self._count_hosts_for_ever())

    async def stop(self) -> None:
        """Close every listener and every connection to a target."""
        for balancer in self._balancers.values():
            for runner in balancer.runners.values():
                await runner.cleanup()
        if self._session is not None:
            await self._session.close()

    # For the other parts.

    def addresses(self) -> dict[str, str]:
        """Where each load balancer's DNS name leads, and as NAME:PORT each of its listeners."""
        where = {}
        for balancer in self._balancers.values():
            name = balancer.config["LoadBalancerName"]
            where[name] = f"127.0.0.1:{balancer.port}"
            for arn, port in balancer.ports.items():
                listener = self._newest().listeners.get(arn)
                if listener is not None:
                    where[f"{name}:{listener['Port']}"] = f"127.0.0.1:{port}"
        return where

    async def is_ipv6(self, group_arn: str) -> bool:
        """Whether a target group's targets are IPv6 addresses."""
        try:
            group = await self._group(group_arn)
        except ApiError:
            return False
        return bool(group.config.get("IpAddressType") == "ipv6")

    def target_state(self, group_arn: str, identity: str, port: int) -> str:
        """A target's state as `DescribeTargetHealth` has it; `unused` if it is not registered."""
        group = self._groups.get(group_arn)
        target = group.targets.get((identity, port)) if group else None
        return group.health_of(target)["State"] if group and target else "unused"

    async def drained(self, group_arn: str, identity: str, port: int) -> None:
        """Return when a deregistered target has drained; at once if it is not registered."""
        group = self._groups.get(group_arn)
        target = group.targets.get((identity, port)) if group else None
        if target is not None:
            await target.drained.wait()

    # What callers do.

    async def _created(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        await self._refresh(self._cloud.clock.now())
        return await self._name(_, reply)

    async def _name(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        """A load balancer's DNS name is where it listens, with the port."""
        for config in reply["LoadBalancers"]:
            if balancer := self._balancers.get(config["LoadBalancerArn"]):
                config["DNSName"] = f"127.0.0.1:{balancer.port}"
        return reply

    async def _check_group(self, call: Call) -> None:
        """Checks every 5 to 300 seconds, each of 2 to 120 ("Health checks for target groups")."""
        for name, low, high in CHECK_BOUNDS:
            if not low <= int(call.params.get(name, low)) <= high:
                raise ApiError("ValidationError", f"{name} must be between {low} and {high}")

    async def _create_rule(self, call: Call) -> dict[str, Any]:
        """`CreateRule`: a number that can be, no more than the quotas, and what moto cannot hold.

        moto gets every rule without transforms, and with wildcards in the place of regular
        expressions.
        """
        if refused := alb.priority_refusal(call.params.get("Priority"), "priority"):
            raise ApiError(*refused)
        await self._check_quotas(call)
        if not alb.beyond_moto(call.params):
            return await self._cloud.gateway.forward(call)
        reply = await self._ask_moto("create_rule", call.params)
        self._write_down(reply["Rules"][0]["RuleArn"], call.params)
        return reply

    async def _modify_rule(self, call: Call) -> dict[str, Any]:
        """`ModifyRule`: what is not given stays as it is."""
        await self._check_quotas(call)
        arn = call.params["RuleArn"]
        if not alb.beyond_moto(call.params):
            reply = await self._cloud.gateway.forward(call)
        elif call.params.get("Conditions") or call.params.get("Actions"):
            reply = await self._ask_moto("modify_rule", call.params)
        else:  # transforms alone: moto knows no such change
            reply = await self._ask_moto("describe_rules", {"RuleArns": [arn]})
        self._write_down(arn, call.params)
        return reply

    async def _ask_moto(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """moto's answer to a call with what it can hold of `params`."""
        kept = {key: value for key, value in params.items() if "Transforms" not in key}
        if "Conditions" in kept:
            kept["Conditions"] = [alb.without_regex(each) for each in kept["Conditions"]]
        try:
            return await self._cloud.control.call("elbv2", method, **kept)
        except ClientError as error:
            details = error.response["Error"]
            raise ApiError(details["Code"], details["Message"]) from error

    def _write_down(self, rule_arn: str, params: Mapping[str, Any]) -> None:
        """Keep what moto does not hold of a rule, and forget what is replaced."""
        written = self._written.setdefault(rule_arn, {})
        if conditions := params.get("Conditions"):
            written.pop("Conditions", None)
            if alb.beyond_moto({"Conditions": conditions}):
                written["Conditions"] = conditions
        if params.get("ResetTransforms"):
            written.pop("Transforms", None)
        if transforms := params.get("Transforms"):
            written["Transforms"] = transforms

    async def _describe_rules(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        whole = self._complete(reply["Rules"])
        told = [
            {**rule, "Actions": [described(each) for each in rule["Actions"]]} for rule in whole
        ]
        return {**reply, "Rules": told}

    def _complete(self, rules: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rules as they were written: with conditions and transforms that moto cannot hold."""
        whole = [{**rule, **self._written.get(rule["RuleArn"], {})} for rule in rules]
        for rule in whole:
            rule["Conditions"] = [alb.both_ways(each) for each in rule.get("Conditions", [])]
        return whole

    async def _check_priorities(self, call: Call) -> None:
        for number, each in enumerate(call.params["RulePriorities"], start=1):
            where = f"rulePriorities.{number}.member.priority"
            if refused := alb.priority_refusal(each.get("Priority"), where):
                raise ApiError(*refused)

    async def _check_quotas(self, call: Call) -> None:
        """`CreateRule` and `ModifyRule`: no more than a load balancer's quotas."""
        [listener] = _listeners_of({"Conditions": [], **call.params})
        balancer = listener.replace(":listener/", ":loadbalancer/").rsplit("/", 1)[0]
        pages, rules = self._cloud.control.pages, []
        try:
            for each in await pages(
                "elbv2", "describe_listeners", "Listeners", LoadBalancerArn=balancer
            ):
                arn = each["ListenerArn"]
                rules += await pages("elbv2", "describe_rules", "Rules", ListenerArn=arn)
        except ClientError:  # moto says what is not there
            return
        others = [rule for rule in rules if rule["RuleArn"] != call.params.get("RuleArn")]
        conditions, actions = call.params.get("Conditions", []), call.params.get("Actions", [])
        if refused := alb.refusal(others, conditions, actions):
            raise ApiError(*refused)

    async def _group_created(self, call: Call, reply: dict[str, Any]) -> dict[str, Any]:
        """Health checks are off for a function unless asked for ("Lambda functions as targets")."""
        if call.params.get("TargetType") == "lambda" and "HealthCheckEnabled" not in call.params:
            self._unchecked.update(each["TargetGroupArn"] for each in reply["TargetGroups"])
        return await self._unchecked_functions(call, reply)

    async def _unchecked_functions(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        for config in reply["TargetGroups"]:
            if config["TargetGroupArn"] in self._unchecked:
                config["HealthCheckEnabled"] = False
        return reply

    async def _changed(self, call: Call) -> None:
        if call.action == "ModifyTargetGroup" and "HealthCheckEnabled" in call.params:
            self._unchecked.discard(call.params["TargetGroupArn"])
        if call.action not in ("RegisterTargets", "DeregisterTargets", "AddTags", "RemoveTags"):
            self._spreading += 1
            self._cloud.spawn(self._spread(self._cloud.clock.now(), _listeners_of(call.params)))

    async def _spread(self, changed_at: float, listeners: Iterable[str]) -> None:
        """A change goes to every node."""
        try:
            await asyncio.gather(*await self._refresh(changed_at, listeners))
        finally:
            self._spreading -= 1

    @property
    def settled(self) -> bool:
        """Whether every node goes by every change so far."""
        return not self._spreading

    async def _check_permission(self, call: Call) -> None:
        """A function is registered only if the load balancer may invoke it already.

        Imitates "Lambda functions as targets"; ApiError AccessDenied, as `RegisterTargets` has it.
        """
        group = await self._group(call.params["TargetGroupArn"])
        for function in [each["Id"] for each in call.params["Targets"]] if group.is_lambda else []:
            try:
                reply = await self._cloud.control.call(
                    "lambda", "get_policy", FunctionName=function
                )
                statements = json.loads(reply["Policy"])["Statement"]
            except ClientError:
                statements = []
            if not any(PRINCIPAL in str(each["Principal"]) for each in statements):
                raise ApiError(
                    "AccessDenied",
                    "elasticloadbalancing principal does not have permission to invoke "
                    f"{function} from target group {group.arn}",
                    403,
                )

    async def _register(self, call: Call, _: dict[str, Any]) -> None:
        group = await self._group(call.params["TargetGroupArn"])
        for each in call.params["Targets"]:
            key = self._key(group, each)
            known = group.targets.get(key)
            if known is not None and not known.draining:
                continue
            if known is not None:
                self._forget(group, known)
            target = Target(*key, self._new_health(group))
            group.targets[key] = target
            if group.checked:
                target.loop = self._cloud.spawn(self._check_for_ever(group, target))

    async def _deregister(self, call: Call) -> dict[str, Any]:
        """`DeregisterTargets`: no new requests at once, gone after the deregistration delay.

        Also where nothing of the kind is registered it is no error. moto is not asked: it knows one
        port of a target only.
        """
        group = await self._group(call.params["TargetGroupArn"])
        for each in call.params["Targets"]:
            for target in list(group.targets.values()):
                named = target.id == each["Id"] and each.get("Port", target.port) == target.port
                if named and not target.draining:
                    target.draining = True
                    self._cloud.spawn(self._drain(group, target))
        return {}

    async def _drain(self, group: Group, target: Target) -> None:
        """Let requests in flight go on for the deregistration delay, then cut them.

        Imitates "Deregistration delay": the target shows as draining until the delay is over, also
        when nothing is in flight any more.
        """
        if not group.is_lambda and group.used_by:
            seconds = group.attributes.get("deregistration_delay.timeout_seconds", "300")
            await self._cloud.clock.sleep(float(seconds))
        self._forget(group, target)

    def _forget(self, group: Group, target: Target) -> None:
        if group.targets.get((target.id, target.port)) is target:
            del group.targets[target.id, target.port]
        if target.loop is not None:
            target.loop.cancel()
        for request in target.requests:
            request.cancel()
        target.drained.set()

    async def _describe_target_health(self, call: Call) -> dict[str, Any] | None:
        group = self._groups.get(call.params["TargetGroupArn"])
        if group is None:
            return None
        asked = call.params.get("Targets")
        keys = [self._key(group, each) for each in asked] if asked else list(group.targets)
        return {"TargetHealthDescriptions": [self._health_shape(group, key) for key in keys]}

    def _health_shape(self, group: Group, key: tuple[str, int | None]) -> dict[str, Any]:
        target = group.targets.get(key)
        reason = "Target.NotRegistered"
        health = {"State": "unused", "Reason": reason, "Description": alb.REASONS[reason]}
        port = {} if key[1] is None else {"Port": key[1]}
        shape: dict[str, Any] = {"Target": {"Id": key[0], **port}}
        if target is not None:
            health = group.health_of(target)
            if not group.is_lambda:
                shape["HealthCheckPort"] = str(self._check_port(group, target))
        return {**shape, "TargetHealth": health}

    @staticmethod
    def _key(group: Group, target: Mapping[str, Any]) -> tuple[str, int | None]:
        return target["Id"], None if group.is_lambda else target.get("Port", group.config["Port"])

    async def _group(self, arn: str) -> Group:
        if arn not in self._groups:
            await self._refresh(self._cloud.clock.now())
        if arn not in self._groups:
            raise ApiError("TargetGroupNotFound", "One or more target groups not found")
        return self._groups[arn]

    # The control plane as the nodes come to know it.

    def _newest(self) -> Node:
        """What the control plane says; the nodes follow."""
        return self._nodes[0] if self._nodes else Node()

    async def _refresh(
        self, changed_at: float, listeners: Iterable[str] = ()
    ) -> list[asyncio.Task[None]]:
        """Read the control plane; every node goes by it `propagation_seconds` after the change.

        Only the rules of `listeners` are read, where it is known that nothing else has changed.
        Returns what is still on its way to the nodes.
        """
        async with self._refreshing:
            known = self._newest()
            newest = Node(dict(known.listeners), dict(known.rules)) if listeners else Node()
            try:
                for listener in listeners:
                    await self._read_rules(listener, newest)
                if not listeners:
                    await self._read(newest)
                self._note_users(newest)
            except ClientError:  # something was deleted meanwhile: its own refresh is under way
                return []
            self._nodes[:1] = [newest]
            delays = self._cloud.settings["elb"]["propagation_seconds"]
            self._nodes += [newest] * (1 + len(delays) - len(self._nodes))
            del self._nodes[1 + len(delays) :]
            return [
                self._cloud.spawn(self._propagate(number, newest, changed_at + delay))
                for number, delay in enumerate(delays, start=1)
            ]

    async def _read(self, newest: Node) -> None:
        pages = self._cloud.control.pages
        balancers = await pages("elbv2", "describe_load_balancers", "LoadBalancers")
        for config in balancers:
            await self._refresh_balancer(config, newest)
        for arn in set(self._balancers) - {each["LoadBalancerArn"] for each in balancers}:
            for runner in self._balancers.pop(arn).runners.values():
                await runner.cleanup()
        await self._refresh_groups()

    async def _read_rules(self, listener_arn: str, newest: Node) -> None:
        rules = await self._cloud.control.pages(
            "elbv2", "describe_rules", "Rules", ListenerArn=listener_arn
        )
        newest.rules[listener_arn] = self._complete(rules)

    async def _propagate(self, number: int, newest: Node, moment: float) -> None:
        await self._cloud.clock.sleep_until(moment)
        if number < len(self._nodes):
            self._nodes[number] = newest

    async def _refresh_balancer(self, config: dict[str, Any], newest: Node) -> None:
        control, arn = self._cloud.control, config["LoadBalancerArn"]
        balancer = self._balancers.get(arn)
        if balancer is None:
            balancer = LoadBalancer(config, 0, {}, {})
            balancer.port = await self._listen(balancer, "")
            self._balancers[arn] = balancer
        attributes = await control.call(
            "elbv2", "describe_load_balancer_attributes", LoadBalancerArn=arn
        )
        values = {each["Key"]: each["Value"] for each in attributes["Attributes"]}
        balancer.idle_seconds = float(values.get("idle_timeout.timeout_seconds", 60))
        listeners = await control.pages(
            "elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn
        )
        for listener in listeners:
            listener_arn = listener["ListenerArn"]
            newest.listeners[listener_arn] = listener
            await self._read_rules(listener_arn, newest)
            if listener_arn not in balancer.ports:
                balancer.ports[listener_arn] = await self._listen(balancer, listener_arn)
        for gone in set(balancer.ports) - {each["ListenerArn"] for each in listeners}:
            del balancer.ports[gone]
            await balancer.runners.pop(gone).cleanup()

    async def _refresh_groups(self) -> None:
        control = self._cloud.control
        configs = await control.pages("elbv2", "describe_target_groups", "TargetGroups")
        for config in configs:
            arn = config["TargetGroupArn"]
            if arn in self._unchecked:
                config["HealthCheckEnabled"] = False
            reply = await control.call(
                "elbv2", "describe_target_group_attributes", TargetGroupArn=arn
            )
            attributes = {each["Key"]: each["Value"] for each in reply["Attributes"]}
            group = self._groups.setdefault(arn, Group(config, attributes))
            group.config, group.attributes = config, attributes
        for arn in set(self._groups) - {config["TargetGroupArn"] for config in configs}:
            gone = self._groups.pop(arn)
            for target in list(gone.targets.values()):
                self._forget(gone, target)

    def _note_users(self, newest: Node) -> None:
        users = defaultdict(set)
        for listener_arn, rules in newest.rules.items():
            for rule in rules:
                for arn in alb.target_groups_of(rule["Actions"]):
                    users[arn].add(newest.listeners[listener_arn]["LoadBalancerArn"])
        for arn, group in self._groups.items():
            self._use(group, users[arn])

    def _use(self, group: Group, users: set[str]) -> None:
        """Note who uses a group; one that comes into use begins its health checks afresh."""
        before, group.used_by = group.used_by, users
        if users and not before and group.checked:
            for target in group.targets.values():
                if target.loop is not None:
                    target.loop.cancel()
                target.health = self._new_health(group)
                target.loop = self._cloud.spawn(self._check_for_ever(group, target))

    # Health checks.

    @staticmethod
    def _new_health(group: Group) -> alb.Health:
        config = group.config
        return alb.Health(
            int(config.get("HealthyThresholdCount", 5)),
            int(config.get("UnhealthyThresholdCount", 2)),
        )

    async def _check_for_ever(self, group: Group, target: Target) -> None:
        """Check one target at the group's interval, while some rule uses the group.

        A check takes real time: the clock is at 1x meanwhile, so that no speed makes it time out.
        """
        clock = self._cloud.clock
        await clock.sleep(self._cloud.settings["elb"]["registration_seconds"])
        while True:
            due = clock.now() + float(group.config.get("HealthCheckIntervalSeconds", 30))
            if group.used_by and not target.draining:
                with clock.busy():
                    check = self._check_function if group.is_lambda else self._check
                    failure, description = await check(group, target)
                before = target.health.state
                target.health.record(failure, description)
                if target.health.state != before:
                    self._cloud.tasks.target_health_changed()
            await clock.sleep_until(due)

    def _check_port(self, group: Group, target: Target) -> int:
        port = group.config.get("HealthCheckPort") or "traffic-port"
        return int(target.port or 0) if port == "traffic-port" else int(port)

    async def _check(self, group: Group, target: Target) -> tuple[str | None, str | None]:
        """One HTTP check; a reason code and a sentence where it failed."""
        assert self._session is not None
        config, port = group.config, self._check_port(group, target)
        address = self._address(target.id, port)
        limit = float(config.get("HealthCheckTimeoutSeconds", 5))
        if address is None:
            await asyncio.sleep(0)
            return "Target.Timeout", None
        url = URL(f"http://{address[0]}:{address[1]}{config.get('HealthCheckPath') or '/'}")
        host = f"[{target.id}]" if ":" in target.id else target.id
        try:
            async with self._session.get(
                url,
                headers={"User-Agent": CHECKER, "Host": f"{host}:{port}"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=limit),
            ) as answer:
                return self._judge(group, answer.status)
        except TimeoutError:
            return "Target.Timeout", None
        except aiohttp.ClientError:
            return "Target.FailedHealthChecks", None

    @staticmethod
    def _judge(group: Group, status: int) -> tuple[str | None, str | None]:
        matcher = group.config.get("Matcher", {}).get("HttpCode") or "200"
        if alb.status_matches(matcher, status):
            return None, None
        return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]"

    async def _check_function(self, group: Group, target: Target) -> tuple[str | None, str | None]:
        """One check of a function: an invocation like any other ("Lambda functions as targets")."""
        request = alb.Request(
            "GET",
            group.config.get("HealthCheckPath") or "/",
            "",
            [("user-agent", CHECKER)],
            "127.0.0.1",
        )
        answer = await self._invoke(group, target, request, b"")
        return self._judge(group, answer.status) if answer else ("Target.FailedHealthChecks", None)

    # Requests.

    async def _listen(self, balancer: LoadBalancer, listener_arn: str) -> int:
        async def handle(incoming: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(balancer, listener_arn, incoming)

        runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        balancer.runners[listener_arn] = runner
        port: int = runner.addresses[0][1]
        return port

    async def _handle(
        self, balancer: LoadBalancer, listener_arn: str, incoming: web.BaseRequest
    ) -> web.StreamResponse:
        """Answer one request by the rules that this connection's node knows."""
        node = self._node(incoming)
        listener = self._listener(balancer, listener_arn, node)
        if listener is None or not node.rules.get(listener["ListenerArn"]):
            if incoming.transport is not None:
                incoming.transport.abort()
            return web.Response(status=503)
        if incoming.headers.get("Expect", "").lower() == "100-continue" and incoming.transport:
            incoming.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = _forwarded(incoming, listener)
        rule = alb.choose_rule(node.rules[listener["ListenerArn"]], request)
        *before, action = sorted(rule["Actions"], key=lambda each: each.get("Order", 1))
        visit = Visit(self._cloud, balancer, self._count, request, incoming)
        for each in before:
            if (stopped := await self._authenticate(visit, each)) is not None:
                return stopped
        match action["Type"]:
            case "fixed-response":
                return visit.fixed(action["FixedResponseConfig"])
            case "redirect":
                return visit.redirect(action["RedirectConfig"], listener["Protocol"].lower())
            case "forward":
                group = self._pick(alb.target_groups_of(rule["Actions"]))
                return await self._forward(visit, group)
        return visit.own(501, f"the local cloud does not imitate the action {action['Type']}")

    # Logins.

    async def _authenticate(
        self, visit: Visit, action: Mapping[str, Any]
    ) -> web.StreamResponse | None:
        """The answer to a client that has to log in first; None if the request goes on."""
        if action["Type"] not in KINDS:
            return visit.own(501, f"the local cloud does not imitate the action {action['Type']}")
        login = await self._login(action)
        if visit.request.path == CALLBACK:
            return await self._come_back(visit, login)
        session = self._logins.session(login, visit.request)
        answer = None
        if session is None:
            answer = self._logins.without_session(login, visit.request, SCHEME)
        visit.request = identified(visit.request, session)
        if answer is None:
            return None
        return visit.own(answer.status) if answer.status == 401 else visit.response(answer)

    async def _login(self, action: Mapping[str, Any]) -> Login:
        config = action[KINDS[action["Type"]]]
        if action["Type"] == "authenticate-oidc":
            return Login.of_oidc(config)
        reply = await self._cloud.control.call(
            "cognito-idp",
            "describe_user_pool_client",
            UserPoolId=config["UserPoolArn"].rpartition("/")[2],
            ClientId=config["UserPoolClientId"],
        )
        return Login.of_cognito(config, reply["UserPoolClient"]["ClientSecret"])

    async def _come_back(self, visit: Visit, login: Login) -> web.StreamResponse:
        """End a login: the code becomes a token and the token a user, without the client."""
        begun, code = self._logins.ended(login, visit.request)
        if begun is None:
            return visit.own(401)
        try:
            token = await self._token(login, code, callback(visit.request, SCHEME))
            subject = await self._subject(login, token)
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
            visit.count(f"HTTPCode_ELB_{PROVIDER_FAILED // 100}XX_Count")
            return visit.response(alb.Answer(PROVIDER_FAILED))
        return visit.response(self._logins.enter(login, begun, subject, token))

    async def _token(self, login: Login, code: str, redirect_uri: str) -> str:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        assert self._session is not None
        async with self._session.post(
            login.token_endpoint,
            data=form,
            auth=aiohttp.BasicAuth(login.client_id, login.client_secret),
            raise_for_status=True,
            timeout=aiohttp.ClientTimeout(total=PROVIDER_SECONDS),
        ) as answer:
            return str((await answer.json())["access_token"])

    async def _subject(self, login: Login, token: str) -> str:
        assert self._session is not None
        async with self._session.get(
            login.user_info_endpoint,
            headers={"Authorization": f"Bearer {token}"},
            raise_for_status=True,
            timeout=aiohttp.ClientTimeout(total=PROVIDER_SECONDS),
        ) as answer:
            return str((await answer.json())["sub"])

    # The way to a target.

    def _node(self, incoming: web.BaseRequest) -> Node:
        """The node that this connection came in on; connections take turns."""
        connection = incoming.transport
        if len(self._nodes) < 2 or connection is None:
            return self._newest()
        if connection not in self._connections:
            self._connections[connection] = next(self._turn)
        return self._nodes[1 + self._connections[connection] % (len(self._nodes) - 1)]

    @staticmethod
    def _listener(balancer: LoadBalancer, listener_arn: str, node: Node) -> dict[str, Any] | None:
        """The listener of a socket; the DNS name's socket is that of the lowest port."""
        if listener_arn:
            return node.listeners.get(listener_arn)
        own = [each for each in node.listeners.values() if each["LoadBalancerArn"] == balancer.arn]
        return min(own, key=lambda each: int(each["Port"]), default=None)

    def _pick(self, weights: Mapping[str, int]) -> Group | None:
        """One of a rule's groups by weight, whether it has targets or not."""
        usable = {arn: weight for arn, weight in weights.items() if weight > 0}
        if not usable:
            return None
        arn = random.choices(list(usable), list(usable.values()))[0]
        return self._groups.get(arn)

    async def _forward(self, visit: Visit, group: Group | None) -> web.StreamResponse:
        """Send the request to a target of the group; 503 if it has none."""
        target = group.choose() if group else None
        if group is None or target is None:
            return visit.own(503)
        if group.is_lambda:
            return await self._to_function(visit, group, target)
        visit.chosen(group)
        handler = asyncio.current_task()
        assert handler is not None
        target.requests.add(handler)
        try:
            address = self._address(target.id, int(target.port or 0))
            if address is None:  # nobody answers there any more, not even with a refusal
                await self._cloud.clock.sleep(CONNECT_SECONDS)
                return visit.own(504)
            assert self._session is not None
            if visit.request.wants_websocket:
                return await visit.websocket(self._session, address)
            return await visit.proxy(self._session, address, group)
        finally:
            target.requests.discard(handler)

    def _address(self, identity: str, port: int) -> tuple[str, int] | None:
        if identity.startswith("127."):
            return identity, port
        return self._cloud.tasks.address_of(identity, port)

    async def _to_function(self, visit: Visit, group: Group, target: Target) -> web.StreamResponse:
        """Invoke the function: 400 for a WebSocket, 413 over 1 MB, 502 if it fails."""
        if visit.request.wants_websocket:
            return visit.own(400)
        body = await visit.body(alb.LAMBDA_LIMIT)
        if body is None:
            return visit.own(413)
        visit.chosen(group)
        started = self._cloud.clock.now()
        invocation = self._invoke(group, target, visit.request, body)
        try:
            if self._cloud.settings["elb"]["idle_timeout_cuts_lambda"]:
                answer = await within(self._cloud, visit.balancer.idle_seconds, invocation)
            else:
                answer = await invocation
        except TimeoutError:
            return visit.own(504)
        if answer is None:
            visit.count("LambdaUserError", group)
            return visit.own(502)
        visit.answered(group, answer.status, self._cloud.clock.now() - started)
        return visit.response(answer)

    async def _invoke(
        self, group: Group, target: Target, request: alb.Request, body: bytes
    ) -> alb.Answer | None:
        """The function's answer; None if it is throttled, not permitted, failing or malformed."""
        event = alb.lambda_event(request, body, group.arn, multi_value=group.multi_value)
        result = await self._cloud.functions.invoke(
            target.id, json.dumps(event).encode(), principal=PRINCIPAL, source_arn=group.arn
        )
        if result.status != 200 or result.error:
            return None
        try:
            return alb.lambda_answer(result.payload, multi_value=group.multi_value)
        except ValueError as error:
            print(f"{target.id} answered the load balancer with a fault: {error}", flush=True)
            return None

    # Metrics.

    def _count(self, name: str, value: float, *dimensions: tuple[str, str]) -> None:
        """Add to a metric of this minute.

        Imitates "CloudWatch metrics for your Application Load Balancer": sent by the minute, only
        if there is something to send, and seen `lateness_seconds` after the minute's end.
        """
        minute = self._cloud.clock.now() // 60 * 60
        if minute not in self._counts:
            self._counts[minute] = defaultdict(list)
            self._cloud.spawn(self._send(minute))
        self._counts[minute][name, dimensions].append(value)

    async def _send(self, minute: float) -> None:
        await self._cloud.clock.sleep_until(minute + 60)
        seen = minute + 60 + float(self._cloud.settings["cloudwatch"]["lateness_seconds"])
        for (name, dimensions), values in self._counts.pop(minute).items():
            timed = name == "TargetResponseTime"
            for value in values if timed else [sum(values)]:
                unit = "Seconds" if timed else "Count"
                self._cloud.metrics.put(
                    NAMESPACE, name, dict(dimensions), value, unit, minute, seen
                )

    async def _count_hosts_for_ever(self) -> None:
        """HealthyHostCount and UnHealthyHostCount, while there are registered targets."""
        clock = self._cloud.clock
        while True:
            await clock.sleep_until(clock.now() // 60 * 60 + 59)
            for group in self._groups.values():
                states = [group.health_of(each)["State"] for each in group.targets.values()]
                for arn in group.used_by if states and not group.is_lambda else ():
                    if arn not in self._balancers:
                        continue
                    where = (
                        ("LoadBalancer", self._balancers[arn].dimension),
                        ("TargetGroup", group.arn.rsplit(":", 1)[1]),
                    )
                    self._count("HealthyHostCount", states.count("healthy"), *where)
                    self._count("UnHealthyHostCount", states.count("unhealthy"), *where)
                    if self._cloud.settings["elb"]["zeros_when_idle"]:
                        self._count("RequestCount", 0, *where)
            await clock.sleep(2)


@dataclass(eq=False)
class Visit:
    """One request on its way through a load balancer: answers it, and counts what it does."""

    cloud: Cloud
    balancer: LoadBalancer
    counter: Any
    request: alb.Request
    incoming: web.BaseRequest

    def count(self, name: str, group: Group | None = None, value: float = 1) -> None:
        """Count for the load balancer, and for the target group if there is one."""
        own = ("LoadBalancer", self.balancer.dimension)
        self.counter(name, value, own)
        if group is not None:
            self.counter(name, value, own, ("TargetGroup", group.arn.rsplit(":", 1)[1]))

    def chosen(self, group: Group) -> None:
        """A target was chosen: only now it is a request that `RequestCount` counts."""
        self.count("RequestCount", group)

    def answered(self, group: Group, status: int, seconds: float) -> None:
        """The target answered."""
        self.count(f"HTTPCode_Target_{status // 100}XX_Count", group)
        self.count("TargetResponseTime", group, seconds)

    def own(self, status: int, text: str = "") -> web.Response:
        """An error that the load balancer itself answers with, and counts as its own."""
        self.count(f"HTTPCode_ELB_{status // 100}XX_Count")
        if status in (500, 502, 503, 504):
            self.count(f"HTTPCode_ELB_{status}_Count")
        phrase = http.HTTPStatus(status).phrase
        title = html.escape(f"{status} {text or phrase}")
        page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>{title}</body>\r\n</html>"
        answer = alb.Answer(status, None, [("Content-Type", "text/html")], page.encode())
        response = self.response(answer)
        response.headers["Server"] = "awselb/2.0"
        return response

    def fixed(self, config: Mapping[str, str]) -> web.Response:
        """A fixed-response action."""
        self.count("HTTP_Fixed_Response_Count")
        kind = config.get("ContentType") or "text/plain"
        body = (config.get("MessageBody") or "").encode()
        return self.response(
            alb.Answer(int(config["StatusCode"]), None, [("Content-Type", kind)], body)
        )

    def redirect(self, config: Mapping[str, str], scheme: str) -> web.Response:
        """A redirect action; the port is the local one where the action keeps it."""
        self.count("HTTP_Redirect_Count")
        port = URL(f"http://{self.request.header('host')}").port or 80
        location = alb.redirect_location(config, self.request, scheme, port)
        status = int(config["StatusCode"].removeprefix("HTTP_"))
        return self.response(alb.Answer(status, None, [("Location", location)]))

    def response(self, answer: alb.Answer) -> web.Response:
        """An answer on the wire; a HEAD request gets no body."""
        body = b"" if self.request.method == "HEAD" else answer.body
        return web.Response(
            status=answer.status, reason=answer.reason, headers=CIMultiDict(answer.headers),
            body=body,
        )  # fmt: skip

    async def body(self, limit: int) -> bytes | None:
        """The request's body; None where it is longer than `limit` bytes."""
        length = self.incoming.content_length
        if length is not None and length > limit:
            return None
        read = bytearray()
        async for chunk in self.incoming.content.iter_any():
            read += chunk
            if len(read) > limit:
                return None
        return bytes(read)

    async def proxy(
        self, session: aiohttp.ClientSession, address: tuple[str, int], group: Group
    ) -> web.StreamResponse:
        """Pass the request on and the answer back: 502 if the target refuses or breaks off.

        504 if it says nothing for the load balancer's idle time-out ("Troubleshoot your
        Application Load Balancers").
        """
        started = self.cloud.clock.now()
        call = passing.pass_on(
            session,
            self.request.method,
            self._url("http", address),
            self.request.headers,
            self.incoming.content if self.incoming.can_read_body else None,
        )
        try:
            answer = await within(self.cloud, self.balancer.idle_seconds, call)
        except TimeoutError:
            return self.own(504)
        except aiohttp.ClientError:
            return self.own(502)
        async with answer:
            self.answered(group, answer.status, self.cloud.clock.now() - started)
            response = await passing.begin_answer(self.incoming, answer)
            chunks = answer.content.iter_any()
            while chunk := await within(self.cloud, self.balancer.idle_seconds, anext(chunks, b"")):
                await response.write(chunk)
            await response.write_eof()
            return response

    async def websocket(
        self, session: aiohttp.ClientSession, address: tuple[str, int]
    ) -> web.StreamResponse:
        """Join the client's WebSocket with one to the target, until either closes or both are
        silent for the idle time-out.
        """
        asked = self.request.header("sec-websocket-protocol")
        protocols = [each.strip() for each in asked.split(",") if each.strip()]
        skipped = ("sec-websocket-", "connection", "upgrade")
        kept = [(k, v) for k, v in self.request.headers if not k.lower().startswith(skipped)]
        try:
            target = await session.ws_connect(
                self._url("ws", address), headers=CIMultiDict(kept), protocols=protocols,
                autoping=False, max_msg_size=0,
            )  # fmt: skip
        except aiohttp.WSServerHandshakeError as error:
            return self.response(alb.Answer(error.status))
        except aiohttp.ClientError:
            return self.own(502)
        chosen = [target.protocol] if target.protocol else []
        client = web.WebSocketResponse(autoping=False, max_msg_size=0, protocols=chosen)
        await client.prepare(self.incoming)
        await self._join(client, target)
        return client

    async def _join(
        self, client: web.WebSocketResponse, target: aiohttp.ClientWebSocketResponse
    ) -> None:
        clock, heard = self.cloud.clock, [self.cloud.clock.now()]

        async def relay(source: Any, sink: Any) -> None:
            async for message in source:
                heard[0] = clock.now()
                match message.type:
                    case WSMsgType.TEXT:
                        await sink.send_str(message.data)
                    case WSMsgType.BINARY:
                        await sink.send_bytes(message.data)
                    case WSMsgType.PING:
                        await sink.ping(message.data)
                    case WSMsgType.PONG:
                        await sink.pong(message.data)
            await sink.close(code=source.close_code or 1000)

        async def silence() -> None:
            while (end := heard[0] + self.balancer.idle_seconds) > clock.now():
                await clock.sleep_until(end)

        work = [relay(client, target), relay(target, client), silence()]
        ends = [asyncio.create_task(each) for each in work]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await target.close()
            await client.close()

    def _url(self, scheme: str, address: tuple[str, int]) -> URL:
        return URL(f"{scheme}://{address[0]}:{address[1]}{self.incoming.raw_path}", encoded=True)


async def within(cloud: Cloud, seconds: float, work: Awaitable[T]) -> T:
    """The result of `work`; TimeoutError after `seconds` of virtual time."""
    doing = asyncio.ensure_future(work)
    limit = asyncio.create_task(cloud.clock.sleep(seconds))
    try:
        await asyncio.wait({doing, limit}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise TimeoutError
        return doing.result()
    finally:
        limit.cancel()
        doing.cancel()


def _listeners_of(params: Mapping[str, Any]) -> set[str]:
    """The listeners whose rules a call changes; empty for a call about anything else.

    A rule's ARN is its listener's with `listener-rule` for `listener` and an id of its own.
    """
    if "Conditions" in params and "ListenerArn" in params:
        return {params["ListenerArn"]}
    rules = [params["RuleArn"]] if "RuleArn" in params else []
    rules += [each["RuleArn"] for each in params.get("RulePriorities", [])]
    return {rule.replace(":listener-rule/", ":listener/").rsplit("/", 1)[0] for rule in rules}


def _forwarded(incoming: web.BaseRequest, listener: Mapping[str, Any]) -> alb.Request:
    """The request as targets get it ("HTTP headers and Application Load Balancers").

    The client's address is added to X-Forwarded-For, X-Forwarded-Proto and -Port are set, a trace
    id is added or extended, and hop-by-hop headers go.
    """
    path, _, query = incoming.raw_path.partition("?")
    client = incoming.remote or "127.0.0.1"
    given = [(k, v) for k, v in incoming.headers.items()]
    before = ", ".join(v for k, v in given if k.lower() == "x-forwarded-for")
    traced = next((v for k, v in given if k.lower() == "x-amzn-trace-id"), "")
    stamp = f"1-{int(datetime.now(UTC).timestamp()):08x}-{secrets.token_hex(12)}"
    own = {
        "x-forwarded-for": f"{before}, {client}" if before else client,
        "x-forwarded-proto": listener["Protocol"].lower(),
        "x-forwarded-port": str(listener["Port"]),
        "x-amzn-trace-id": f"Self={stamp};{traced}" if traced else f"Root={stamp}",
    }
    dropped = alb.HOP_BY_HOP - {"upgrade"} | {"expect"} | set(own)
    kept = [(k, v) for k, v in given if k.lower() not in dropped]
    return alb.Request(incoming.method, path, query, [*kept, *own.items()], client)
