"""What policy-sentry says of policies: run by .venv-judge's Python, which alone has it.

Standard input: a JSON object of policy documents by name. Standard output: a JSON object with
`judged` (statements times actions) and `findings`, a list of objects with `policy`, `sid`, `action`
and `what`.

An action has to exist. A condition key has to be one of the action's, of the resource types that
the action takes, or a global one that is listed here. A resource has to be of a type that the
action takes, and `*` is right only where no type is required. What a type is and which keys it has
is AWS's Service Authorization Reference, as policy-sentry carries it.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from policy_sentry.shared.iam_data import get_service_prefix_data
from policy_sentry.util.arns import ARN

# The reference lists only the keys of services. Each global key that a policy here uses:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL_KEYS = {"aws:sourcearn"}


def findings(policy: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for statement in policy["Statement"]:
        for action in statement["Action"]:
            for what in of_action(action, statement):
                yield {"sid": statement["Sid"], "action": action, "what": what}


def of_action(action: str, statement: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with this action in this statement."""
    prefix, _, name = action.partition(":")
    service = get_service_prefix_data(prefix)
    known = service["privileges"].get(name) if service else None
    if known is None:
        yield "no such action"
        return
    types = {name: wanted for name, wanted in known["resource_types"].items() if name}
    formats = {name: service["resources"][name]["arn"] for name in types}
    for resource in statement.get("Resource", []):
        if resource == "*":
            required = [name for name, wanted in types.items() if wanted["required"]]
            if required:
                yield f"resource *, and {', '.join(required)} is required"
        elif not any(ARN(resource).same_resource_type(arn) for arn in formats.values()):
            yield f"resource {resource} is not of a type of its own: {sorted(formats.values())}"
    sources = [*known["resource_types"].values(), *(service["resources"][name] for name in types)]
    keys = {key.lower() for source in sources for key in source["condition_keys"]}
    for conditions in statement.get("Condition", {}).values():
        for key in conditions:
            if key.lower() not in keys | GLOBAL_KEYS:
                yield f"condition key {key} is not one of its own: {sorted(keys)}"


def main() -> None:
    policies: dict[str, Any] = json.load(sys.stdin)
    found = [
        {"policy": name, **finding}
        for name, policy in policies.items()
        for finding in findings(policy)
    ]
    statements = [statement for policy in policies.values() for statement in policy["Statement"]]
    judged = sum(len(statement["Action"]) for statement in statements)
    json.dump({"judged": judged, "findings": found}, sys.stdout)


if __name__ == "__main__":
    main()
