"""Runs a parsed query: which rows, in which order, and how each is written.

The result keeps the rows, not their JSON; a page is rendered when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.rows import attributes
from sandbox.salesforce.soql_fields import AGGREGATES, GroupScope, Operand, Scope, leaf
from sandbox.salesforce.soql_filter import candidates, compile_condition
from sandbox.salesforce.soql_order import slice_rows, sort_rows
from sandbox.salesforce.soql_syntax import at, malformed, parse
from sandbox.salesforce.soql_tree import FieldItem, FieldPath, Func, Query

if TYPE_CHECKING:
    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import Field, ObjectType
    from sandbox.salesforce.store import Row

LARGEST_OFFSET = 2000
Write = Callable[[Any], dict[str, Any]]


@dataclass
class Result:
    total: int
    rows: list[Any]
    write: Write
    long_texts: int = 0
    """How many long text fields are selected: two or more make pages smaller."""


@dataclass
class _Parent:
    """The selected fields of one object and, below them, of its parents and children."""

    obj: ObjectType
    lookup: Field | None = None
    leaves: dict[str, Callable[[Row], Any]] = field(default_factory=dict)
    parents: dict[str, _Parent] = field(default_factory=dict)


def run(org: Org, text: str, base: str, *, deleted: bool = False) -> Result:
    """`deleted` is queryAll. Raises ApiError for whatever is wrong with the text."""
    query = parse(text)
    obj = org.schema.find(query.source.text)
    if obj is None:
        name = query.source.text
        message = (
            f"sObject type '{name}' is not supported. If you are attempting to use a custom "
            "object, be sure to append the '__c' after the entity name. Please reference your WSDL "
            "or the describe call for the appropriate names."
        )
        raise ApiError.plain("INVALID_TYPE", at(text, query.source.position, message))
    return _Runner(org, text, base, deleted).run(Scope(org, obj, text, query.alias), query)


@dataclass(frozen=True)
class _Runner:
    org: Org
    text: str
    base: str
    deleted: bool

    def run(self, scope: Scope, query: Query, within: list[str] | None = None) -> Result:
        """`within` are the ids of one parent's children."""
        if query.offset > LARGEST_OFFSET:
            raise ApiError.plain(
                "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {LARGEST_OFFSET}"
            )
        only_count = (
            len(query.items) == 1
            and isinstance(query.items[0], Func)
            and query.items[0].name == "COUNT"
            and query.items[0].argument is None
        )
        if only_count and not query.group:
            count = len(slice_rows(query, self._matching(scope, query, within)))
            return Result(count, [], lambda row: row)
        if query.group or any(isinstance(i, Func) and i.name in AGGREGATES for i in query.items):
            return self._grouped(scope, query)
        write, long_texts = self._writer(scope, query)
        rows = sort_rows(scope, query.order, self._matching(scope, query, within))
        rows = slice_rows(query, rows)
        return Result(len(rows), rows, write, long_texts)

    def _matching(self, scope: Scope, query: Query, within: list[str] | None) -> list[Row]:
        table = scope.table
        test = (
            None if query.where is None else compile_condition(scope, query.where, self._semi_join)
        )
        found = within
        if found is None and not self.deleted:
            found = candidates(scope, query.where)
        rows: Iterable[Row]
        if found is not None:
            # In the order of the ids, not of the list that was asked for.
            rows = [table.rows[i] for i in sorted(found) if i in table.rows]
        else:
            rows = table.everything() if self.deleted else table.rows.values()
        return [row for row in rows if test(row)] if test else list(rows)

    def _semi_join(self, query: Query) -> set[Any]:
        obj = self.org.schema.find(query.source.text)
        if obj is None or len(query.items) != 1 or not isinstance(query.items[0], FieldItem):
            raise malformed("A semi join sub-select must select one field of an object")
        scope = Scope(self.org, obj, self.text, query.alias)
        get = scope.operand(query.items[0].path).get
        rows = slice_rows(query, self._matching(scope, query, None))
        return {value for row in rows if (value := get(row)) is not None}

    # --- plain rows -------------------------------------------------------------------------------

    def _writer(self, scope: Scope, query: Query) -> tuple[Write, int]:
        root = _Parent(scope.obj)
        children: dict[str, Write] = {}
        long_texts = 0
        for item in query.items:
            if isinstance(item, Query):
                name, write = self._child(scope, item)
                children[name] = write
            elif isinstance(item, Func):
                self._function(scope, query, root, item)
            else:
                long_texts += self._select(scope, root, item.path)
        if not root.leaves and not root.parents and not children:
            raise malformed("unexpected token: 'FROM'")

        def write_row(row: Row) -> dict[str, Any]:
            out = self._write_parent(root, row)
            for name, child in children.items():
                out[name] = child(row)
            return out

        return write_row, long_texts

    def _write_parent(self, parent: _Parent, row: Row) -> dict[str, Any]:
        out: dict[str, Any] = {"attributes": attributes(parent.obj.name, row["Id"], self.base)}
        for name, get in parent.leaves.items():
            out[name] = get(row)
        for name, above in parent.parents.items():
            assert above.lookup is not None
            found = self.org.store.tables[above.obj.name].any(row.get(above.lookup.name, ""))
            out[name] = self._write_parent(above, found) if found else None
        return out

    def _select(self, scope: Scope, root: _Parent, path: FieldPath) -> bool:
        lookups, obj, chosen = scope.steps(path)
        node = root
        for lookup in lookups:
            name = lookup.relationship or ""
            above = self.org.schema.objects[lookup.to or ""]
            node = node.parents.setdefault(name, _Parent(above, lookup))
        if chosen.name in node.leaves:
            message = f"duplicate field selected: {path.text}"
            raise ApiError.plain("INVALID_FIELD", at(self.text, path.position, message))
        node.leaves[chosen.name] = leaf(obj, chosen)
        return chosen.long_text

    def _function(self, scope: Scope, query: Query, root: _Parent, func: Func) -> None:
        argument = func.argument
        if func.name == "FIELDS" and argument is not None:
            kind = argument.text.upper()
            if kind not in ("ALL", "STANDARD", "CUSTOM"):
                raise malformed(at(self.text, argument.position, f"unknown FIELDS({kind})"))
            if kind != "STANDARD" and not 0 < (query.limit or 0) <= 200:
                raise malformed("The SOQL FIELDS function must have a LIMIT of at most 200")
            for chosen in scope.obj.fields.values():
                if kind == "ALL" or chosen.custom is (kind == "CUSTOM"):
                    root.leaves.setdefault(chosen.name, leaf(scope.obj, chosen))
        elif func.name == "TOLABEL" and argument is not None:
            found = scope.operand(argument)
            root.leaves[func.alias or found.name] = found.get
        else:
            raise malformed(at(self.text, func.position, f"unknown function {func.name}"))

    def _child(self, scope: Scope, query: Query) -> tuple[str, Write]:
        obj, lookup = scope.child(query.source)
        child = Scope(self.org, obj, self.text, query.alias)
        self._writer(child, query)  # names are checked even when there is no row

        def write(row: Row) -> Any:
            found = self.run(child, query, child.table.ids_with(lookup, row["Id"]))
            if not found.rows:
                return None
            records = [found.write(r) for r in found.rows]
            return {"totalSize": found.total, "done": True, "records": records}

        return lookup.children or "", write

    # --- groups -----------------------------------------------------------------------------------

    def _grouped(self, scope: Scope, query: Query) -> Result:
        keys = [scope.operand(path) for path in query.group]
        names = GroupScope(scope, tuple(path.text.lower() for path in query.group))
        columns: dict[str, Operand] = {}
        unnamed = 0
        for item in query.items:
            if isinstance(item, Query):
                raise malformed("Sub-queries are not allowed in a grouped query")
            operand = names.operand(item if isinstance(item, Func) else item.path)
            if item.alias is None and isinstance(item, Func):
                columns[f"expr{unnamed}"] = operand
                unnamed += 1
            else:
                columns[item.alias or operand.name] = operand
        groups: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): []}
        for row in self._matching(scope, query, None):
            values = (key.get(row) for key in keys)
            group = tuple(v.lower() if isinstance(v, str) else v for v in values)
            groups.setdefault(group, []).append(row)
        rows = list(groups.values())
        if query.having is not None:
            test = compile_condition(names, query.having, self._semi_join)
            rows = [group for group in rows if test(group)]
        rows = slice_rows(query, sort_rows(names, query.order, rows))

        def write(group: list[Row]) -> dict[str, Any]:
            values = {name: operand.get(group) for name, operand in columns.items()}
            return {"attributes": {"type": "AggregateResult"}, **values}

        return Result(len(rows), rows, write)
