"""Which rows of an import F&O refused and why, put together from what it tells about a run.

Three sources, none of them complete (F&O contract 6.1): the error-keys file (rows refused on their way to
the target), the staging-error file (on their way into staging) and the messages of GetExecutionErrors. The
files name rows by column values; the messages carry a `RecordId` whose meaning is not documented. A message
is given to a row only where that is certain, otherwise the row's failure stays without a reason.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integration.d365.values import json_loads
from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from integration.d365.package_csv import CsvFile
    from integration.d365.packages import PackageTable

MESSAGES_KEPT = 50_000
_TEXT_LIMIT = 1000
_RECORD = ("RECORDID", "RECORD", "ROWNUMBER", "ROW")
_FIELD = ("FIELD", "FIELDNAME", "ERRORFIELD", "COLUMN")
_TEXT = ("ERRORMESSAGE", "MESSAGE", "ERROR", "ERRORTEXT", "ERRORDESCRIPTION", "ERRORLOG")

Values = tuple[str, ...]


@dataclass(slots=True)
class Reason:
    field: str = ""
    message: str = ""

    def add(self, other: Reason) -> None:
        self.field = self.field or other.field
        if other.message and other.message not in self.message:
            text = f"{self.message}; {other.message}" if self.message else other.message
            self.message = text[:_TEXT_LIMIT]


@dataclass(frozen=True, slots=True)
class Message:
    record: str
    reason: Reason


@dataclass(slots=True)
class _Group:
    """Refused rows of one file, by the values of the columns that identify them."""

    places: tuple[int, ...]  # of those columns in our rows
    is_key: bool
    reasons: dict[Values, Reason] = field(default_factory=dict)
    sources: dict[Values, list[Values]] = field(default_factory=lambda: defaultdict(list))
    spelled: dict[Values, Values] = field(default_factory=dict)


def read_messages(text: str) -> list[Message]:
    """The list in the answer of GetExecutionErrors, in any letter case; text that is no list is one
    message of no row."""
    if not text.strip():
        return []
    try:
        items = json_loads(text)
    except ContractError:
        items = [text]
    if not isinstance(items, list):
        items = [items]
    found = [_message(item) for item in items[:MESSAGES_KEPT]]
    return [message for message in found if message.reason.message or message.reason.field]


def _message(item: Any) -> Message:
    if not isinstance(item, dict):
        return Message("", Reason(message=str(item).strip()[:_TEXT_LIMIT]))
    named = {_plain(str(name)): str(value).strip() for name, value in item.items() if value}
    return Message(_first(named, _RECORD), _reason(named))


def _reason(named: dict[str, str]) -> Reason:
    return Reason(_first(named, _FIELD)[:100], _first(named, _TEXT)[:_TEXT_LIMIT])


class Refusals:
    """Collects what was refused, then finds the source rows. Memory grows with the refused rows only."""

    def __init__(self, table: PackageTable, messages: Iterable[Message]) -> None:
        self._table = table
        self._messages = list(messages)
        self._rows_wanted = {
            int(message.record)
            for message in self._messages
            if message.record.isdecimal() and len(message.record) < 12
        }
        self._groups: list[_Group] = []
        self._row_keys: dict[int, Values] = {}
        self._key = tuple(table.headers.index(header) for header in table.key)
        self._at = 0
        self.unclear = False  # F&O refused rows that cannot be told

    def read_file(self, file: CsvFile) -> None:
        """An error file; columns in any order, more or fewer than ours."""
        ours = {_plain(header): place for place, header in enumerate(self._table.headers)}
        named = [_plain(header) for header in file.headers]
        key = [_plain(header) for header in self._table.key]
        is_key = set(key) <= set(named)
        columns = key if is_key else [name for name in named if name in ours]
        places = [named.index(name) for name in columns]
        others = [(place, name) for place, name in enumerate(named) if name not in ours]
        group = _Group(tuple(ours[name] for name in columns), is_key)
        for row in file:
            values = _values(row, places)
            if not any(values):
                self.unclear = True
                continue
            folded = _folded(values)
            reason = _reason({name: row[at].strip() for at, name in others if at < len(row)})
            group.reasons.setdefault(folded, Reason()).add(reason)
            group.spelled.setdefault(folded, values)
        self._groups.append(group)

    def read_source(self, rows: Iterable[Sequence[str]]) -> None:
        """The rows that were sent, in their order, piece by piece."""
        for row in rows:
            self._at += 1
            if self._at in self._rows_wanted:
                self._row_keys[self._at] = _values(row, self._key)
            for group in self._groups:
                folded = _folded(_values(row, group.places))
                if folded in group.reasons:
                    group.sources[folded].append(_values(row, self._key))

    def failures(self) -> dict[Values, Reason]:
        """The refused rows by their key values. Sets `unclear` where some cannot be told."""
        found: dict[Values, Reason] = {}
        for group in self._groups:
            for folded, reason in group.reasons.items():
                sources = group.sources.get(folded, [])
                if not sources and group.is_key:
                    sources = [group.spelled[folded]]  # as F&O spells it
                if not sources or (len(sources) > 1 and not group.is_key):
                    self.unclear = True
                    continue
                for key in sources:
                    found.setdefault(key, Reason()).add(reason)
        self._explain(found)
        return found

    def summary(self) -> str:
        """The first words of F&O about the run, for people."""
        texts = dict.fromkeys(message.reason.message for message in self._messages)
        return "; ".join([text for text in texts if text][:3])[:_TEXT_LIMIT]

    def _explain(self, found: dict[Values, Reason]) -> None:
        """`RecordId` as row number is a guess: it holds if every one of them is a refused row."""
        numbers = {number for number in self._rows_wanted if number > 0}
        guess_holds = bool(numbers) and all(self._row_keys.get(n) in found for n in numbers)
        single: dict[Values, Values] = {_folded(key): key for key in found if len(key) == 1}
        for message in self._messages:
            key: Values | None = single.get(_folded((message.record,)))
            if key is None and guess_holds and message.record.isdecimal():
                key = self._row_keys.get(int(message.record))
            if key is not None and key in found:
                found[key].add(message.reason)


def _plain(name: str) -> str:
    return name.strip().upper().replace(" ", "").replace("_", "")


def _first(named: dict[str, str], names: Sequence[str]) -> str:
    return next((named[name] for name in names if named.get(name)), "")


def _values(row: Sequence[str], places: Sequence[int]) -> Values:
    return tuple(row[place] if place < len(row) else "" for place in places)


def _folded(values: Values) -> Values:
    """F&O compares keys without regard to case and cuts blanks off their ends."""
    return tuple(value.strip().casefold() for value in values)
