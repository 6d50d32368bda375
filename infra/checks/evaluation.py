"""Parameters → the resources that a deployment would ask Azure for, with every value filled in.

Whatever the templates do not declare, or these checks do not know, is an error with its place.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.checks.functions import FUNCTIONS, SUBSCRIPTION
from infra.checks.resources import Resource
from infra.checks.syntax import Node, line, named, text
from infra.checks.template import Declaration, Template, UnknownConstruct, properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "+": operator.add,
    "-": operator.sub,
}


class EvaluationError(Exception):
    """An expression that has no value, with its place."""


@dataclass
class Deployment:
    """One template with its parameters. `resources` are all, those of its modules included."""

    template: Template
    given: Mapping[str, Any]
    scope: str = SUBSCRIPTION
    module: str = ""
    _values: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def resources(self) -> list[Resource]:
        found: list[Resource] = []
        for name in self.template.of("resource"):
            value = self.symbol(name)
            for each in value if isinstance(value, list) else [value]:
                if each is not None and not each.existing:
                    found.append(each)
        for name in self.template.of("module"):
            if (module := self.symbol(name)) is not None:
                found += module.resources
        return found

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return {
            name: self.value(declared.value, {})
            for name, declared in self.template.of("output").items()
            if declared.value is not None
        }

    def member(self, name: str) -> Any:
        if name == "outputs":
            return self.outputs
        raise KeyError(name)

    def symbol(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = self._declared(self.template.symbols[name])
        return self._values[name]

    def _declared(self, declared: Declaration) -> Any:
        if declared.kind == "param":
            if declared.name in self.given:
                return self.given[declared.name]
            if declared.value is None:
                raise EvaluationError(f"{self.template.file.name}: {declared.name} is not given")
        if declared.value is None:
            raise UnknownConstruct(declared.name)
        if declared.kind in ("param", "var"):
            return self.value(declared.value, {})
        make = self._resource if declared.kind == "resource" else self._module
        return self._each(declared.value, {}, lambda body, local: make(declared, body, local))

    def _each(
        self, node: Node, local: dict[str, Any], make: Callable[[Node, dict[str, Any]], Any]
    ) -> Any:
        """A body, a body under a condition (None where it does not hold), or a list of bodies."""
        if node.type == "if_statement":
            condition, body = named(node)
            return make(body, local) if self.value(condition, local) else None
        if node.type == "for_statement":
            head, values, body = named(node)
            loop = [text(part) for part in named(head)] or [text(head)]
            return [
                self._each(body, {**local, **dict(zip(loop, (item, index), strict=False))}, make)
                for index, item in enumerate(self.value(values, local))
            ]
        return make(node, local)

    def _resource(self, declared: Declaration, body: Node, local: dict[str, Any]) -> Resource:
        kind, _, api = declared.target.partition("@")
        return Resource(
            declared.name,
            kind,
            api,
            self.scope,
            self.value(body, local),
            declared.existing,
            self.module,
        )

    def _module(self, declared: Declaration, body: Node, local: dict[str, Any]) -> Deployment:
        members = {name: node for name, node in properties(body) if name != "dependsOn"}
        scope = self.value(members["scope"], local).id if "scope" in members else self.scope
        given = self.value(members["params"], local)
        template = Template.read(self.template.file.parent / declared.target)
        unknown = set(given) - set(template.of("param"))
        if unknown:
            raise EvaluationError(f"{declared.target} has no parameter {sorted(unknown)}")
        return Deployment(template, given, scope, declared.name)

    def value(self, node: Node, local: dict[str, Any]) -> Any:
        """Raises EvaluationError with the place."""
        try:
            return self._value(node, local)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            where = f"{self.template.file.name}:{line(node)}"
            raise EvaluationError(f"{where}: {text(node)[:60]}: {error!r}") from error

    def _value(self, node: Node, local: dict[str, Any]) -> Any:
        parts = named(node)
        match node.type:
            case "string":
                return self._text(node, local)
            case "number":
                return int(text(node))
            case "boolean":
                return text(node) == "true"
            case "null":
                return None
            case "identifier":
                name = text(node)
                return local[name] if name in local else self.symbol(name)
            case "object":
                return self._object(node, local)
            case "array":
                return [self.value(part, local) for part in parts]
            case "parenthesized_expression":
                return self.value(parts[0], local)
            case "ternary_expression":
                condition, yes, no = parts
                return self.value(yes if self.value(condition, local) else no, local)
            case "unary_expression":
                return not self.value(parts[0], local)
            case "binary_expression":
                return self._binary(node, local)
            case "member_expression":
                return self._member(parts[0], [text(parts[1])], local)
            case "subscript_expression":
                return self.value(parts[0], local)[self.value(parts[1], local)]
            case "call_expression":
                return self._call(node, local)
            case "lambda_expression":
                argument, body = parts
                return lambda item: self.value(body, {**local, text(argument): item})
            case "for_statement":
                return self._each(node, local, self.value)
        raise UnknownConstruct(f"{self.template.file.name}:{line(node)}: {node.type}")

    def _member(self, node: Node, path: list[str], local: dict[str, Any]) -> Any:
        """Binds the dot first, as Bicep does: to tree-sitter `a ? b : c.d` is `(a ? b : c).d`."""
        parts = named(node)
        match node.type:
            case "member_expression":
                return self._member(parts[0], [text(parts[1]), *path], local)
            case "ternary_expression":
                condition, yes, no = parts
                if self.value(condition, local):
                    return self.value(yes, local)
                return self._member(no, path, local)
            case "lambda_expression":
                name, body = parts
                return lambda item: self._member(body, path, {**local, text(name): item})
            case "binary_expression" | "unary_expression":
                raise UnknownConstruct(f"{text(node)}: put the last part into parentheses")
        value = self.value(node, local)
        for part in path:
            value = _member(value, part)
        return value

    def _text(self, node: Node, local: dict[str, Any]) -> str:
        pieces = [
            str(self.value(named(part)[0], local)) if part.type == "interpolation" else text(part)
            for part in named(node)
        ]
        return "".join(pieces)

    def _object(self, node: Node, local: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for member in named(node):
            key, value = named(member)
            name = text(key) if key.type == "identifier" else self._text(key, local)
            if name in made:
                raise ValueError(f"{name} is given twice")
            made[name] = None if name == "dependsOn" else self.value(value, local)
        return made

    def _binary(self, node: Node, local: dict[str, Any]) -> Any:
        left, right = named(node)
        sign = next(child.type for child in node.children if not child.is_named)
        if sign == "&&":
            return bool(self.value(left, local)) and bool(self.value(right, local))
        if sign == "||":
            return bool(self.value(left, local)) or bool(self.value(right, local))
        return _BINARY[sign](self.value(left, local), self.value(right, local))

    def _call(self, node: Node, local: dict[str, Any]) -> Any:
        function, arguments = named(node)
        values = [self.value(part, local) for part in named(arguments)]
        if function.type == "member_expression":
            return self.value(function, local)(*values)
        name = text(function)
        if name == "loadTextContent":
            return (self.template.file.parent / values[0]).read_text(encoding="utf-8")
        if name not in FUNCTIONS:
            raise UnknownConstruct(f"{self.template.file.name}:{line(node)}: function {name}")
        return FUNCTIONS[name](*values)


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Resource | Deployment):
        return value.member(name)
    return value[name]


def deploy(parameters: Mapping[str, Any], *, main: Path | None = None) -> Deployment:
    """The whole deployment. Raises EvaluationError or UnknownConstruct, also for what stays unread."""
    file = main or Path(__file__).parents[1] / "main.bicep"
    return Deployment(Template.read(file), parameters)
