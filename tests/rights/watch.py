"""Holds what a function called on a cloud against the policy that its role had at that moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from localcloud.client import LocalCloud
from tests.rights.policy import Policy
from tests.rights.reference import RIGHTS, Place, asked


@dataclass
class Watch:
    """Reads a cloud's record from its beginning, once; `used` is each (sid, action) that served.

    The function's role has its name, as in main.tf.
    """

    cloud: LocalCloud
    function: str
    place: Place
    read: int = 0
    calls: int = 0
    policy: Policy | None = None
    used: set[tuple[str, str]] = field(default_factory=set)

    def violations(self) -> list[str]:
        """What was called since the last time and was not allowed."""
        found = []
        for call in self.cloud.calls(self.read):
            self.read = call["n"]
            if call["service"] == "iam" and call["params"].get("RoleName") == self.function:
                self.follow(call)
            elif call["caller"] == f"function.{self.function}":
                self.calls += 1
                found += self.judged(call)
        return found

    def follow(self, call: dict[str, Any]) -> None:
        """The role's policy is put, or taken away."""
        if call["error"] is None and call["action"] == "PutRolePolicy":
            self.policy = Policy.from_json(call["params"]["PolicyDocument"])
            self.used.clear()
        elif call["error"] is None and call["action"] == "DeleteRolePolicy":
            self.policy = None

    def judged(self, call: dict[str, Any]) -> list[str]:
        service, action, params = call["service"], call["action"], call["params"]
        if (service, action) not in RIGHTS:
            return [f"{service} {action} is not in tests/rights/reference.py"]
        found = []
        for ask in asked(service, action, params, self.place):
            statement = self.policy.allowing(ask) if self.policy else None
            if statement is None:
                found.append(f"not allowed: {ask}")
            else:
                self.used.add((statement.sid, ask.action))
        return found

    def unused(self) -> set[tuple[str, str]]:
        """What the policy of now allows and nothing has asked for since it was put."""
        return (self.policy.granted() if self.policy else set()) - self.used
