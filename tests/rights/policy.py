"""What IAM would say to a call: the part of its language that the module's policies are written in.

What is not understood raises: a matcher that passed over a condition would flatter the policy.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

KNOWN = {"Sid", "Effect", "Action", "Resource", "Condition"}


@dataclass(frozen=True)
class Ask:
    """One question to IAM: an action on a resource, with the condition keys that AWS supplies."""

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        told = "".join(f" {key}={','.join(values)}" for key, values in self.context.items())
        return f"{self.action} on {self.resource}{told}"


def wild(pattern: str, value: str) -> bool:
    """Whether a pattern with * and ? is this value, by case."""
    if "${" in pattern:
        raise ValueError(f"policy variables are not understood: {pattern}")
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def wild_arn(pattern: str, value: str) -> bool:
    """Whether an ARN is as a pattern has it: each of the six parts by itself, as for ArnLike."""
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    patterns, parts = pattern.split(":", 5), value.split(":", 5)
    return len(patterns) == len(parts) == 6 and all(map(wild, patterns, parts))


def wild_resource(pattern: str, value: str) -> bool:
    """Whether an element of Resource covers an ARN, or "*" for a call on no resource.

    Raises ValueError for a wildcard that AWS calls incorrect, in the service or before the first
    separator of the rest, and for one that would have to span the parts of an ARN.
    """
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    if pattern == "*":
        return True
    parts = pattern.split(":", 5)
    if len(parts) < 6 or set("*?") & set(parts[2]) or re.match(r"[^/:]*[*?][^/:]*[/:]", parts[5]):
        raise ValueError(f"the wildcards of a resource are not understood: {pattern}")
    return wild_arn(pattern, value)


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, given: wanted == given,
    "StringLike": wild,
    "ArnEquals": wild_arn,
    "ArnLike": wild_arn,
}


def holds(operator: str, key: str, wanted: list[str], context: Mapping[str, Any]) -> bool:
    """Whether one condition holds. A key that is not supplied fails all but ForAllValues."""
    given = {name.lower(): values for name, values in context.items()}.get(key.lower(), ())
    quantifier, _, name = operator.rpartition(":")
    if name not in OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"the condition operator {operator} is not understood")
    fits = [any(OPERATORS[name](want, value) for want in wanted) for value in given]
    if quantifier == "ForAllValues":
        return all(fits)
    if not quantifier and len(fits) > 1:
        raise ValueError(f"{operator} with several values of {key}: they need a quantifier")
    return any(fits)


def several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. Raises ValueError for an element that is not understood."""

    sid: str
    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Statement:
        if unknown := set(written) - KNOWN:
            raise ValueError(f"not understood in a statement: {sorted(unknown)}")
        conditions = tuple(
            (operator, key, tuple(several(wanted)))
            for operator, keys in written.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
        actions, resources = several(written["Action"]), several(written["Resource"])
        allows = {"Allow": True, "Deny": False}[written["Effect"]]
        return cls(written["Sid"], allows, tuple(actions), tuple(resources), conditions)

    def covers(self, ask: Ask) -> bool:
        return (
            any(wild(action.lower(), ask.action.lower()) for action in self.actions)
            and any(wild_resource(resource, ask.resource) for resource in self.resources)
            and all(holds(op, key, list(want), ask.context) for op, key, want in self.conditions)
        )


@dataclass(frozen=True)
class Policy:
    """An identity's policy."""

    statements: tuple[Statement, ...]

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read a policy document. Raises ValueError for what is not understood."""
        return cls(tuple(map(Statement.of, json.loads(text)["Statement"])))

    def allowing(self, ask: Ask) -> Statement | None:
        """The first statement that allows it; None if none does, or if one denies it."""
        covering = [statement for statement in self.statements if statement.covers(ask)]
        if not all(statement.allows for statement in covering):
            return None
        return next(iter(covering), None)

    def granted(self) -> set[tuple[str, str]]:
        """Every (sid, action) that is allowed."""
        return {(s.sid, action) for s in self.statements if s.allows for action in s.actions}
