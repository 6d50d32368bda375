"""Looks up the names of a query: fields, parents, children, functions.

An `Operand` is something with a type and a value per row; of a grouped query, per group of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import addresses
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.schema import NUMBER_TYPES, Field, ObjectType
from sandbox.salesforce.soql_syntax import at, malformed
from sandbox.salesforce.soql_tree import FieldPath, Func

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.salesforce.org import Org
    from sandbox.salesforce.store import Row, Table

AGGREGATES = frozenset({"COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG"})


@dataclass(frozen=True)
class Operand:
    name: str
    field: Field | None
    type: str
    get: Callable[[Any], Any]
    direct: bool = False
    """True for a field of the queried object itself, not of a parent."""

    @property
    def cased(self) -> bool:
        return self.field is not None and self.field.cased


@dataclass(frozen=True)
class Scope:
    """One object being queried, and the text for error messages."""

    org: Org
    obj: ObjectType
    text: str
    alias: str | None = None

    @property
    def table(self) -> Table:
        return self.org.store.tables[self.obj.name]

    def steps(self, path: FieldPath) -> tuple[list[Field], ObjectType, Field]:
        """The lookups to follow, the object they lead to, and the field there."""
        parts = path.parts
        own = {self.obj.name.lower(), (self.alias or "").lower()}
        if len(parts) > 1 and parts[0].lower() in own:
            parts = parts[1:]
        obj, lookups = self.obj, []
        for part in parts[:-1]:
            lookup = obj.relationships.get(part.lower())
            if lookup is None or lookup.to is None:
                raise self._invalid(
                    path,
                    f"Didn't understand relationship '{part}' in field path. "
                    "If you are attempting to use a custom relationship, be sure to "
                    "append the '__r' after the custom relationship name. Please "
                    "reference your WSDL or the describe call for the appropriate "
                    "names.",
                )
            lookups.append(lookup)
            obj = self.org.schema.objects[lookup.to]
        field = obj.find(parts[-1])
        if field is None:
            raise self._invalid(
                path,
                f"No such column '{parts[-1]}' on entity '{obj.name}'. If you "
                "are attempting to use a custom field, be sure to append the '__c' "
                "after the custom field name. Please reference your WSDL or the "
                "describe call for the appropriate names.",
            )
        return lookups, obj, field

    def operand(self, operand: FieldPath | Func) -> Operand:
        if isinstance(operand, Func):
            raise malformed(at(self.text, operand.position, f"unexpected function {operand.name}"))
        lookups, obj, field = self.steps(operand)
        value = leaf(obj, field)
        tables = [self.org.store.tables[lookup.to or ""] for lookup in lookups]

        def get(row: Row) -> Any:
            for lookup, table in zip(lookups, tables, strict=True):
                above = table.any(row.get(lookup.name, ""))
                if above is None:
                    return None
                row = above
            return value(row)

        return Operand(
            name=field.name,
            field=field,
            type=field.type,
            get=get if lookups else value,
            direct=not lookups,
        )

    def child(self, path: FieldPath) -> tuple[ObjectType, Field]:
        """The object and lookup behind a child relationship name."""
        wanted = path.text.lower()
        for obj, field in self.org.schema.children(self.obj):
            if field.children and field.children.lower() == wanted:
                return obj, field
        raise ApiError.plain(
            "INVALID_TYPE",
            at(
                self.text,
                path.position,
                f"Didn't understand relationship '{path.text}' in FROM "
                "part of query call. If you are attempting to use a custom relationship, be sure to "
                "append the '__r' after the custom relationship name. Please reference your WSDL or "
                "the describe call for the appropriate names.",
            ),
        )

    def _invalid(self, path: FieldPath, message: str) -> ApiError:
        return ApiError.plain("INVALID_FIELD", at(self.text, path.position, message))


def leaf(obj: ObjectType, field: Field) -> Callable[[Row], Any]:
    name = field.name
    prefix = addresses.is_compound(obj, name)
    if prefix is None:
        return lambda row: row.get(name)
    return lambda row: addresses.compound(obj, prefix, row)


@dataclass(frozen=True)
class GroupScope:
    """Operands of a grouped query: a value is computed from the rows of one group."""

    scope: Scope
    grouped: tuple[str, ...]
    """Lower-case paths of GROUP BY."""

    def operand(self, operand: FieldPath | Func) -> Operand:
        if isinstance(operand, Func):
            return self._aggregate(operand)
        found = self.scope.operand(operand)
        if operand.text.lower() not in self.grouped:
            raise malformed(
                at(
                    self.scope.text,
                    operand.position,
                    f"Field must be grouped or aggregated: {operand.text}",
                )
            )
        return replace(found, get=lambda rows: found.get(rows[0]), direct=False)

    def _aggregate(self, func: Func) -> Operand:
        text = self.scope.text
        if func.name not in AGGREGATES:
            raise malformed(at(text, func.position, f"unknown function {func.name}"))
        if func.argument is None:
            if func.name != "COUNT":
                raise malformed(at(text, func.position, f"{func.name} needs a field"))
            return Operand("COUNT", None, "int", len)
        inner = self.scope.operand(func.argument)
        if func.name in ("SUM", "AVG") and inner.type not in NUMBER_TYPES:
            raise ApiError.plain(
                "INVALID_FIELD",
                at(
                    text,
                    func.position,
                    f"field {inner.name} does not support aggregate operator {func.name}",
                ),
            )
        compute = _COMPUTE[func.name]
        kept = inner.type if func.name in ("MIN", "MAX") else "double"

        def get(rows: list[Row]) -> Any:
            return compute([value for row in rows if (value := inner.get(row)) is not None])

        return Operand(inner.name, None, kept, get)


_COMPUTE: dict[str, Callable[[list[Any]], Any]] = {
    "COUNT": len,
    "COUNT_DISTINCT": lambda v: len({x.lower() if isinstance(x, str) else x for x in v}),
    "MIN": lambda v: min(v, default=None),
    "MAX": lambda v: max(v, default=None),
    "SUM": lambda v: sum(v) if v else None,
    "AVG": lambda v: sum(v) / len(v) if v else None,
}
