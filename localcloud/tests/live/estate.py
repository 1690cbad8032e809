"""A small estate in a local cloud, for the tests of its moving parts."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import urllib3
from botocore.config import Config

from localcloud.client import LocalCloud

APP = """
import asyncio, json, os, signal, sys
from aiohttp import WSMsgType, web

async def echo(request):
    body = await request.read()
    answer = web.json_response({"task": os.environ["TASK"], "path": request.raw_path,
        "headers": [list(pair) for pair in request.headers.items()], "body": body.decode()})
    answer.headers.add("Set-Cookie", "a=1")
    answer.headers.add("Set-Cookie", "b=2")
    return answer

async def slow(request):
    await asyncio.sleep(float(request.query["seconds"]))
    return web.Response(text="slow")

async def when(request):
    open(request.query["there"] + ".asked", "w").close()
    while not os.path.exists(request.query["there"]):
        await asyncio.sleep(0.02)
    return web.Response(text="slow")

async def status(request):
    return web.Response(status=int(request.match_info["code"]))

async def rude(request):
    request.transport.abort()

async def socket(request):
    ws = web.WebSocketResponse(protocols=["chat"])
    await ws.prepare(request)
    async for message in ws:
        if message.type == WSMsgType.TEXT:
            await ws.send_str(message.data.upper())
        else:
            await ws.send_bytes(message.data[::-1])
    return ws

app = web.Application(client_max_size=2**26)
app.add_routes([web.get("/slow", slow), web.get("/when", when), web.get("/rude", rude),
    web.get("/status/{code}", status), web.get("/ws", socket),
    web.get("/health", lambda r: web.Response()),
    web.route("*", "/{rest:.*}", echo)])
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
"""

FUNCTION = """
import base64, json, time

def handler(event, context):
    if "source" in event:  # an alarm
        print("ALARM " + json.dumps(event))
        return None
    query = event.get("queryStringParameters") or {}
    how = query.get("how", "echo")
    if how == "fail":
        raise RuntimeError("as asked")
    if how == "slow":
        time.sleep(2)
    if how == "malformed":
        return {"body": "no status"}
    if how == "big":
        return {"statusCode": 200, "body": "x" * 1100000}
    if how == "binary":
        return {"statusCode": 201, "statusDescription": "201 Made", "isBase64Encoded": True,
            "headers": {"Content-Type": "image/png"},
            "body": base64.b64encode(b"\\x89PNG").decode()}
    if "multiValueHeaders" in event:
        return {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
            "body": json.dumps(event)}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"},
        "body": json.dumps(event)}
"""

VPC = "10.0.0.0/16"


@dataclass
class Estate:
    """A small estate in the local cloud, and the ways to it."""

    cloud: LocalCloud
    app: Path
    subnets: list[str] = field(default_factory=list)
    vpc: str = ""
    security_group: str = ""
    count: int = 0

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client of a user."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.cloud.endpoint,
            region_name="us-east-1",
            aws_access_key_id="tester",
            aws_secret_access_key="tester",
            config=Config(**config),
        )

    def function(self, **more: Any) -> str:
        """Create the test function; returns its ARN."""
        package, name = io.BytesIO(), self.name()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("main.py", FUNCTION)
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        iam = self.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        reply = self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="main.handler",
            Code={"ZipFile": package.getvalue()},
            Timeout=10,
            **more,
        )
        return str(reply["FunctionArn"])

    def permit(self, function: str, principal: str, source_arn: str) -> None:
        """Let an AWS service invoke the function."""
        self.client("lambda").add_permission(
            FunctionName=function,
            StatementId=self.name(),
            Action="lambda:InvokeFunction",
            Principal=principal,
            SourceArn=source_arn,
        )

    def lines(self, function: str) -> list[str]:
        """What the function has logged."""
        group = "/aws/lambda/" + function.rsplit(":", 1)[1]
        logs = self.client("logs")
        try:
            events = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    def wait(self, predicate: Callable[[], Any], minutes: float = 30, speed: float = 20) -> float:
        """Let virtual time run until `predicate()` is true; the virtual seconds it took."""
        return self.cloud.advance_until(predicate, minutes=minutes, speed=speed)

    def name(self) -> str:
        """A name that nothing else has."""
        self.count += 1
        return f"t{self.count}"


@dataclass
class Site:
    """A load balancer with a listener, whose default answer is 404."""

    estate: Estate
    arn: str
    listener: str
    url: str
    name: str

    def rule(self, priority: int, *actions: dict[str, Any], **conditions: list[str]) -> str:
        """A rule by `path=[...]`, `host=[...]` or `method=[...]`; returns its ARN."""
        fields = {
            "path": ("path-pattern", "PathPatternConfig"),
            "host": ("host-header", "HostHeaderConfig"),
            "method": ("http-request-method", "HttpRequestMethodConfig"),
        }
        shapes = [
            {"Field": fields[key][0], fields[key][1]: {"Values": values}}
            for key, values in (conditions or {"path": ["*"]}).items()
        ]
        reply = self.estate.client("elbv2").create_rule(
            ListenerArn=self.listener,
            Priority=priority,
            Conditions=shapes,
            Actions=list(actions),
        )
        self.estate.cloud.settle()
        return str(reply["Rules"][0]["RuleArn"])

    def group(self, **more: Any) -> str:
        """A target group of addresses, checked every five seconds; returns its ARN."""
        given = {
            "Name": self.estate.name(),
            "Protocol": "HTTP",
            "Port": 8080,
            "VpcId": self.estate.vpc,
            "TargetType": "ip",
            "HealthCheckPath": "/health",
            "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2,
            "HealthyThresholdCount": 5,
            "UnhealthyThresholdCount": 2,
            **more,
        }
        elbv2 = self.estate.client("elbv2")
        arn = str(elbv2.create_target_group(**given)["TargetGroups"][0]["TargetGroupArn"])
        elbv2.modify_target_group_attributes(
            TargetGroupArn=arn,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}],
        )
        return arn

    def function_group(self, function: str, *, multi_value: bool = False) -> str:
        """A target group of a function, which it may invoke; returns its ARN."""
        elbv2 = self.estate.client("elbv2")
        reply = elbv2.create_target_group(Name=self.estate.name(), TargetType="lambda")
        arn = str(reply["TargetGroups"][0]["TargetGroupArn"])
        key = {"Key": "lambda.multi_value_headers.enabled", "Value": str(multi_value).lower()}
        elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[key])
        self.estate.permit(function, "elasticloadbalancing.amazonaws.com", arn)
        elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": function}])
        return arn

    def states(self, group: str) -> list[str]:
        """The states of a group's targets."""
        reply = self.estate.client("elbv2").describe_target_health(TargetGroupArn=group)
        return [each["TargetHealth"]["State"] for each in reply["TargetHealthDescriptions"]]


def a_site(estate: Estate) -> Site:
    """A new load balancer."""
    elbv2, name = estate.client("elbv2"), estate.name()
    balancer = elbv2.create_load_balancer(Name=name, Subnets=estate.subnets)["LoadBalancers"][0]
    default = fixed(404, "nothing here")
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[default],
    )["Listeners"][0]["ListenerArn"]
    estate.cloud.settle()
    url = f"http://{balancer['DNSName']}"
    assert url == estate.cloud.load_balancer(name)
    return Site(estate, balancer["LoadBalancerArn"], listener, url, name)


def fixed(status: int, body: str = "") -> dict[str, Any]:
    """A fixed-response action."""
    config = {"StatusCode": str(status), "MessageBody": body, "ContentType": "text/plain"}
    return {"Type": "fixed-response", "FixedResponseConfig": config}


def to(*groups: str, weights: tuple[int, ...] = ()) -> dict[str, Any]:
    """A forward action to target groups, with weights if there are several."""
    given = weights or (1,) * len(groups)
    shapes = [
        {"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(groups, given, strict=True)
    ]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": shapes}}


def ask(url: str, method: str = "GET", **more: Any) -> urllib3.BaseHTTPResponse:
    """One request on a connection of its own, redirects not followed."""
    with urllib3.PoolManager() as pool:
        return pool.request(method, url, redirect=False, retries=False, timeout=300, **more)


@dataclass
class Running:
    """An ECS service of the app behind a target group."""

    site: Site
    name: str
    cluster: str
    group: str

    @property
    def ecs(self) -> Any:
        """A client."""
        return self.site.estate.client("ecs")

    def describe(self) -> dict[str, Any]:
        """The service as `DescribeServices` has it."""
        reply = self.ecs.describe_services(cluster=self.cluster, services=[self.name])
        return dict(reply["services"][0])

    def count(self, desired: int) -> None:
        """Set the count."""
        self.ecs.update_service(cluster=self.cluster, service=self.name, desiredCount=desired)

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        """Its tasks by desired status."""
        arns = self.ecs.list_tasks(
            cluster=self.cluster, serviceName=self.name, desiredStatus=status
        )["taskArns"]
        if not arns:
            return []
        return list(self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"])


def define(
    estate: Estate, family: str, mark: str = "first", network: str = "awsvpc", **more: Any
) -> str:
    """Register a task definition of the app; `more` is its container's. Returns its ARN."""
    container = {
        "name": "app",
        "image": "example/app:1",
        "essential": True,
        "command": ["python", str(estate.app)],
        "environment": [{"name": "TASK", "value": mark}],
        "portMappings": [{"containerPort": 8080}],
        "stopTimeout": 5,
        **more,
    }
    reply = estate.client("ecs").register_task_definition(
        family=family,
        networkMode=network,
        requiresCompatibilities=["FARGATE" if network == "awsvpc" else "EC2"],
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    return str(reply["taskDefinition"]["taskDefinitionArn"])


def a_service(site: Site) -> Iterator[Running]:
    """The app as a service of one task, its rule in place, healthy; deleted afterwards."""
    group = site.group()
    site.rule(10, to(group))
    with a_service_behind(site, group) as service:
        site.estate.wait(lambda: site.states(group) == ["healthy"])
        yield service


@contextmanager
def a_service_behind(
    site: Site, group: str, network: str = "awsvpc", host_port: int = 0, **more: Any
) -> Iterator[Running]:
    """The app as a service of one task behind a target group; deleted afterwards.

    Outside awsvpc on EC2. `more` is for `CreateService`.
    """
    estate = site.estate
    ecs, name = estate.client("ecs"), estate.name()
    mapping = {"containerPort": 8080} | ({"hostPort": host_port} if host_port else {})
    own_network = {
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": estate.subnets,
                "securityGroups": [estate.security_group],
            }
        },
    }
    ecs.create_cluster(clusterName=name)
    given = {
        "taskDefinition": define(estate, name, network=network, portMappings=[mapping]),
        "desiredCount": 1,
        "healthCheckGracePeriodSeconds": 30,
        "loadBalancers": [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}],
        **(own_network if network == "awsvpc" else {"launchType": "EC2"}),
        **more,
    }
    ecs.create_service(cluster=name, serviceName=name, **given)
    try:
        yield Running(site, name, name, group)
    finally:
        usual = {"failure": None, "read_stale_seconds": 0, "stop_stale_seconds": 3}
        estate.cloud.settings(ecs=usual)
        ecs.update_service(cluster=name, service=name, desiredCount=0)
        ecs.delete_service(cluster=name, service=name, force=True)
