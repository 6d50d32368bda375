"""What Salesforce holds of products and price book entries, in few queries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from integration.errors import RecordRejected
from integration.flows.pricebook_changes import ENTRY_KEY
from integration.mapping.price_books import STANDARD
from integration.mapping.products import EXTERNAL_ID
from integration.mapping.values import number_of
from integration.salesforce.ids import to_18
from integration.salesforce.soql import in_list, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from integration.flows.flow import Record
    from integration.salesforce.client import SalesforceClient

_ITEMS_PER_QUERY = 300  # at most 20 characters each: far below SOQL's 100,000


@dataclass(frozen=True, slots=True)
class Entry:
    """A PricebookEntry. `key` is empty where a person made it."""

    id: str
    key: str
    price: Decimal
    active: bool
    follows_standard: bool


class PricebookReader:
    def __init__(
        self, client: SalesforceClient, books: Sequence[str], columns: Sequence[str]
    ) -> None:
        """`books`: names of the mapped price books, `STANDARD` among them; `columns` of Product2."""
        self._client = client
        self._names = tuple(books)
        self._columns = tuple(columns)

    async def has_currencies(self) -> bool:
        """Whether the org has several currencies; others lack the field (Salesforce contract 7)."""
        described = await self._client.describe("PricebookEntry")
        return any(field["name"] == "CurrencyIsoCode" for field in described["fields"])

    async def books(self) -> dict[str, str]:
        """Rule's name → id. Raises RecordRejected where one is missing or there are two of its name."""
        soql = select("Pricebook2", ("Id", "Name", "IsStandard"))
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for row in await self._client.query_all_rows(soql):
            name = STANDARD if row["IsStandard"] else str(row["Name"]).strip().casefold()
            ids[name].append(to_18(row["Id"]))
        problems = [
            f"{name!r} {'is not there' if not found else 'exists several times'}"
            for name in self._names
            if len(found := ids[name.strip().casefold()]) != 1
        ]
        if problems:
            text = f"price books in Salesforce: {', '.join(problems)}; see [prices.books]"
            raise RecordRejected(text, reason="price-book", system="salesforce")
        return {name: ids[name.strip().casefold()][0] for name in self._names}

    async def products(self, items: Iterable[str]) -> dict[str, Record]:
        """Item number, exactly → the product's fields."""
        found: dict[str, Record] = {}
        for part in _parts(items):
            where = in_list(EXTERNAL_ID, part)
            soql = select("Product2", ("Id", *self._columns), where=where)
            for row in await self._client.query_all_rows(soql):
                found[str(row[EXTERNAL_ID])] = row
        return found

    async def entries(
        self, items: Iterable[str], books: Iterable[str], *, currencies: bool
    ) -> dict[str, dict[tuple[str, str], Entry]]:
        """Item number → (price book's id, currency) → entry. The currency is empty in orgs of one."""
        found: defaultdict[str, dict[tuple[str, str], Entry]] = defaultdict(dict)
        item_path = f"Product2.{EXTERNAL_ID}"
        names = ["Id", ENTRY_KEY, "Pricebook2Id", item_path, "UnitPrice", "IsActive"]
        names += ["UseStandardPrice", *(["CurrencyIsoCode"] if currencies else [])]
        of_books = in_list("Pricebook2Id", sorted(books))
        for part in _parts(items):
            soql = select("PricebookEntry", names, where=(of_books, in_list(item_path, part)))
            for row in await self._client.query_all_rows(soql):
                key = (to_18(row["Pricebook2Id"]), str(row.get("CurrencyIsoCode") or ""))
                found[str(row["Product2"][EXTERNAL_ID])][key] = Entry(
                    id=to_18(row["Id"]),
                    key=str(row.get(ENTRY_KEY) or ""),
                    price=number_of(row["UnitPrice"]),
                    active=row["IsActive"] is True,
                    follows_standard=row.get("UseStandardPrice") is True,
                )
        return found


def _parts(items: Iterable[str]) -> list[list[str]]:
    wanted = list(dict.fromkeys(items))
    return [wanted[at : at + _ITEMS_PER_QUERY] for at in range(0, len(wanted), _ITEMS_PER_QUERY)]
