"""Terraform code against the schema of an AWS provider that is not installed.

The schema is that of cdktf-cdktf-provider-aws, a file in jsii's format. It has a class for each
resource type and data source, with the attributes that can be read, and an interface for its
arguments and for each block in it. It does not say what is deprecated. pulumi-aws, which is
generated from the provider too, says so in its Python files. Both are read as files, not imported.

https://github.com/aws/jsii/blob/main/packages/%40jsii/spec/src/assembly.ts
"""

from __future__ import annotations

import ast
import functools
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

# Arguments of Terraform itself, which no provider has.
# https://developer.hashicorp.com/terraform/language/meta-arguments/depends_on
META_ARGUMENTS = {"count", "for_each", "depends_on", "lifecycle", "provider"}
REPRESENTS = re.compile(r"/docs/(resources|data-sources)/\S+ (aws_\w+)}")
VERSION = re.compile(r"/providers/hashicorp/aws/([0-9.]+)/")
# What reads an attribute, of one instance or of all in `values()`. `data.` before the type makes it
# one of a data source.
READ = re.compile(r"\b(data\.)?(aws_\w+)\.\w+(?:\)?\[[^\]]*\])?\.([a-z]\w*)")
# What goes through the instances of a type, by a name: `NAME.attribute` reads an attribute then.
LOOP = re.compile(r"\bfor (?:\w+, )?(\w+) in (data\.)?(aws_\w+)\.\w+\s*:")

# What cdktf calls an argument whose name is a word of a language that it generates.
RESERVED = {"self": "selfAttribute"}

# Where pulumi-aws has types whose folder and file are not the words of their name.
PULUMI_FOLDERS = {"lambda": "lambda_"}
PULUMI_FILES = {
    "resource aws_lb": "lb/load_balancer",
    "data aws_lb": "lb/get_load_balancer",
    "resource aws_db_instance": "rds/instance",
    "resource aws_db_subnet_group": "rds/subnet_group",
}

Path_ = tuple[str, ...]  # the blocks around an argument
Member = tuple[str, str]  # the blocks around it in pascal case, in one word, and its name
WHOLE: Member = ("", "")


@dataclass(frozen=True)
class Argument:
    """An argument or a block of a type, or of a block in it."""

    required: bool
    is_block: bool
    inside: str | None  # the interface of what can stand in it


@dataclass(frozen=True)
class Type:
    """A resource type or a data source: its interface, and its attributes in camel case."""

    interface: str
    attributes: frozenset[str]


@dataclass(frozen=True)
class Schema:
    """Types by "resource NAME" or "data NAME"; arguments by interface and name in camel case."""

    version: str
    types: Mapping[str, Type]
    interfaces: Mapping[str, Mapping[str, Argument]]

    @classmethod
    def read(cls, package: Path) -> Schema:
        """Of the installed folder of cdktf_cdktf_provider_aws; some seconds."""
        (archive,) = package.glob("_jsii/*.jsii.tgz")
        with tarfile.open(archive) as tar:
            described = tar.extractfile("package/.jsii")
            assert described is not None
            assembly = json.load(described, object_hook=_needed)["types"]
        types = {}
        interfaces = {}
        version = ""
        for name, written in assembly.items():
            properties = written.get("properties", [])
            summary = written.get("docs", {}).get("summary", "")
            if written["kind"] == "interface":
                interfaces[name] = {each["name"]: _argument(each) for each in properties}
            elif match := REPRESENTS.search(summary):
                kind = "resource" if match[1] == "resources" else "data"
                config = written["initializer"]["parameters"][-1]["type"]["fqn"]
                attributes = frozenset(each["name"] for each in properties)
                types[f"{kind} {match[2]}"] = Type(config, attributes)
                version = VERSION.search(summary)[1]  # type: ignore[index]
        return cls(version, types, interfaces)


def _needed(written: dict[str, Any]) -> dict[str, Any]:
    """The parts of the assembly that are read: the whole takes half as much memory again."""
    unneeded = ("locationInModule", "methods", "symbolId", "stability")
    return {key: value for key, value in written.items() if key not in unneeded}


def _argument(written: Mapping[str, Any]) -> Argument:
    summary = written.get("docs", {}).get("summary", "")
    fqn = re.search(r'"fqn": "(@cdktf/[^"]+)"', json.dumps(written["type"]))
    return Argument(
        required=not written.get("optional", False),
        is_block=summary.endswith(" block."),
        inside=fqn[1] if fqn else None,
    )


class Deprecations:
    """What pulumi-aws, installed in the folder `package`, says is deprecated."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self._known: dict[str, dict[Member, str]] = {}

    def of(self, type_: str) -> dict[Member, str]:
        """The messages for a type ("resource NAME" or "data NAME") and its members, by member.

        A member's name is Terraform's, but for the plurals of lists. Raises LookupError where no
        file is found that the type can be in.
        """
        if type_ not in self._known:
            self._known[type_] = dict(self._read(self._file(type_)))
        return self._known[type_]

    def _read(self, file: Path) -> Iterator[tuple[Member, str]]:
        main = _pascal(file.stem)
        for node in (*_statements(file), *_statements(file.with_name("_inputs.py"))):
            if isinstance(node, ast.FunctionDef) and node.name == file.stem:
                yield from ((WHOLE, said) for said in _decorated(node))
            if not isinstance(node, ast.ClassDef) or not node.name.strip("_").startswith(main):
                continue
            if node.name == main:
                yield from ((WHOLE, said) for said in _decorated(node))
            around = re.sub(r"(Args|State|Result)$", "", node.name.strip("_")[len(main) :])
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    for said in (*_decorated(member), *_documented(member)):
                        yield (around, member.name), said

    def _file(self, type_: str) -> Path:
        kind, name = type_.split()
        words = name.removeprefix("aws_").split("_")
        prefix = "get_" if kind == "data" else ""
        tried = [PULUMI_FILES.get(type_, prefix + "_".join(words))]
        for number in range(1, len(words)):
            folder = "".join(words[:number])
            folder = PULUMI_FOLDERS.get(folder, folder)
            tried.append(f"{folder}/{prefix}{'_'.join(words[number:])}")
        tried.append(f"ec2/{prefix}{'_'.join(words)}")
        for file in tried:
            path = self.package / f"{file}.py"
            if path.is_file():
                return path
        raise LookupError(f"{type_}: pulumi-aws has none of {tried}: add its file to PULUMI_FILES")


@functools.cache
def _statements(file: Path) -> list[ast.stmt]:
    """Of a Python file; none where there is no such file, or where it deprecates nothing."""
    text = file.read_text() if file.is_file() else ""
    return ast.parse(text).body if "eprecated" in text else []


def _decorated(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    """The message of its decorator, where it has one for a deprecation."""
    for decorator in node.decorator_list:
        called = decorator if isinstance(decorator, ast.Call) else None
        if called and ast.unparse(called.func) == "_utilities.deprecated":
            yield ast.literal_eval(called.args[0])


def _documented(member: ast.FunctionDef) -> Iterator[str]:
    """What its docstring says where it begins like a deprecated one's."""
    documented = ast.get_docstring(member) or ""
    if documented.startswith("(**Deprecated"):
        yield documented


@dataclass(frozen=True)
class Use:
    """A block of Terraform code that makes a resource or reads a data source."""

    where: str
    type: str
    body: Mapping[str, Any]


@dataclass
class Judge:
    """Holds code against a schema; counts what it looked at."""

    schema: Schema
    deprecations: Deprecations

    def __post_init__(self) -> None:
        self.looked: Counter[str] = Counter()

    def findings(self, texts: Mapping[str, str]) -> list[str]:
        """What the newer provider would refuse, or warn of, in files of Terraform code by name."""
        found = []
        types = set()
        for where, text in texts.items():
            for use in uses(where, text):
                types.add(use.type)
                found += [f"{where}: {use.type}: {what}" for what in self._of_use(use)]
            for type_, attribute in reads(text):
                self.looked["attributes read"] += 1
                found += [f"{where}: {type_}: {what}" for what in self._of_read(type_, attribute)]
        self.looked["types"] = len(types)
        return sorted(set(found))

    def _of_use(self, use: Use) -> Iterator[str]:
        type_ = self.schema.types.get(use.type)
        if type_ is None:
            yield "no such type"
            return
        deprecated = self.deprecations.of(use.type)
        if WHOLE in deprecated:
            yield f"deprecated: {deprecated[WHOLE]}"
        yield from self._of_body(type_.interface, use.body, (), deprecated)

    def _of_body(
        self, interface: str, body: Mapping[str, Any], path: Path_, deprecated: Mapping[Member, str]
    ) -> Iterator[str]:
        arguments = self.schema.interfaces[interface]
        meta = set() if path else META_ARGUMENTS
        given = {name: blocks for name, blocks in contents(body) if name not in meta}
        names = {_camel(name) for name in given}
        for name, argument in arguments.items():
            if argument.required and name not in names:
                yield f"{'.'.join((*path, _snake(name)))} is required and missing"
        for name, blocks in given.items():
            self.looked["arguments and blocks"] += 1
            dotted = ".".join((*path, name))
            known = arguments.get(_camel(name))
            if known is None:
                yield f"{dotted} is unknown"
                continue
            if said := _deprecated(deprecated, path, name):
                yield f"{dotted} is deprecated: {said}"
            if blocks is None and known.is_block:
                yield f"{dotted} is an argument here and a block there"
            if blocks is not None and known.inside is None:
                yield f"{dotted} is a block here and an argument there"
            elif blocks is not None and known.inside is not None:
                for block in blocks:
                    yield from self._of_body(known.inside, block, (*path, name), deprecated)

    def _of_read(self, type_: str, attribute: str) -> Iterator[str]:
        known = self.schema.types.get(type_)
        if known is None:
            yield "no such type"
        elif _camel(attribute) not in known.attributes:
            yield f"{attribute} is read and unknown"
        elif said := _deprecated(self.deprecations.of(type_), (), attribute):
            yield f"{attribute} is read and deprecated: {said}"


def uses(where: str, text: str) -> Iterator[Use]:
    """The resources and data sources of a file of Terraform code."""
    if not re.search(r'(?m)^ *(resource|data) "', text):
        return  # the parser takes seconds for a long file
    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    parsed = hcl2.loads(text, serialization_options=options)
    for kind in ("resource", "data"):
        for block in parsed.get(kind, []):
            for type_, named in block.items():
                if type_.startswith("aws_"):
                    for name, body in named.items():
                        if name != "__is_block__":
                            yield Use(f"{where}:{name}", f"{kind} {type_}", body)


def reads(text: str) -> Iterator[tuple[str, str]]:
    """The types and attributes that expressions of a file name; comments are left out."""
    code = "\n".join(re.sub(r"(^| )# .*", "", line) for line in text.splitlines())
    for data, type_, attribute in READ.findall(code):
        yield f"{'data' if data else 'resource'} {type_}", attribute
    for loop in LOOP.finditer(code):
        name, data, type_ = loop.groups()
        for attribute in re.findall(rf"\b{name}\.([a-z]\w*)", _enclosed(code[loop.end() :])):
            yield f"{'data' if data else 'resource'} {type_}", attribute


def _enclosed(code: str) -> str:
    """The code up to the bracket that closes what it stands in."""
    depth = 0
    for at, character in enumerate(code):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return code[:at]
    return code


def contents(body: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]] | None]]:
    """What stands in a block: a name with None for an argument, with the blocks for a block."""
    for name, value in body.items():
        if name == "__is_block__":
            continue
        if name == "dynamic":
            for each in value:
                for label, dynamic in each.items():
                    if label != "__is_block__":
                        yield label, dynamic["content"]
        elif isinstance(value, list) and any(
            isinstance(each, dict) and "__is_block__" in each for each in value
        ):
            yield name, value
        else:
            yield name, None


def _deprecated(found: Mapping[Member, str], path: Path_, name: str) -> str | None:
    """What is said of an argument: its class there is named by the blocks around it."""
    tail = "".join(_pascal(part) for part in path)
    plurals = (name, f"{name}s", f"{name.removesuffix('y')}ies")
    said = [found[tail, each] for each in plurals if (tail, each) in found]
    return said[0] if said else None


def _camel(name: str) -> str:
    if name in RESERVED:
        return RESERVED[name]
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
