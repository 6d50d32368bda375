"""`ProductMapping.map` for hundreds of thousands of items: the same answer as cells of a CSV row.

Nearly every text of an item is plain (printable, no blank at its end, short), and the table's transforms
leave a plain text as it is. Everything else goes through the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.literals import COMPANY
from integration.mapping.products import ITEM, ProductMapping
from integration.mapping.values import text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from integration.flows.flow import Record
    from integration.mapping.price_books import Prices

Cells = tuple[str | None, ...]
ACTIVE, INACTIVE = "true", "false"
_REMEMBERED = 1000  # values of the fields that make a product inactive
_KEEPS_PLAIN_TEXT = ("direct", "cut")


class ItemFields:
    """`columns` of Product2, in the order of the cells; the last one is IsActive."""

    def __init__(self, prices: Prices) -> None:
        self._mapping = ProductMapping(prices)
        self.columns = self._mapping.target_fields()
        rules = self._mapping.table.rules
        self._compiled = all(
            rule.transform.kind in _KEEPS_PLAIN_TEXT and rule.condition is None for rule in rules
        )
        self._rules = tuple((rule.sources, rule.length or 32_000, rule.required) for rule in rules)
        self._inactive = tuple(
            (name, {value.strip().casefold() for value in values})
            for name, values in prices.inactive.items()
        )
        self._known: dict[tuple[str, object], bool] = {}

    def cells(self, rows: Sequence[Record], stopped: Collection[str]) -> Cells:
        """An item, from its rows in the companies that matter, the most important first; `stopped` are the
        companies that do not sell it. None is an empty field, "" one of which nothing is known.

        Raises RecordRejected.
        """
        plain = self._plain(rows[0]) if self._compiled else None
        if plain is not None:
            active = any(
                self._is_active(row)
                for row in rows
                if not stopped or str(row[COMPANY]).lower() not in stopped
            )
            return (*plain, ACTIVE if active else INACTIVE)
        sold = [row for row in rows if str(row[COMPANY]).lower() not in stopped]
        fields = self._mapping.map(rows, sold)
        texts = [_cell(fields.get(name, "")) for name in self.columns[:-1]]
        return (*texts, ACTIVE if fields["IsActive"] else INACTIVE)

    def _plain(self, row: Record) -> Cells | None:
        """None where the table itself must look."""
        item = row.get(ITEM)
        if not isinstance(item, str) or item[:1] == " ":
            return None
        cells: list[str | None] = []
        for sources, length, required in self._rules:
            found: str | None = None
            for name in sources:
                value = row.get(
                    name, name
                )  # a missing column has a name that is no plain value here
                if value == "" or value is None:
                    continue
                if value is name or not _is_plain(value, length):
                    return None
                found = str(value)
                break
            if found is None and required:
                return None
            cells.append(found)
        return tuple(cells)

    def _is_active(self, row: Record) -> bool:
        for name, values in self._inactive:
            key = (name, row.get(name))
            found = self._known.get(key)
            if found is None:
                if len(self._known) > _REMEMBERED:
                    self._known.clear()
                text = text_of(row.get(name) or "").strip().casefold()
                found = self._known[key] = text in values
            if found:
                return False
        return True


def _is_plain(value: object, length: int) -> bool:
    return (
        type(value) is str
        and value.isprintable()
        and value[-1] != " "
        and len(value) <= (length if value.isascii() else length // 2)  # of two units each at most
    )


def _cell(value: object) -> str | None:
    return None if value is None else str(value)
