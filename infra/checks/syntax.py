"""Bicep text → syntax tree, with the place of every mistake.

tree-sitter repairs what it cannot read and marks it; pycep stops at the first mistake. Neither is Microsoft's
compiler, so a construct must please both (Azure contract 3.8 says which do).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import tree_sitter
import tree_sitter_bicep
from lark.exceptions import LarkError
from pycep import BicepParser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Node = tree_sitter.Node


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))


def parse(source: bytes) -> Node:
    return _parser().parse(source).root_node


def text(node: Node) -> str:
    return (node.text or b"").decode()


def line(node: Node) -> int:
    return node.start_point[0] + 1


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def named(node: Node) -> list[Node]:
    """The children that mean something, without comments."""
    return [child for child in node.named_children if child.type != "comment"]


def mistakes(file: Path) -> list[str]:
    """Everything that either parser cannot read, as `file:line: what`."""
    source = file.read_bytes()
    found = [
        f"{file.name}:{line(node)}: cannot be read near {text(node)[:40]!r}"
        for node in walk(parse(source))
        if node.is_error or node.is_missing
    ]
    try:
        BicepParser().parse(text=source.decode())
    except (LarkError, ValueError) as error:
        found.append(f"{file.name}: the second parser says {str(error).splitlines()[0]}")
    return found
