"""ReleasedProductsV2 → Product2: the table, and what makes a product inactive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import RecordRejected
from integration.mapping import transforms
from integration.mapping.companies import COMPANY
from integration.mapping.price_books import Prices
from integration.mapping.tables import FieldRule, MappingTable, Record
from integration.mapping.values import Value, is_empty, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ITEM = "ItemNumber"
EXTERNAL_ID = "D365_Item_Number__c"
# Read beside the table: the base price and the unit it is for (F&O contract 5.6).
PRICE_FIELDS = ("SalesPrice", "SalesPriceQuantity", "SalesUnitSymbol")


def product_table(prices: Prices) -> MappingTable:
    """Every line is owned by F&O: an edit made in Salesforce is overwritten at the next full refresh."""
    t = transforms
    return MappingTable(
        "products",
        "ReleasedProductsV2",
        "Product2",
        (
            FieldRule(ITEM, EXTERNAL_ID, t.direct(), required=True, max_length=20,
                      note="exact, upper and lower case kept; the key of the upsert"),
            FieldRule(ITEM, "ProductCode", t.direct(), required=True, max_length=255),
            FieldRule(("ProductSearchName", "SearchName", "ProductNumber", ITEM), "Name", t.cut(255),
                      required=True),
            *(
                FieldRule(source, target, t.cut(255), note="from the mapping file")
                for target, source in prices.product_fields.items()
            ),
        ),
        (COMPANY,),
    )  # fmt: skip


def products_markdown() -> str:
    """The table for people, with the price of an entry; the rules are in `docs/flow-prices.md`."""
    lines = [
        "## ReleasedProductsV2 → Product2, SalesPriceAgreements → PricebookEntry",
        "",
        "Owner of every field: F&O. Written where it differs; an empty F&O text becomes null.",
        "",
        "| F&O | Salesforce | Rule | Length | Note |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in product_table(Prices()).rules:
        sources = " or ".join(f"`{name}`" for name in rule.sources)
        lines.append(
            f"| {sources} | `{rule.target}` | `{rule.transform.name}` | {rule.length or ''} | {rule.note} |"
        )
    lines += [
        "| fields of `[prices] inactive`, sales stop | `Product2.IsActive` | by rule | | deactivated,"
        " never deleted |",
        "| `Price` / `SalesPriceQuantity`, or `SalesPrice` / `SalesPriceQuantity` |"
        " `PricebookEntry.UnitPrice` | price valid today | | exact, rounded half up to `decimals` |",
        "| `PriceCurrencyCode` | `PricebookEntry.CurrencyIsoCode` | direct | 3 | on creation |",
        "| price book, item, currency | `PricebookEntry.D365_Key__c` | joined with a bar | 120 |"
        " e.g. `standard`, item, `USD` |",
        "",
    ]
    return "\n".join(lines)


class ProductMapping:
    """Product2 fields of an item, from its rows in the companies that matter."""

    def __init__(self, prices: Prices) -> None:
        self.table = product_table(prices)
        self._inactive = {
            name: {value.strip().casefold() for value in values}
            for name, values in prices.inactive.items()
        }

    def source_fields(self) -> tuple[str, ...]:
        """What to $select."""
        names = (COMPANY, *self.table.source_fields(), *PRICE_FIELDS, *self._inactive)
        return tuple(dict.fromkeys(names))

    def target_fields(self) -> tuple[str, ...]:
        """The Product2 fields that are written."""
        return (*(rule.target for rule in self.table.rules), "IsActive")

    def map(self, rows: Sequence[Record], sold: Sequence[Record]) -> dict[str, Value | None]:
        """`rows`: the item in each company, the most important first; at least one. `sold`: those of
        companies that have not stopped selling it. Raises RecordRejected."""
        item = str(rows[0].get(ITEM) or "")
        if item != item.strip():
            raise RecordRejected(
                "Salesforce cuts blanks off the ends of a text, so this item number cannot be a key",
                reason="item-blanks",
            )
        mapped = self.table.apply(rows[0])
        if problem := mapped.rejection():
            raise problem
        fields = {name: None if is_empty(value) else value for name, value in mapped.values.items()}
        return {**fields, "IsActive": any(self._is_active(row) for row in sold)}

    def _is_active(self, row: Record) -> bool:
        return not any(
            text_of(row.get(name) or "").strip().casefold() in values
            for name, values in self._inactive.items()
        )
