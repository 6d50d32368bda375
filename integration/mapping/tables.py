"""The mapping table: one line per field, and everything that follows from it.

From the same lines come the fields to read on both sides, the mapped values, the differences and the
documentation. Each field has one owner. A field of Salesforce is written to F&O: always, or (`on =
"create"`) only when the record is created there. A field of F&O is never written to F&O; where its line
names a Salesforce field, the value goes back there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from integration.errors import RecordRejected
from integration.mapping.values import Comparison, TransformError, Value, is_empty, length_of, same

if TYPE_CHECKING:
    from integration.mapping.transform import Transform

Record = Mapping[str, object]
Owner = Literal["salesforce", "d365"]
MAPPING_REASON = "mapping"
_SELECT_IT = "let the integration user see the field, or give it a default in the mapping file"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """Why one field cannot be carried over. Holds no value (except a country's name)."""

    field: str
    sources: tuple[str, ...]
    problem: str
    remedy: str

    def __str__(self) -> str:
        origin = f" (from {' or '.join(self.sources)})" if self.sources else ""
        return f"{self.field}{origin} {self.problem}; {self.remedy}"


def rejection(problems: Iterable[FieldProblem]) -> RecordRejected:
    """One error for all problems of a record."""
    return RecordRejected(". ".join(map(str, problems)), reason=MAPPING_REASON)


@dataclass(frozen=True, slots=True)
class Condition:
    """Which records a line is for. `name` is for the documentation; `reads` are the fields that decide."""

    name: str
    holds: Callable[[Record], bool]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One line: the first `source` that is not empty → `transform` → `target`.

    `beside` names fields the transform looks at as well (a state's country). `max_length` is what the
    target holds. `compare` overrides the comparison the transform brings.
    """

    source: str | tuple[str, ...]
    target: str
    transform: Transform
    owner: Owner = "salesforce"
    on: Literal["always", "create"] = "always"
    note: str = ""
    max_length: int | None = None
    compare: Comparison | None = None
    required: bool = False
    beside: tuple[str, ...] = ()
    condition: Condition | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Empty for a line without a Salesforce field."""
        names = (self.source,) if isinstance(self.source, str) else self.source
        return tuple(name for name in names if name)

    @property
    def comparison(self) -> Comparison:
        return self.compare or self.transform.compare

    @property
    def length(self) -> int | None:
        return self.max_length or self.transform.length

    @property
    def is_written(self) -> bool:
        return self.owner == "salesforce"

    def applies_to(self, record: Record) -> bool:
        return self.is_written and (self.condition is None or self.condition.holds(record))

    def map(self, record: Record) -> Value | FieldProblem:
        """The target's value. None: the record was read without the field, so nothing is said of it."""
        known = [name for name in self.sources if name in record]
        missing = self.transform.uses_source and not known
        if missing and not self.transform.fills:
            return self._problem("was not read", _SELECT_IT) if self.required else None
        try:
            value = self.transform.forward(
                _first_filled(record, known), _first_filled(record, self.beside)
            )
        except TransformError as error:
            return self._problem(error.problem, error.remedy)
        if is_empty(value) and self.required:
            return self._problem("is empty", "fill it in Salesforce, or give the field a default")
        if isinstance(value, str) and self.length and length_of(value) > self.length:
            return self._problem(
                f"is {length_of(value)} characters long, F&O holds {self.length}",
                f"shorten it, or use cut({self.length}) in the mapping file if losing the end is right",
            )
        return value

    def _problem(self, problem: str, remedy: str) -> FieldProblem:
        return FieldProblem(self.target, self.sources, problem, remedy)


def _first_filled(record: Record, names: Iterable[str]) -> object:
    return next((record[name] for name in names if not is_empty(record.get(name))), None)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A record in the target's terms: `values` to keep equal, `create_only` for its creation."""

    values: dict[str, Value]
    create_only: dict[str, Value]
    problems: list[FieldProblem] = field(default_factory=list)

    def rejection(self) -> RecordRejected | None:
        """One error that names every field in trouble, None if there is none."""
        return rejection(self.problems) if self.problems else None

    def for_creation(self) -> dict[str, Value]:
        """What a create sends: empty values are left to the server's own defaults."""
        both = {**self.create_only, **self.values}
        return {name: value for name, value in both.items() if not is_empty(value)}


@dataclass(frozen=True, slots=True)
class Change:
    """One field to write. The audit keeps the name only."""

    field: str
    current: object
    new: Value


@dataclass(frozen=True)
class MappingTable:
    """`optional_sources` are fields an org has or has not, depending on its features."""

    name: str
    source_object: str
    target_entity: str
    rules: tuple[FieldRule, ...]
    target_keys: tuple[str, ...] = ()
    optional_sources: frozenset[str] = frozenset()

    def source_fields(self, available: Collection[str] | None = None) -> tuple[str, ...]:
        """What to SELECT. Optional fields only where `available` (the org's describe) has them."""
        wanted = dict.fromkeys(
            name for rule in self.rules for name in (*rule.sources, *rule.beside)
        )
        optional = self.optional_sources - set(available or ())
        return tuple(name for name in wanted if name not in optional)

    def target_fields(self) -> tuple[str, ...]:
        """What to $select: the keys, what is compared, and what goes back."""
        compared = (
            rule.target
            for rule in self.rules
            if (rule.is_written and rule.on == "always") or (not rule.is_written and rule.sources)
        )
        return tuple(dict.fromkeys((*self.target_keys, *compared)))

    def apply(self, record: Record) -> Mapped:
        """The record in the target's terms. Total: whatever is wrong is in `problems`, all of it."""
        mapped = Mapped({}, {})
        for rule in self.rules:
            if not rule.applies_to(record):
                continue
            value = rule.map(record)
            if isinstance(value, FieldProblem):
                mapped.problems.append(value)
            elif value is not None:
                (mapped.create_only if rule.on == "create" else mapped.values)[rule.target] = value
        return mapped

    def apply_back(self, current: Record) -> Mapped:
        """The fields F&O owns, as Salesforce takes them: values by Salesforce field."""
        mapped = Mapped({}, {})
        for rule in self.rules:
            if rule.is_written or not rule.sources or rule.target not in current:
                continue
            try:
                mapped.values[rule.sources[0]] = rule.transform.back(current[rule.target])
            except TransformError as error:
                mapped.problems.append(
                    FieldProblem(rule.sources[0], (rule.target,), error.problem, error.remedy)
                )
        return mapped

    def differences(self, mapped: Mapped, current: Record) -> list[Change]:
        """What to write over `current`, of the fields in `mapped.values` alone.

        Works in both directions; create-only fields and fields of the other owner never appear.
        """
        comparisons = {
            (rule.target if rule.is_written else rule.sources[0]): rule.comparison
            for rule in self.rules
            if rule.is_written or rule.sources
        }
        return [
            Change(name, current.get(name), new)
            for name, new in mapped.values.items()
            if not same(current.get(name), new, comparisons.get(name, "exact"))
        ]
