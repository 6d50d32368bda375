"""Dead letters, reviews and ledger entries as cases: grouped by cause, and in the order to send them again.

Pure. A record is sent again once, however many cases it has. Records of one root go one after another, the
parents first, because what hangs on a record needs it; a cause is tried with a few records before the rest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

UNDECODABLE, LEDGER = "undecodable", "ledger"
KINDS = ("failed", "review", UNDECODABLE, LEDGER)
_PARENTS_FIRST = {"Account": 0, "Customer": 0, "Contact": 1, "Opportunity": 2}
_CHILDREN = 3


class Reference(Protocol):
    """What is needed of a hint."""

    @property
    def source(self) -> str: ...
    @property
    def object(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def root(self) -> str | None: ...
    @property
    def event_id(self) -> str: ...
    @property
    def replay(self) -> int: ...
    @property
    def seen_at(self) -> datetime: ...


R = TypeVar("R", bound=Reference)


@dataclass(frozen=True, slots=True)
class Cause:
    flow: str
    reason: str
    system: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(Generic[R]):
    """A record that reached its end without being in step. `id` is the number of its message, or
    `ledger/<flow>/<key>`; `number` is None for an entry of the ledger."""

    id: str
    cause: Cause
    description: str
    first: datetime
    last: datetime
    hint: R | None = None
    number: int | None = None
    attempts: int = 1

    @property
    def record(self) -> str:
        return f"{self.hint.object} {self.hint.key}" if self.hint else ""


@dataclass(frozen=True, slots=True)
class Group:
    """`records` counts each record once."""

    cause: Cause
    count: int
    records: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Unit(Generic[R]):
    """One record to send again: its newest hint, and all its cases."""

    hint: R
    cases: tuple[Case[R], ...]

    @property
    def causes(self) -> frozenset[Cause]:
        return frozenset(case.cause for case in self.cases)

    @property
    def root(self) -> str:
        return self.hint.root or self.hint.key


def grouped(cases: Iterable[Case[R]]) -> list[Group]:
    """The largest first."""
    by_cause: defaultdict[Cause, list[Case[R]]] = defaultdict(list)
    for case in cases:
        by_cause[case.cause].append(case)
    groups = [
        Group(
            cause,
            len(found),
            len({case.record or case.id for case in found}),
            min(case.first for case in found),
            max(case.last for case in found),
        )
        for cause, found in by_cause.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.cause.flow, group.cause.reason))


def units(cases: Iterable[Case[R]]) -> list[Unit[R]]:
    """One per record, in the order to send them: by root, parents first, then as they were seen."""
    records: defaultdict[tuple[str, str, str], list[Case[R]]] = defaultdict(list)
    for case in cases:
        if case.hint is not None:
            records[case.hint.source, case.hint.object, case.hint.key].append(case)
    found = [
        Unit(_newest(same), tuple(sorted(same, key=lambda case: case.first)))
        for same in records.values()
    ]
    first: dict[str, datetime] = {}
    for unit in found:
        seen = unit.cases[0].first
        first[unit.root] = min(seen, first.get(unit.root, seen))
    return sorted(
        found,
        key=lambda unit: (
            first[unit.root],
            unit.root,
            _PARENTS_FIRST.get(unit.hint.object, _CHILDREN),
            unit.cases[0].first,
            unit.hint.key,
        ),
    )


def _newest(cases: Sequence[Case[R]]) -> R:
    hints = [case.hint for case in cases if case.hint is not None]
    # An entry leaves the ledger by the event id of its own hint.
    return max(
        hints, key=lambda hint: (hint.event_id.startswith(LEDGER), hint.replay, hint.seen_at)
    )


def canaries(ordered: Sequence[Unit[R]], count: int) -> list[Unit[R]]:
    """The first records of each cause, at most `count`, each of another root and none behind another."""
    chosen: list[Unit[R]] = []
    taken: defaultdict[Cause, int] = defaultdict(int)
    for unit in waves(ordered)[0] if ordered else []:
        if any(taken[cause] < count for cause in unit.causes):
            chosen.append(unit)
            for cause in unit.causes:
                taken[cause] += 1
    return chosen


def waves(ordered: Iterable[Unit[R]]) -> list[list[Unit[R]]]:
    """The first record of each root, then the second of each, and so on: a wave begins when the one before
    it has ended."""
    rank: defaultdict[str, int] = defaultdict(int)
    found: list[list[Unit[R]]] = []
    for unit in ordered:
        place = rank[unit.root]
        rank[unit.root] += 1
        if place == len(found):
            found.append([])
        found[place].append(unit)
    return found
