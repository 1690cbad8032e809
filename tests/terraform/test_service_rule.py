"""What the module says of a service rule that no mock makes, or that provider 5 tells in part.

A data source's blocks cannot be mocked, and provider 6 tells more of a rule than provider 5 does
(regular expressions, transforms), and conditions in another shape. So a copy of the module gets the
rule as an input, in place of what its data source tells, and `terraform test` plans it with the
mocked provider.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/lb_listener_rule
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import mutate_validations, plans

pytestmark = pytest.mark.terraform

KINDS = (
    "host_header", "http_header", "http_request_method",
    "path_pattern", "query_string", "source_ip",
)  # fmt: skip
READ = "one(data.aws_lb_listener_rule.service)"
INPUT = '\nvariable "told" {\n  type    = any\n  default = {}\n}\n'


def by_provider_5(kind: str, **body: Any) -> dict[str, Any]:
    """A condition: an object for the kind that it is of, null for the others."""
    return {**dict.fromkeys(KINDS), kind: body}


def by_provider_6(kind: str, **body: Any) -> dict[str, Any]:
    """A condition: a list of one for the kind that it is of, empty ones for the others."""
    return {**{each: [] for each in KINDS}, kind: [body]}


HOST = ["app.example.com"]
# By name: what the provider tells of the rule, the module's inputs, and what is said of it, in
# order.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "values_by_provider_5": (
        {"condition": [by_provider_5("host_header", values=HOST)]},
        {"conditions": {"host_header": HOST}},
        [],
    ),
    "values_by_provider_6": (
        {
            "condition": [by_provider_6("host_header", values=HOST, regex_values=[])],
            "transform": [],
        },
        {"conditions": {"host_header": HOST}},
        [],
    ),
    "regex_host_by_provider_5": (
        {"condition": [by_provider_5("host_header", values=[])]},
        {},
        ['service_rule_arn: the rule matches ["host_header"] by regular expressions'],
    ),
    "regex_path_without_a_list_by_provider_5": (
        {"condition": [by_provider_5("path_pattern", values=None)]},
        {},
        ['service_rule_arn: the rule matches ["path_pattern"] by regular expressions'],
    ),
    "regex_path_by_provider_6": (
        {"condition": [by_provider_6("path_pattern", values=[], regex_values=["^/app$"])]},
        {"conditions": {"path_pattern": ["/app"]}},
        ['service_rule_arn: the rule matches ["path_pattern"] by regular expressions'],
    ),
    "regex_and_a_websocket_rule": (
        {"condition": [by_provider_5("path_pattern", values=[])]},
        {"websocket_rule": True},
        ['websocket_rule must be false: the service rule matches ["path_pattern"] by regular'],
    ),
    "another_condition_by_provider_6": (
        {"condition": [by_provider_6("source_ip", values=["10.0.0.0/8"])]},
        {},
        ['service_rule_arn: the rule has a condition of ["source_ip"]'],
    ),
    "transform": (
        {"transform": [{"type": "url-rewrite"}]},
        {},
        ['service_rule_arn: the rule has the transforms ["url-rewrite"]'],
    ),
    "transform_and_a_websocket_rule": (
        {"transform": [{"type": "url-rewrite"}]},
        {"websocket_rule": True},
        ['websocket_rule must be false: the service rule has the transforms ["url-rewrite"]'],
    ),
}


@pytest.fixture(scope="module")
def said() -> Iterator[dict[str, list[str]]]:
    """The errors and failed checks of each case, by its name."""
    (plans.ROOT / ".cache").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="service-rule-", dir=plans.ROOT / ".cache"))
    try:
        mutate_validations.copy_to(scratch)
        checks = (scratch / "checks.tf").read_text()
        assert checks.count(READ) == 1
        (scratch / "checks.tf").write_text(checks.replace(READ, f"merge({READ}, var.told)") + INPUT)
        head = re.split(r'(?m)^run "', (plans.HERE / "checks.tftest.hcl").read_text())[0]
        for name, (told, inputs, _) in CASES.items():
            given = "".join(
                f"    {k} = {json.dumps(v)}\n" for k, v in {**inputs, "told": told}.items()
            )
            run = f'run "case" {{\n  variables {{\n{given}  }}\n}}\n'
            (scratch / "tests" / "terraform" / f"{name}.tftest.hcl").write_text(head + run)
        found: dict[str, list[str]] = {name: [] for name in CASES}
        test = ("test", "-json", "-test-directory=tests/terraform")
        for line in plans.terraform(scratch, *test, fine=(0, 1)):
            event = json.loads(line)
            if event["type"] == "diagnostic" and event["diagnostic"]["severity"] == "error":
                name = Path(event["@testfile"]).name.partition(".")[0]
                found[name].append(re.sub(r"\s+", " ", event["diagnostic"]["detail"]))
        yield found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.mark.parametrize("case", CASES)
def test_the_module_says_what_is_wrong_with_the_rule_and_nothing_else(
    said: dict[str, list[str]], case: str
) -> None:
    _, _, expected = CASES[case]
    assert len(said[case]) == len(expected), said[case]
    for got, begins in zip(said[case], expected, strict=True):
        assert got.startswith(begins)
