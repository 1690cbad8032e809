"""The module, its examples and the code in the documents, against AWS provider 6's schema."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import judged, judges
from tests.compatibility.provider import Deprecations, Judge, Schema
from tests.terraform import plans

FILES = [*judges.ROOT.glob("*.tf"), *judges.ROOT.glob("examples/*/*.tf")]


@pytest.fixture(scope="module")
def judge() -> Judge:
    schema = Schema.read(judges.COMPATIBILITY.package("cdktf_cdktf_provider_aws"))
    return Judge(schema, Deprecations(judges.COMPATIBILITY.package("pulumi_aws")))


def test_what_the_code_uses_exists_and_is_complete_and_not_deprecated(
    judge: Judge, record_property: Callable[[str, object], None]
) -> None:
    texts = {str(file.relative_to(judges.ROOT)): file.read_text() for file in FILES}
    assert judge.schema.version.startswith("6.")
    assert judge.findings(texts | plans.blocks()) == []
    looked = ", ".join(f"{judge.looked[what]} {what}" for what in sorted(judge.looked))
    judged.say(
        record_property,
        "provider",
        f"Schema of AWS provider {judge.schema.version}",
        "every type, argument, block and attribute in the module, the examples and the documents",
        f"{looked}; nothing found",
    )


LISTENER = "resource aws_lb_listener: "
WITHOUT_ACTION = """
resource "aws_lb_listener" "x" {
  load_balancer_arn = "arn"
}"""
WITHOUT_LOAD_BALANCER = """
resource "aws_lb_listener" "x" {
  default_action {
    type = "forward"
  }
}"""
WITH_MORE = """
resource "aws_lb_listener" "x" {
  load_balancer_arn = "arn"
  no_such           = 1
  default_action {
    type = "forward"
  }
}"""
WITH_MORE_IN_A_BLOCK = """
resource "aws_lb_listener" "x" {
  load_balancer_arn = "arn"
  default_action {
    type = "forward"
    no_such {}
  }
}"""
WITHOUT_TYPE_IN_A_DYNAMIC_BLOCK = """
resource "aws_lb_listener" "x" {
  load_balancer_arn = "arn"
  dynamic "default_action" {
    for_each = [1]
    content {
      order = 1
    }
  }
}"""
NO_BLOCK = """
resource "aws_lb_listener" "x" {
  load_balancer_arn = "arn"
  default_action    = "forward"
}"""
NO_ARGUMENT = """
resource "aws_sns_topic" "x" {
  name {}
}"""
DEPRECATED = """
resource "aws_cloudwatch_event_rule" "x" {
  schedule_expression = "rate(1 minute)"
  is_enabled          = true
}"""
DEPRECATED_IN_A_BLOCK = """
resource "aws_dynamodb_table" "x" {
  name = "x"
  global_secondary_index {
    name            = "x"
    projection_type = "ALL"
    hash_key        = "x"
  }
}"""
# A finding's beginning, and the code in which nothing else is found.
WRONG = {
    "resource aws_lb_rule: no such type": 'resource "aws_lb_rule" "x" {}',
    "data aws_lb_group: no such type": 'data "aws_lb_group" "x" {}',
    LISTENER + "no_such is unknown": WITH_MORE,
    LISTENER + "default_action.no_such is unknown": WITH_MORE_IN_A_BLOCK,
    LISTENER + "load_balancer_arn is required and missing": WITHOUT_LOAD_BALANCER,
    LISTENER + "default_action is required and missing": WITHOUT_ACTION,
    LISTENER + "default_action.type is required and missing": WITHOUT_TYPE_IN_A_DYNAMIC_BLOCK,
    LISTENER + "default_action is an argument here and a block there": NO_BLOCK,
    "resource aws_sns_topic: name is a block here and an argument there": NO_ARGUMENT,
    "resource aws_cloudwatch_event_rule: is_enabled is deprecated: ": DEPRECATED,
    "resource aws_dynamodb_table: global_secondary_index.hash_key is deprecated: ": (
        DEPRECATED_IN_A_BLOCK
    ),
    "data aws_region: name is read and deprecated: ": "locals { x = data.aws_region.a.name }",
    "resource aws_lb: no_such is read and unknown": "locals { x = aws_lb.x[0].no_such }",
    "resource aws_lb: one_of_all is read and unknown": (
        "locals { x = values(aws_lb.x)[*].one_of_all }"
    ),
    "data aws_lb: in_a_loop is read and unknown": (
        "locals { x = { for key, lb in data.aws_lb.x : key => [lb.arn, lb.in_a_loop] } }"
    ),
    "resource aws_lb: in_a_condition is read and unknown": (
        "locals {\n x = [\n for lb in aws_lb.x :\n lb.arn if lb.in_a_condition\n ]\n y = lb.other }"
    ),
}


@pytest.mark.parametrize("finding", WRONG)
def test_what_is_wrong_is_found(judge: Judge, finding: str) -> None:
    (found,) = judge.findings({"main.tf": WRONG[finding]})
    assert found.partition(": ")[2].startswith(finding)


def test_a_type_that_pulumi_has_elsewhere_is_no_type_without_deprecations(judge: Judge) -> None:
    with pytest.raises(LookupError, match="PULUMI_FILES"):
        judge.deprecations.of("resource aws_no_such_thing")
