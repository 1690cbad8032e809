"""Ways to change a recorded event: any part of it, in any of a few ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.warmkeeper.recorded import TEXTS

Place = tuple[str | int, ...]


def places(node: Any, here: Place = ()) -> Iterator[Place]:
    """Where each part of a JSON value is, the whole first."""
    yield here
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(value, (*here, key))


def at(node: Any, place: Place) -> Any:
    for key in place:
        node = node[key]
    return node


PLACES = {name: list(places(json.loads(text))) for name, text in TEXTS.items()}


def change(event: Any, where: Place, kind: str, value: Any) -> Any:
    """The event with one place of it changed. LookupError where the place is gone by now."""
    old = at(event, where)
    new: dict[str, Callable[[], Any]] = {
        "replace": lambda: value,
        "list": lambda: [old],
        "text": lambda: str(old),
        "wrap": lambda: {"body": old},
        "add": lambda: {**old, str(value)[:40]: value} if isinstance(old, dict) else value,
        "double": lambda: [*old, *old] if isinstance(old, list) else [old, old],
    }
    if not where:
        return new[kind]() if kind in new else value
    parent, key = at(event, where[:-1]), where[-1]
    if kind in new:
        parent[key] = new[kind]()
        return event
    del parent[key]
    if kind == "rename" and isinstance(parent, dict):
        parent[str(key).upper()] = old
    return event
