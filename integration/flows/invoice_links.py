"""Which products and opportunities an invoice may point to: those that Salesforce holds.

A reference by External ID to a record that is not there fails the whole row, and neither is needed for an
invoice. What was found is remembered, since products repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import ContractError
from integration.salesforce.soql import in_list, select

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.flows.flow import Record

PRODUCT, ITEM = "Product2", "D365_Item_Number__c"
OPPORTUNITY, ORDER = "Opportunity", "D365_Order_Number__c"
_FIELD = {PRODUCT: ITEM, OPPORTUNITY: ORDER}
_VALUES = 500  # per query, so that its rows fit one page
_REMEMBERED = 50_000


class Links:
    """One per flow. External IDs as Salesforce compares them: item numbers by case, orders without."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def queries(self, items: Iterable[str], orders: Iterable[str]) -> list[str]:
        """What must be asked so that `has` can tell of all these; `learn` takes the answers."""
        wanted = [(PRODUCT, item) for item in items] + [(OPPORTUNITY, order) for order in orders]
        unknown = [
            pair for pair in dict.fromkeys(wanted) if pair[1] and _key(*pair) not in self._known
        ]
        if len(self._known) + len(unknown) > _REMEMBERED:
            self._known.clear()
            unknown = [pair for pair in dict.fromkeys(wanted) if pair[1]]
        return [
            select(name, (_FIELD[name],), where=in_list(_FIELD[name], part))
            for name in (PRODUCT, OPPORTUNITY)
            for part in _parts([value for each, value in unknown if each == name])
        ]

    def learn(self, rows: Iterable[Record]) -> None:
        """Raises ContractError."""
        try:
            found = [(row["attributes"]["type"], row) for row in rows]
            self._known |= {_key(name, row[_FIELD[name]]) for name, row in found}
        except (KeyError, TypeError) as error:
            raise ContractError("a row without its type or key", system="salesforce") from error

    def has(self, name: str, value: str) -> bool:
        return bool(value) and _key(name, value) in self._known

    def forget(self) -> None:
        """A row says that one of them is gone."""
        self._known.clear()


def _key(name: str, value: str) -> tuple[str, str]:
    return name, value if name == PRODUCT else value.casefold()


def _parts(values: list[str]) -> list[list[str]]:
    return [values[start : start + _VALUES] for start in range(0, len(values), _VALUES)]
