"""IAM's delay: a role's new inline policy is not effective at once, in each service for itself.

Imitates "Changes that I make are not always immediately visible" (IAM User Guide, "Troubleshoot
IAM"). Off unless `settings.iam.policy_delay_seconds` names a service. What a policy permits is not
looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, UnknownServiceError
from moto.core.utils import get_service_model

from localcloud.control import ACCOUNT
from localcloud.gateway import ApiError, Call

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

# The services' own codes and statuses for a call that IAM refuses, and the rest's.
REFUSALS = {
    "cloudwatch": ("AccessDenied", 403),
    "elbv2": ("AccessDenied", 403),
    "lambda": ("AccessDeniedException", 403),
    "rds": ("AccessDenied", 403),
    "sns": ("AuthorizationError", 403),
    "sqs": ("AccessDenied", 403),
}
REFUSAL = ("AccessDeniedException", 400)
# How policies call a service, where that is not its signing name.
PREFIXES = {"cloudwatch": "cloudwatch", "sns": "SNS"}
IN_LOWER_CASE = ("sqs",)  # the name of the action there, as users report it
WITHOUT_RESOURCE = ("elbv2", "cloudwatch")  # their sentence names no resource for what is read


class Policies:
    """Refuses a function's calls until its role's policy has been there for long enough."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._put_at: dict[str, dict[str, float]] = {}  # by role and policy, virtual
        cloud.gateway.subscribe("iam", self._changed)
        cloud.gateway.guard(self._check)

    async def _changed(self, call: Call) -> None:
        """Note when a policy came; a change of one that is there is effective at once."""
        role = call.params.get("RoleName", "")
        match call.action:
            case "PutRolePolicy":
                policies = self._put_at.setdefault(role, {})
                policies.setdefault(call.params["PolicyName"], self._cloud.clock.now())
            case "DeleteRolePolicy":
                self._put_at.get(role, {}).pop(call.params["PolicyName"], None)
            case "DeleteRole":
                self._put_at.pop(role, None)

    async def _check(self, call: Call) -> None:
        delay = self._cloud.settings["iam"]["policy_delay_seconds"].get(call.service)
        if delay is None or not call.caller.startswith("function."):
            return
        function = call.caller.removeprefix("function.")
        try:
            role = await self._cloud.functions.role_of(function)
        except ClientError:  # somebody signs as a function that is not there
            return
        put_at = min(self._put_at.get(role, {}).values(), default=None)
        if put_at is not None and self._cloud.clock.now() < put_at + delay:
            raise _refusal(call, role, function)


def check_delays(delays: Any) -> None:
    """ValueError unless it is seconds by boto3's names of services."""
    if not isinstance(delays, dict):
        raise ValueError(f'iam.policy_delay_seconds is {delays!r}, not like {{"ecs": 20}}')
    for service, seconds in delays.items():
        try:
            get_service_model(service)
        except UnknownServiceError as error:
            raise ValueError(
                f"iam.policy_delay_seconds: boto3 has no service {service!r}; "
                'a load balancer is "elbv2"'
            ) from error
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError(f"iam.policy_delay_seconds.{service} is {seconds!r}, not seconds")


def _refusal(call: Call, role: str, function: str) -> ApiError:
    """The error as the service words it."""
    code, status = REFUSALS.get(call.service, REFUSAL)
    prefix = PREFIXES.get(call.service) or get_service_model(call.service).signing_name
    name = call.action.lower() if call.service in IN_LOWER_CASE else call.action
    action = f"{prefix}:{name}"
    user = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{function}"
    named = call.resource if call.resource.startswith("arn:") else "*"
    where = "" if call.service in WITHOUT_RESOURCE else f" on resource: {named}"
    return ApiError(
        code,
        f"User: {user} is not authorized to perform: {action}{where} because no identity-based "
        f"policy allows the {action} action",
        status,
    )
