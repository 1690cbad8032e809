"""What surrounds the module, made by boto3 in a second: load balancer, service rule, ECS service.

The provider waits a minute on every `aws_lb`, whatever answers it. So only the module is applied by
Terraform, from tests/integration/module_alone; examples/staging as a whole is applied once, by
tests/integration/examples/test_example.py. Both have the same outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

APP = Path(__file__).resolve().parents[1] / "examples" / "staging" / "app" / "app.py"
PORT = 8080
EVERY_PATH = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}


def forward_to(target_group_arn: str, *idle: str) -> dict[str, Any]:
    """The action of a rule or a listener. `idle` target groups stand beside it with weight 0."""
    if not idle:
        return {"Type": "forward", "TargetGroupArn": target_group_arn}
    weights = {target_group_arn: 100} | dict.fromkeys(idle, 0)
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}


def host_is(*hosts: str) -> dict[str, Any]:
    """The condition of a rule."""
    return {"Field": "host-header", "HostHeaderConfig": {"Values": list(hosts)}}


class Surroundings:
    """One load balancer, one listener, one service of the sample application, all of one name.

    `client` gives a boto3 client for the name of an AWS service. With `on_ec2` the service runs on
    an EC2 instance, in bridge mode, and its targets are that instance's ports. Without a
    `rule_priority` there is neither rule nor service yet: a test makes them as it needs them.
    """

    def __init__(
        self,
        client: Any,
        name: str = "staging",
        *,
        rule_priority: int | None = 100,
        on_ec2: bool = False,
    ) -> None:
        self.name = name
        self.on_ec2 = on_ec2
        self.ecs = client("ecs")
        self.elbv2 = client("elbv2")
        self.ec2 = client("ec2")
        self.acm = client("acm")
        self.subnets = self._make_subnets()
        self.security_group: str = self.ec2.create_security_group(
            GroupName=name, Description="Everything around the module", VpcId=self.vpc_id
        )["GroupId"]
        self.load_balancer = self._make_load_balancer()
        self.target_group_arn = self.make_target_group(f"{name}-app")
        self.listener_arn = self.make_listener(80)
        if rule_priority is not None:
            self.service_rule_arn = self.make_rule(rule_priority, EVERY_PATH)
            self.make_service(self.target(self.target_group_arn))

    def variables(self) -> dict[str, Any]:
        """The variables of tests/integration/module_alone."""
        return {
            "name": self.name,
            "cluster_name": self.name,
            "service_name": f"{self.name}-app",
            "url": f"http://{self.load_balancer['DNSName']}",
            "load_balancer_name": self.name,
            "load_balancer_arn": self.load_balancer["LoadBalancerArn"],
            "listener_arn": self.listener_arn,
            "target_group_arn": self.target_group_arn,
            "service_rule_arn": self.service_rule_arn,
        }

    def make_target_group(self, name: str) -> str:
        """A target group as examples/staging has it; gives its ARN."""
        made = self.elbv2.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=PORT,
            VpcId=self.vpc_id,
            TargetType="instance" if self.on_ec2 else "ip",
            HealthCheckPath="/healthz",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=3,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=3,
        )
        arn: str = made["TargetGroups"][0]["TargetGroupArn"]
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "15"}
        self.elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delay])
        return arn

    def make_listener(self, port: int) -> str:
        """A listener whose default action is a 404; gives its ARN. Port 443 is HTTPS."""
        nothing = {"ContentType": "text/plain", "MessageBody": "nothing here", "StatusCode": "404"}
        protocol: dict[str, Any] = {"Protocol": "HTTP"}
        if port == 443:
            certificate = self.acm.request_certificate(DomainName="example.com")
            protocol = {
                "Protocol": "HTTPS",
                "Certificates": [{"CertificateArn": certificate["CertificateArn"]}],
            }
        made = self.elbv2.create_listener(
            LoadBalancerArn=self.load_balancer["LoadBalancerArn"],
            Port=port,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": nothing}],
            **protocol,
        )
        arn: str = made["Listeners"][0]["ListenerArn"]
        return arn

    def make_rule(
        self,
        priority: int,
        *conditions: dict[str, Any],
        listener_arn: str | None = None,
        target_group_arn: str | None = None,
    ) -> str:
        """A rule that forwards to the service's target group, unless another is given.

        Gives its ARN.
        """
        made = self.elbv2.create_rule(
            ListenerArn=listener_arn or self.listener_arn,
            Priority=priority,
            Conditions=list(conditions),
            Actions=[forward_to(target_group_arn or self.target_group_arn)],
        )
        arn: str = made["Rules"][0]["RuleArn"]
        return arn

    def delete_target_group(self, arn: str) -> None:
        """Delete what no rule uses any more."""
        self.elbv2.delete_target_group(TargetGroupArn=arn)

    def move_to(self, target_group_arn: str) -> None:
        """Rule and service go over to another target group, by a new deployment."""
        self.elbv2.modify_rule(
            RuleArn=self.service_rule_arn, Actions=[forward_to(target_group_arn)]
        )
        self.ecs.update_service(
            cluster=self.name,
            service=f"{self.name}-app",
            loadBalancers=[self.target(target_group_arn)],
            forceNewDeployment=True,
        )

    def make_service(self, target: dict[str, Any], **more: Any) -> None:
        """The service of one task, in this entry of `loadBalancers`, with more of its fields."""
        app = f"{self.name}-app"
        self.ecs.create_cluster(clusterName=self.name)
        container = {
            "name": "app",
            "image": "python:3.13-alpine",
            "command": ["python", "-u", "-c", APP.read_text()],
            "essential": True,
            "memory": 256,
            "environment": [{"name": "PORT", "value": str(PORT)}],
            "portMappings": [{"containerPort": PORT, "protocol": "tcp"}],
        }
        placed = self._on_ec2() if self.on_ec2 else self._on_fargate()
        definition, service = placed
        self.ecs.register_task_definition(
            family=app, containerDefinitions=[container], **definition
        )
        self.ecs.create_service(
            cluster=self.name,
            serviceName=app,
            taskDefinition=app,
            desiredCount=1,
            healthCheckGracePeriodSeconds=60,
            loadBalancers=[target],
            **service,
            **more,
        )

    def make_another(self, key: str, **more: Any) -> str:
        """A further service of the same program, with more of its fields; gives its name.

        Without `loadBalancers` no load balancer reaches it.
        """
        name = f"{self.name}-{key}"
        _, service = self._on_fargate()
        self.ecs.create_service(
            cluster=self.name,
            serviceName=name,
            taskDefinition=f"{self.name}-app",
            **{"desiredCount": 1, **service, **more},
        )
        return name

    def target(self, target_group_arn: str) -> dict[str, Any]:
        """An entry of a service's `loadBalancers`."""
        return {
            "targetGroupArn": target_group_arn,
            "containerName": "app",
            "containerPort": PORT,
        }

    def shifting_target(
        self, target_group_arn: str, alternate_arn: str, rule_arn: str
    ) -> dict[str, Any]:
        """The same where deployments shift the rule's traffic between two target groups."""
        pair = {
            "alternateTargetGroupArn": alternate_arn,
            "productionListenerRule": rule_arn,
            "roleArn": "arn:aws:iam::123456789012:role/ecs",
        }
        return {**self.target(target_group_arn), "advancedConfiguration": pair}

    def _make_subnets(self) -> list[str]:
        self.vpc_id: str = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones = [
            each["ZoneName"] for each in self.ec2.describe_availability_zones()["AvailabilityZones"]
        ]
        return [
            self.ec2.create_subnet(
                VpcId=self.vpc_id, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone
            )["Subnet"]["SubnetId"]
            for number, zone in enumerate(zones[:2])
        ]

    def _make_load_balancer(self) -> dict[str, Any]:
        made = self.elbv2.create_load_balancer(
            Name=self.name,
            Subnets=self.subnets,
            SecurityGroups=[self.security_group],
            Type="application",
        )
        found: dict[str, Any] = made["LoadBalancers"][0]
        return found

    def _on_fargate(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a task definition and a service on Fargate have."""
        network = {"subnets": self.subnets, "securityGroups": [self.security_group]}
        definition = {
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
        }
        service = {
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
        return definition, service

    def _on_ec2(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same on EC2, after an instance has joined the cluster."""
        user_data = f"#!/bin/sh\necho ECS_CLUSTER={self.name} >> /etc/ecs/ecs.config\n"
        image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        self.ec2.run_instances(
            ImageId=image,
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnets[0],
            UserData=user_data,
        )
        return {"networkMode": "bridge"}, {"launchType": "EC2"}
