"""What the documents say is there: links, tables, HCL, make targets, commands, notices, alarms."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest
import warmkeeper as wk

from tests.warmkeeper.world import ENVIRONMENT
from tools import terraform_docs, terraform_env

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
OPERATING = ROOT / "docs" / "guide" / "operating.md"
CI = ROOT / "docs" / "guide" / "ci.md"
METRICS = ROOT / "docs" / "guide" / "metrics.md"
CHANGELOG = ROOT / "CHANGELOG.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
LOCAL_CLOUD = ROOT / "localcloud" / "README.md"
DOCUMENTS = [
    README,
    CONTRIBUTING,
    CHANGELOG,
    LOCAL_CLOUD,
    *sorted((ROOT / "docs").rglob("*.md")),
]
README_LINES = 220

SOURCE = "github.com/OWNER/terraform-aws-ecs-scale-to-zero?ref=v"
ACTION = re.compile(r"uses: OWNER/terraform-aws-ecs-scale-to-zero/\.github/actions/\w+@(\S+)")
META_ARGUMENTS = {"source", "providers", "count", "for_each", "depends_on"}
# The inputs that a call needs beside the required ones: one of these sets.
NEEDED_ON = {
    "listener": [
        {"service_name", "target_group_arns", "service_rule_arn", "rule_priority"},
        {
            "service_name",
            "target_group_arns",
            "create_service_rule",
            "listener_arn",
            "rule_priority",
        },
        {"service_name", "routes"},
        {"services"},
    ],
    "alarm": [{"service_name", "target_group_arns", "load_balancer_arn"}],
}

FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of that language."""
    return [text for named, text in FENCE.findall(document.read_text()) if named == language]


def prose(document: Path) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    words = (
        re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(document))
    )
    return {word.replace(" ", "-") for word in words}


def parsed(text: str) -> dict[str, Any]:
    """HCL as python-hcl2 reads it, names and strings without their quotes."""
    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    found: dict[str, Any] = hcl2.loads(text, serialization_options=options)
    return found


def named(text: str, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The blocks of a kind with one label: modules, variables, outputs."""
    for block in parsed(text).get(kind, []):
        for name, body in block.items():
            if isinstance(body, dict):
                yield name.strip('"'), body


@cache
def module_calls() -> list[dict[str, Any]]:
    """Every use of the module in the documents, without python-hcl2's own keys."""
    bodies = (
        body
        for document in DOCUMENTS
        for text in blocks(document, "hcl")
        for _, body in named(text, "module")
    )
    return [{key: body[key] for key in body if not key.startswith("__")} for body in bodies]


@cache
def inputs() -> dict[str, dict[str, Any]]:
    return dict(named((ROOT / "variables.tf").read_text(), "variable"))


def outputs() -> dict[str, dict[str, Any]]:
    return dict(named((ROOT / "outputs.tf").read_text(), "output"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        target, _, anchor = link.partition("#")
        if target.startswith("https://"):
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert path.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(path), f"{link}: {name_of(path)} has no such heading"


def test_the_readme_is_short_and_shows_the_commands_and_the_module_at_its_beginning() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    assert "make demo" in lines[:24]
    assert any(line.startswith("module ") for line in lines[:40])


def test_every_document_is_linked_from_another_one() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for link in LINK.findall(prose(document))
        if not link.startswith(("https://", "#"))
        and (document.parent / link.partition("#")[0]).resolve() != document
    }
    assert {
        name_of(document) for document in DOCUMENTS if document not in {README, *linked}
    } == set()


def test_every_document_that_the_code_names_exists() -> None:
    """Messages and comments name documents by their path from the root."""
    code = [
        file
        for folder in ("lambda", "tools", "localcloud", "demo", "tests", "examples")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".tf", ".toml", ".hcl", ".service", ".md"}
        and ".terraform" not in file.parts
    ]
    for file in (*code, *ROOT.glob("*.tf"), ROOT / "Makefile"):
        for name in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.md", file.read_text("utf-8")):
            assert (ROOT / name).is_file(), f"{name_of(file)} names {name}"


def test_every_picture_is_shown_in_a_document_and_has_words_for_who_cannot_see_it() -> None:
    shown = {
        (document.parent / picture).resolve()
        for document in DOCUMENTS
        for picture in re.findall(r"!\[[^\]]{20,}\]\(([^)\s]+)\)", prose(document))
    }
    pictures = {file for file in (ROOT / "docs" / "images").rglob("*") if file.is_file()}
    assert pictures == shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_make_target_named_exists(document: Path) -> None:
    # the changelog's section of a release says what was there then
    text = re.split(r"(?m)^## \[\d", document.read_text())[0]
    code = [block for _, block in FENCE.findall(text)] + re.findall(r"`([^`\n]+)`", text)
    wanted = {target for part in code for target in re.findall(r"\bmake ([a-z-]+)", part)}
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert wanted <= there


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_program_named_by_python_m_exists(document: Path) -> None:
    named = set(
        re.findall(r"python -m ((?:tools|tests|demo|localcloud)[.\w]*\w)", document.read_text())
    )
    files = {name: ROOT / name.replace(".", "/") for name in named}
    assert [
        name
        for name, file in files.items()
        if not file.with_suffix(".py").exists() and not (file / "__main__.py").exists()
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_json_block_is_json(document: Path) -> None:
    for text in blocks(document, "json"):
        json.loads(text)


def test_the_tables_of_inputs_and_outputs_are_up_to_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["terraform_docs", "--check"])
    assert terraform_docs.main() == 0


def test_every_hcl_block_parses() -> None:
    assert all(parsed(text) for document in DOCUMENTS for text in blocks(document, "hcl"))


def test_the_module_is_used_with_inputs_that_exist() -> None:
    assert len(module_calls()) >= 5
    for call in module_calls():
        assert set(call) - META_ARGUMENTS <= set(inputs())


def test_the_module_is_used_with_every_input_that_it_needs() -> None:
    required = {name for name, block in inputs().items() if "default" not in block}
    for call in module_calls():
        wake_path = call.get("wake_path", inputs()["wake_path"]["default"])
        assert any(required | needed <= set(call) for needed in NEEDED_ON[wake_path])


def test_the_fields_of_objects_given_to_the_module_exist() -> None:
    for call in module_calls():
        for name in ("conditions", "heartbeat"):
            fields = set(re.findall(r"(\w+)\W+optional\(", str(inputs()[name]["type"])))
            assert fields
            assert {key for key in call.get(name, {}) if not key.startswith("__")} <= fields


def test_the_module_is_pinned_to_the_newest_version_of_the_changelog() -> None:
    versions = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", CHANGELOG.read_text(), re.M
    )
    assert versions
    for call in module_calls():
        assert call["source"] == SOURCE + versions[0]
    actions = [each for document in DOCUMENTS for each in ACTION.findall(document.read_text())]
    assert actions
    assert {*actions} == {f"v{versions[0]}"}


def test_every_command_is_documented_with_a_line_that_invokes_it() -> None:
    lines = "\n".join(blocks(OPERATING, "sh")).replace("\\\n", "")
    payloads = [json.loads(text) for text in re.findall(r"--payload '([^']+)'", lines)]
    assert {payload["command"] for payload in payloads} == set(wk.COMMANDS)
    assert {f"### {command}" for command in wk.COMMANDS} <= set(OPERATING.read_text().splitlines())
    config = wk.Config.from_environment(ENVIRONMENT)
    for payload in payloads:
        wk.parse_command(payload, config, 0.0)


AWS_CLI = re.compile(r"\baws [a-z0-9]+ [a-z-]{4,} ?(?:--|s3:)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_who_is_given_a_command_of_the_aws_cli_is_told_for_which_version_it_is(
    document: Path,
) -> None:
    text = document.read_text(encoding="utf-8").replace("\\\n", "")
    there = OPERATING.read_text(encoding="utf-8").partition("\n### The AWS CLI\n")[2]
    section = there.partition("\n### ")[0]
    if AWS_CLI.search(text):
        assert "#the-aws-cli)" in text
    # what is of version 2 alone is what the section has one leave out
    for option in set(re.findall(r"--cli-binary-format [a-z0-9-]+", text)):
        assert f"Leave out `{option}`" in section


def test_a_document_has_commands_of_the_aws_cli() -> None:
    found = [name_of(path) for path in DOCUMENTS if AWS_CLI.search(path.read_text())]
    assert {"docs/guide/operating.md", "docs/guide/ci.md", "docs/guide/heartbeat.md"} <= set(found)


def test_the_settings_for_a_provider_mirror_are_those_with_which_the_tests_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = re.findall(r" *```hcl\n(.*?) *```", CI.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setattr(terraform_env, "CACHE", tmp_path)
    variables = terraform_env._from_mirror(Path("/srv/terraform-mirror"))
    written = Path(variables["TF_CLI_CONFIG_FILE"]).read_text()
    assert parsed(textwrap.dedent(text)) == parsed(written)


def test_every_alarm_is_documented() -> None:
    values = parsed((ROOT / "alarms.tf").read_text())["locals"]
    (alarms,) = [block["people_alarms"] for block in values if "people_alarms" in block]
    section = prose(OPERATING).partition("\n## Alarms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \|", section, re.M)
    assert {"idle", "wake", *(name.replace("_", "-") for name in alarms)} == set(rows)


def test_every_metric_is_documented_with_its_unit() -> None:
    section = prose(METRICS).partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+)", section, re.M)
    assert dict(rows) == wk.UNITS


def test_every_field_of_a_wake_in_the_log_is_documented() -> None:
    section = prose(METRICS).partition("\n## Log fields\n")[2]
    assert [name for name in wk.ENDS if f"`{name}`" not in section] == []


def test_every_output_that_the_operating_guide_names_exists() -> None:
    named_so = r"\boutput `(\w+)`|terraform output -raw (\w+)"
    asked = {name for pair in re.findall(named_so, OPERATING.read_text()) for name in pair if name}
    assert asked
    assert asked <= set(outputs())


def test_the_readme_shows_what_a_demo_run_measured() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("<!-- demo -->")[2].partition("<!-- /demo -->")[0]
    for figure in ("first request to served", "requests lost"):
        assert figure in block
