"""Sorted values of an indexed property, so that a page of a big table is found without sorting it.

Clients read whole tables page by page with `$orderby` and a filter for what follows the last row. F&O's
database answers that from an index; here the distinct values of an indexed property are kept sorted, and
each value leads to its few rows through the index the table has anyway.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox.d365.ranges import Bound

# Beyond this share of touched values one sort costs less than single insertions
_REBUILD_SHARE = 0.01


class Ordered:
    """`entries`: (value,) or, with `by_company`, (company, value), each once.

    Changes are only noted; the next walk works them in.
    """

    def __init__(
        self, index: Mapping[str, Mapping[tuple[str, ...], None]], *, by_company: bool
    ) -> None:
        self._index = index
        self._by_company = by_company
        self._entries: list[tuple[str, ...]] = []
        self._companies: set[str] = set()
        self._touched: set[str] | None = None  # None: never built

    def touched(self, *values: str | None) -> None:
        if self._touched is not None:
            self._touched.update(value for value in values if value is not None)

    def walk(self, low: Bound, high: Bound | None) -> Iterator[tuple[tuple[str, ...], list[tuple]]]:
        """Entries from `low` to `high` inclusive, each with the keys of its rows."""
        self._refresh()
        entries, index = self._entries, self._index
        for position in range(bisect_left(entries, low), len(entries)):
            entry = entries[position]
            if high is not None and entry > high and entry[: len(high)] != high:
                return
            keys = index[entry[-1]]
            if self._by_company:
                yield entry, [key for key in keys if key[0] == entry[0]]
            else:
                yield entry, list(keys)

    def _refresh(self) -> None:
        touched = self._touched
        if touched is None or len(touched) > max(100, _REBUILD_SHARE * len(self._entries)):
            self._rebuild()
        else:
            for value in touched:
                self._work_in(value)
        self._touched = set()

    def _rebuild(self) -> None:
        if not self._by_company:
            self._entries = [(value,) for value in sorted(self._index)]
            return
        pairs = {(key[0], value) for value, keys in self._index.items() for key in keys}
        self._companies = {company for company, _ in pairs}
        self._entries = sorted(pairs)

    def _work_in(self, value: str) -> None:
        keys = self._index.get(value, {})
        present = (
            {(key[0], value) for key in keys} if self._by_company else {(value,)} if keys else set()
        )
        self._companies.update(entry[0] for entry in present if self._by_company)
        known = (
            {(company, value) for company in self._companies} if self._by_company else {(value,)}
        )
        for entry in known:
            position = bisect_left(self._entries, entry)
            there = position < len(self._entries) and self._entries[position] == entry
            if entry in present and not there:
                insort(self._entries, entry)
            elif there and entry not in present:
                del self._entries[position]
