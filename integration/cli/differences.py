"""What a run would do with one record, field by field: source, mapped and current value, and the decision.

Values stay hidden unless they are asked for: then only their kind and length are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.cli.output import many
from integration.flows.orders import LINE_ITEMS
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped, Synced, WouldChange
from integration.mapping.tables import FieldProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from integration.cli.tables import Effective
    from integration.flows.flow import Record
    from integration.mapping.tables import Change, FieldRule

Lines = list["FieldLine"]
_UNKNOWN = object()  # in step, so what the target holds need not be shown


@dataclass(frozen=True, slots=True)
class FieldLine:
    """`source` is the name of the field the value comes from; current None: nothing is there yet."""

    target: str
    source: str
    value: Any
    mapped: Any
    current: Any
    decision: str

    @property
    def differs(self) -> bool:
        return self.decision in (CREATE, UPDATE, BACK, PROBLEM)


CREATE, UPDATE, BACK, PROBLEM = "create with", "update", "write back", "refused"
SAME, ONLY_CREATION, NOT_COMPARED = "in step", "only on creation", "not compared"


def summary(outcome: Outcome) -> str:
    """In one sentence."""
    match outcome:
        case Synced():
            return "in step; nothing would be written"
        case WouldChange("create", differences):
            return f"would be created, {many(len(differences), 'field')}"
        case WouldChange("update", differences):
            return f"would be updated, {many(len(differences), 'field')}"
        case WouldChange(_, differences):
            return f"{many(len(differences), 'field')} would be written back to the source"
        case Skipped(reason, detail):
            return f"would be skipped: {reason}{f' ({detail})' if detail else ''}"
        case Moved(_, key):
            return f"belongs to {key}, which would be handled"
        case Failed(error):
            reason = getattr(error, "reason", "unexpected")
            text = getattr(error, "description", type(error).__name__)
            return f"would fail: {reason}: {text}"
    raise TypeError(outcome)


def lines(tables: Sequence[Effective], record: Record | None, outcome: Outcome) -> Lines:
    """All fields of the record's tables, the changed ones as the flow itself has found them."""
    if record is None:
        return []
    operation = outcome.operation if isinstance(outcome, WouldChange) else ""
    open_ = {
        change.field: change
        for change in (outcome.differences if isinstance(outcome, WouldChange) else ())
    }
    found: Lines = []
    judged = isinstance(outcome, WouldChange | Synced)
    for table, row, prefix in _rows(tables, record):
        for rule in table.table.rules:
            line = _line(table, rule, row, prefix, open_, operation, judged=judged)
            if line is not None:
                found.append(line)
    # What a flow adds of its own: a key, a company, the lines of an order.
    return found + [_extra(change, operation) for change in open_.values()]


def _rows(
    tables: Sequence[Effective], record: Record
) -> Iterable[tuple[Effective, Mapping[str, Any], str]]:
    """Each table with the source rows it maps, and what the flow puts before its field names."""
    first, rest = tables[0], tables[1:]
    if "invoices" in record:  # of F&O: header and lines put together
        for invoice in record["invoices"]:
            yield first, invoice.header, f"{first.table.source_object}."
        return
    yield first, record, ""
    for table in rest:
        if table.table.source_object == "OpportunityLineItem":
            for item in record.get(LINE_ITEMS, ()):
                yield table, item, f"{item.get('Id')}."


def _line(
    table: Effective,
    rule: FieldRule,
    row: Mapping[str, Any],
    prefix: str,
    open_: dict[str, Change],
    operation: str,
    *,
    judged: bool,
) -> FieldLine | None:
    if table.back:
        return _back_line(rule, row, prefix, open_, operation, judged=judged)
    if not rule.applies_to(row):
        return None
    source, value = _source(rule, row)
    mapped = rule.map(row)
    target = f"{prefix}{rule.target}"
    if isinstance(mapped, FieldProblem):
        return FieldLine(target, source, value, mapped.problem, None, PROBLEM)
    if mapped is None:
        return None
    change = open_.pop(target, None)
    if change is not None:
        return FieldLine(target, source, value, change.new, change.current, _verb(operation))
    if rule.on == "create" and operation != "create":
        return FieldLine(target, source, value, mapped, _UNKNOWN, ONLY_CREATION)
    return FieldLine(
        target, source, value, mapped, _UNKNOWN, _rest(operation, judged=judged, line=bool(prefix))
    )


def _back_line(
    rule: FieldRule,
    row: Mapping[str, Any],
    prefix: str,
    open_: dict[str, Change],
    operation: str,
    *,
    judged: bool,
) -> FieldLine | None:
    if not rule.sources or rule.target not in row:
        return None
    target, value = f"{prefix}{rule.sources[0]}", row[rule.target]
    change = open_.pop(target, None)
    if change is not None:
        return FieldLine(target, rule.target, value, change.new, change.current, _verb(operation))
    mapped = rule.transform.back(value)
    return FieldLine(
        target, rule.target, value, mapped, _UNKNOWN, _rest(operation, judged=judged, line=False)
    )


def _extra(change: Change, operation: str) -> FieldLine:
    return FieldLine(change.field, "-", None, change.new, change.current, _verb(operation))


def _rest(operation: str, *, judged: bool, line: bool) -> str:
    """Of a field that is not among the differences."""
    if not judged:
        return NOT_COMPARED
    return "sent with the line" if line and operation else SAME


def _verb(operation: str) -> str:
    return {"create": CREATE, "update": UPDATE}.get(operation, BACK)


def _source(rule: FieldRule, row: Mapping[str, Any]) -> tuple[str, Any]:
    filled = (name for name in rule.sources if row.get(name) not in (None, ""))
    name = next(filled, rule.sources[0] if rule.sources else "-")
    return name, row.get(name)


def shown(value: Any, *, values: bool) -> str:
    """A value, or what may be told of it."""
    if value is _UNKNOWN:
        return "="
    if value is None:
        return ""
    if values:
        return str(value)
    if isinstance(value, str):
        return f"text of {len(value)}" if value else "empty"
    return type(value).__name__ if isinstance(value, bool) else "number"


def as_json(line: FieldLine, *, values: bool) -> dict[str, Any]:
    same = line.current is _UNKNOWN
    return {
        "field": line.target,
        "source": line.source,
        "source_value": line.value if values else shown(line.value, values=False),
        "mapped": line.mapped if values else shown(line.mapped, values=False),
        "current": (line.mapped if values else shown(line.mapped, values=False))
        if same and line.decision == SAME
        else None
        if same
        else (line.current if values else shown(line.current, values=False)),
        "decision": line.decision,
    }
