"""What single objects do by themselves on save and delete (Salesforce contract 7).

Names of people, stages of opportunities, amounts of lines, and the price book rules: a standard price
before a custom one, one entry per book, product and currency, lines only from the opportunity's book.
`before` may change the row or refuse it; `after` writes other rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.store import Row, Store


class Writer(Protocol):
    """How a rule writes other rows in the same transaction."""

    def change(self, object_name: str, record_id: str, values: dict[str, Any]) -> None: ...
    def remove(self, object_name: str, record_id: str) -> None: ...


Before = Callable[[Store, Row | None, Row, set[str]], None]
After = Callable[[Store, Row | None, Row | None, Writer], None]


def waived(row: Row) -> set[str]:
    """Required fields that this row need not send."""
    return {"UnitPrice"} if row.get("UseStandardPrice") else set()


def person(_: Store, __: Row | None, row: Row, ___: set[str]) -> None:
    row["Name"] = " ".join(filter(None, (row.get("FirstName"), row.get("LastName"))))


def opportunity(store: Store, old: Row | None, row: Row, sent: set[str]) -> None:
    stage = next(
        (
            s
            for s in store.tables["OpportunityStage"].rows.values()
            if s["MasterLabel"] == row["StageName"]
        ),
        None,
    )
    if stage is not None:
        row["IsClosed"], row["IsWon"] = stage["IsClosed"], stage["IsWon"]
        row["ForecastCategory"] = stage["ForecastCategory"]
        if "Probability" not in sent and (old is None or "StageName" in sent):
            row["Probability"] = stage["DefaultProbability"]
    if lines := _lines(store, row["Id"]):
        # A sent amount is ignored without an error once there are lines.
        row["Amount"] = round(sum(line["TotalPrice"] for line in lines), 2)
        if old is not None and old["CurrencyIsoCode"] != row["CurrencyIsoCode"]:
            raise ApiError.of(
                "FIELD_INTEGRITY_EXCEPTION",
                "The currency cannot be changed while the opportunity has products.",
                "CurrencyIsoCode",
            )
    row["HasOpportunityLineItem"] = bool(lines)
    if row.get("Amount") is not None:
        row["ExpectedRevenue"] = round(row["Amount"] * (row.get("Probability") or 0) / 100, 2)


def line_item(store: Store, old: Row | None, row: Row, sent: set[str]) -> None:
    entry = store.tables["PricebookEntry"].rows.get(row.get("PricebookEntryId") or "")
    opportunity_row = store.tables["Opportunity"].rows[row["OpportunityId"]]
    if entry is None:
        raise ApiError.of(
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [PricebookEntryId]",
            "PricebookEntryId",
        )
    if old is None:
        _check_entry(store, entry, opportunity_row)
    product = store.tables["Product2"].rows[entry["Product2Id"]]
    row |= {
        "Product2Id": product["Id"],
        "ProductCode": product.get("ProductCode"),
        "CurrencyIsoCode": entry["CurrencyIsoCode"],
        "ListPrice": entry["UnitPrice"],
        "Name": f"{opportunity_row['Name']} {product['Name']}"[:376],
    }
    if row["Quantity"] == 0:
        raise ApiError.of("FIELD_INTEGRITY_EXCEPTION", "Quantity must not be zero.", "Quantity")
    if {"UnitPrice", "TotalPrice"} <= sent:
        raise ApiError.of(
            "FIELD_INTEGRITY_EXCEPTION",
            "field integrity exception: UnitPrice and TotalPrice must not both be specified",
            "UnitPrice",
            "TotalPrice",
        )
    share = 1 - (row.get("Discount") or 0) / 100
    if "TotalPrice" in sent and row.get("TotalPrice") is not None:
        row["UnitPrice"] = round(row["TotalPrice"] / (row["Quantity"] * (share or 1)), 2)
    else:
        if row.get("UnitPrice") is None:
            row["UnitPrice"] = entry["UnitPrice"]
        row["TotalPrice"] = round(row["UnitPrice"] * row["Quantity"] * share, 2)


def _check_entry(store: Store, entry: Row, opportunity_row: Row) -> None:
    book = opportunity_row.get("Pricebook2Id")
    reason = ""
    if not entry["IsActive"]:
        reason = "the price book entry is inactive"
    elif entry["CurrencyIsoCode"] != opportunity_row["CurrencyIsoCode"]:
        reason = "the currency of the price book entry must match the opportunity"
    elif book is not None and entry["Pricebook2Id"] != book:
        reason = "pricebook entry is in a different pricebook than the one assigned to the opp"
    if reason:
        raise ApiError.of(
            "FIELD_INTEGRITY_EXCEPTION",
            f"field integrity exception: PricebookEntryId ({reason})",
            "PricebookEntryId",
        )


def price_book_entry(store: Store, old: Row | None, row: Row, sent: set[str]) -> None:
    table = store.tables["PricebookEntry"]
    standard = bool(store.tables["Pricebook2"].rows[row["Pricebook2Id"]]["IsStandard"])
    product = store.tables["Product2"].rows[row["Product2Id"]]
    row["Name"], row["ProductCode"] = product["Name"], product.get("ProductCode")
    if standard and row["UseStandardPrice"]:
        raise ApiError.of(
            "FIELD_INTEGRITY_EXCEPTION",
            "UseStandardPrice must be false in the standard price book.",
            "UseStandardPrice",
        )
    siblings = [
        other
        for other_id in table.ids_with(table.obj.fields["Product2Id"], row["Product2Id"])
        if (other := table.rows[other_id])["CurrencyIsoCode"] == row["CurrencyIsoCode"]
        and other_id != row["Id"]
    ]
    if any(other["Pricebook2Id"] == row["Pricebook2Id"] for other in siblings):
        raise ApiError.of(
            "DUPLICATE_VALUE", "This price definition already exists in this price book"
        )
    if standard:
        return
    base = next((o for o in siblings if o["IsActive"] and _in_standard_book(store, o)), None)
    if base is None:
        if old is None:
            raise ApiError.of(
                "STANDARD_PRICE_NOT_DEFINED",
                "Before creating a custom price, create a standard price.",
            )
        return
    if row["UseStandardPrice"]:
        if "UnitPrice" in sent and row["UnitPrice"] != base["UnitPrice"]:
            raise ApiError.of(
                "FIELD_INTEGRITY_EXCEPTION",
                "UnitPrice is read-only while UseStandardPrice is true.",
                "UnitPrice",
            )
        row["UnitPrice"] = base["UnitPrice"]


def _in_standard_book(store: Store, entry: Row) -> bool:
    return bool(store.tables["Pricebook2"].rows[entry["Pricebook2Id"]]["IsStandard"])


def invoice_name(_: Store, __: Row | None, row: Row, ___: set[str]) -> None:
    """A custom object without a name is called by its id."""
    row["Name"] = row.get("Name") or row["Id"]


def recalculate_opportunity(store: Store, old: Row | None, new: Row | None, writer: Writer) -> None:
    """Lines changed: the amount follows, and the first line fixes the price book."""
    line = new or old
    assert line is not None
    parent = store.tables["Opportunity"].rows.get(line["OpportunityId"])
    if parent is None:
        return
    values: dict[str, Any] = {}
    if new is not None and parent.get("Pricebook2Id") is None:
        entry = store.tables["PricebookEntry"].rows[new["PricebookEntryId"]]
        values["Pricebook2Id"] = entry["Pricebook2Id"]
    writer.change("Opportunity", parent["Id"], values)


def copy_standard_price(store: Store, _: Row | None, new: Row | None, writer: Writer) -> None:
    """Entries that use the standard price follow it."""
    if new is None or not _in_standard_book(store, new):
        return
    table = store.tables["PricebookEntry"]
    for other_id in table.ids_with(table.obj.fields["Product2Id"], new["Product2Id"]):
        other = table.rows[other_id]
        if (
            other["UseStandardPrice"]
            and other["CurrencyIsoCode"] == new["CurrencyIsoCode"]
            and other["UnitPrice"] != new["UnitPrice"]
        ):
            writer.change("PricebookEntry", other_id, {"UnitPrice": new["UnitPrice"]})


def drop_lines_of_old_book(store: Store, old: Row | None, new: Row | None, writer: Writer) -> None:
    """Another price book: the lines of the old one go."""
    book = old.get("Pricebook2Id") if old else None
    if new is not None and book is not None and new.get("Pricebook2Id") != book:
        for line in _lines(store, new["Id"]):
            writer.remove("OpportunityLineItem", line["Id"])


def _lines(store: Store, opportunity_id: str) -> list[Row]:
    table = store.tables["OpportunityLineItem"]
    found = table.ids_with(table.obj.fields["OpportunityId"], opportunity_id)
    return [table.rows[line_id] for line_id in found]


BEFORE: dict[str, Before] = {
    "Contact": person,
    "User": person,
    "Opportunity": opportunity,
    "OpportunityLineItem": line_item,
    "PricebookEntry": price_book_entry,
    "Invoice__c": invoice_name,
    "Invoice_Line__c": invoice_name,
}
AFTER: dict[str, After] = {
    "Opportunity": drop_lines_of_old_book,
    "OpportunityLineItem": recalculate_opportunity,
    "PricebookEntry": copy_standard_price,
}
