"""One Bicep file as its declarations. Only what this repository uses is known; anything else is an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from infra.checks.syntax import Node, line, named, parse, text, walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}
_SKIPPED = {"comment", "decorators", "target_scope_assignment"}


class UnknownConstruct(Exception):
    """A part of the language that these checks do not know."""


@dataclass(frozen=True)
class Declaration:
    """`value` is the expression behind `=`, None for a parameter without default. `target` is what a resource
    or module declares: `type@version` or a path."""

    kind: str
    name: str
    node: Node
    decorators: tuple[Node, ...] = ()
    value: Node | None = None
    type: str = ""
    target: str = ""
    existing: bool = False

    @property
    def body(self) -> Node:
        """The object of a resource or module, inside `if (…)` and `[for …]`."""
        node = self.value
        while node is not None and node.type in ("if_statement", "for_statement"):
            node = named(node)[-1]
        if node is None:
            raise UnknownConstruct(f"{self.name} has no body")
        return node

    def property(self, name: str) -> Node | None:
        return next((value for key, value in properties(self.body) if key == name), None)


@dataclass(frozen=True)
class Template:
    file: Path
    root: Node = field(repr=False)

    @classmethod
    def read(cls, file: Path) -> Template:
        return cls(file, parse(file.read_bytes()))

    @cached_property
    def declarations(self) -> tuple[Declaration, ...]:
        return tuple(self._declared())

    def of(self, kind: str) -> dict[str, Declaration]:
        return {each.name: each for each in self.declarations if each.kind == kind}

    @cached_property
    def symbols(self) -> dict[str, Declaration]:
        """What an expression may name: an output is not among them."""
        return {each.name: each for each in self.declarations if each.kind != "output"}

    def _declared(self) -> Iterator[Declaration]:
        decorators: tuple[Node, ...] = ()
        for node in self.root.named_children:
            if node.type == "decorators":
                decorators = tuple(named(node))
                continue
            if node.type in _SKIPPED:
                continue
            if node.type not in _KINDS:
                raise UnknownConstruct(f"{self.file.name}:{line(node)}: {node.type}")
            yield _declaration(_KINDS[node.type], node, decorators)
            decorators = ()


def _declaration(kind: str, node: Node, decorators: tuple[Node, ...]) -> Declaration:
    parts = named(node)
    name = text(parts[0])
    has_value = any(child.type == "=" for child in node.children)
    value = parts[-1] if has_value else None
    if kind in ("resource", "module"):
        existing = any(child.type == "existing" for child in node.children)
        return Declaration(
            kind, name, node, decorators, value, target=plain(parts[1]), existing=existing
        )
    kind_of_value = text(parts[1]) if kind in ("param", "output") else ""
    return Declaration(kind, name, node, decorators, value, type=kind_of_value)


def plain(node: Node) -> str:
    """The text of a string without interpolation."""
    parts = named(node)
    if any(part.type == "interpolation" for part in parts):
        raise UnknownConstruct(f"line {line(node)}: {text(node)} is not a plain text")
    return "".join(text(part) for part in parts)


def properties(node: Node) -> Iterator[tuple[str, Node]]:
    """The members of an object with their names as written; an interpolated name stays as it is."""
    for member in named(node):
        key, value = named(member)
        simple = key.type == "identifier" or all(
            part.type != "interpolation" for part in named(key)
        )
        if not simple:
            yield text(key), value
        else:
            yield (text(key) if key.type == "identifier" else plain(key)), value


def names_used(node: Node) -> Iterator[tuple[str, Node]]:
    """Identifiers that an expression reads; keys, properties and functions are other node types or places."""
    for each in walk(node):
        if each.type != "identifier" or each.parent is None:
            continue
        parent = each.parent
        is_key = parent.type == "object_property" and parent.named_children[0] == each
        is_function = parent.type == "call_expression" and parent.named_children[0] == each
        if not is_key and not is_function:
            yield text(each), each
