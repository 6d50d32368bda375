"""Parses `$filter` into a small tree: the operators of F&O contract 2.2.

`in`, `has`, lambdas and navigation paths are absent from the grammar, because F&O refuses them.
Nodes are tuples: ("prop", name), ("lit", edm, value), ("call", name, args), ("cmp", op, a, b),
("arith", op, a, b), ("negative", a), ("not", a), ("all", [..]), ("any", [..]).
"""

from __future__ import annotations

from typing import Any

from lark import Lark, Transformer, v_args
from lark.exceptions import UnexpectedInput

from sandbox.d365.errors import TYPE_PREFIX, bad_query

Node = tuple[Any, ...]

_GRAMMAR = r"""
?start: disjunction
?disjunction: conjunction | conjunction ("or" conjunction)+ -> any_of
?conjunction: negation | negation ("and" negation)+ -> all_of
?negation: comparison | "not" negation -> negated
?comparison: sum | sum COMPARE sum -> compare
?sum: product | sum ADDITIVE product -> arithmetic
?product: operand | product MULTIPLICATIVE operand -> arithmetic
?operand: "(" disjunction ")"
    | NAME "(" [disjunction ("," disjunction)*] ")" -> call
    | "-" operand -> negative
    | NAME -> prop
    | ENUM -> enum
    | STRING -> string
    | GUID -> guid
    | MOMENT -> moment
    | NUMBER -> number
    | "true" -> true
    | "false" -> false
    | "null" -> null

COMPARE.3: /(eq|ne|gt|ge|lt|le)(?![\w.'])/
ADDITIVE.3: /(add|sub)(?![\w.'])/
MULTIPLICATIVE.3: /(mul|divby|div|mod)(?![\w.'])/
ENUM.4: /[A-Za-z_][\w.]*'[^']*'/
NAME: /[A-Za-z_]\w*/
STRING: /'(?:[^']|'')*'/
GUID.3: /[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/
MOMENT.2: /\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?/
NUMBER: /\d+(\.\d+)?([eE][+-]?\d+)?/
%ignore /\s+/
"""


@v_args(inline=True)
class _Tree(Transformer[Any, Node]):
    def any_of(self, *parts: Node) -> Node:
        return ("any", parts)

    def all_of(self, *parts: Node) -> Node:
        return ("all", parts)

    def negated(self, part: Node) -> Node:
        return ("not", part)

    def compare(self, left: Node, operator: str, right: Node) -> Node:
        return ("cmp", str(operator), left, right)

    def arithmetic(self, left: Node, operator: str, right: Node) -> Node:
        return ("arith", str(operator), left, right)

    def negative(self, part: Node) -> Node:
        return ("negative", part)

    def call(self, name: str, *arguments: Node) -> Node:
        return ("call", str(name), [argument for argument in arguments if argument is not None])

    def prop(self, name: str) -> Node:
        return ("prop", str(name))

    def enum(self, text: str) -> Node:
        type_name, member, _ = text.split("'")
        if not type_name.startswith(TYPE_PREFIX):
            raise bad_query(
                f"Unrecognized '{text}' in the filter: enum literals need a full type name."
            )
        return ("lit", type_name, member)

    def string(self, text: str) -> Node:
        return ("lit", "Edm.String", text[1:-1].replace("''", "'"))

    def guid(self, text: str) -> Node:
        return ("lit", "Edm.Guid", text.lower())

    def moment(self, text: str) -> Node:
        return ("lit", "Edm.DateTimeOffset", str(text))

    def number(self, text: str) -> Node:
        return ("lit", "Edm.Decimal", float(text) if set(text) & set(".eE") else int(text))

    def true(self) -> Node:
        return ("lit", "Edm.Boolean", True)

    def false(self) -> Node:
        return ("lit", "Edm.Boolean", False)

    def null(self) -> Node:
        return ("lit", "null", None)


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Tree())


def node_count(node: Node) -> int:
    """Nodes as ASP.NET counts them: a chain of n terms has n - 1 operators, a property two nodes."""
    match node:
        case ("prop", _):
            return 2
        case ("cmp" | "arith", _, left, right):
            return 1 + node_count(left) + node_count(right)
        case ("any" | "all", parts):
            return len(parts) - 1 + sum(map(node_count, parts))
        case ("not" | "negative", part):
            return 1 + node_count(part)
        case ("call", _, arguments):
            return 1 + sum(map(node_count, arguments))
    return 1


def parse_filter(text: str) -> Node:
    """Raises `ODataError` 400 for anything F&O does not support."""
    try:
        return _PARSER.parse(text)  # type: ignore[return-value]
    except UnexpectedInput as error:
        position = error.pos_in_stream if error.pos_in_stream is not None else len(text)
        raise bad_query(f"Syntax error at position {position} in '{text}'.") from error
