"""The customer who buys: found with the order in one call, or made by the account flow.

What keeps the account from becoming a customer keeps the order, too, in words that name the account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.d365.literals import COMPANY
from integration.errors import RecordNeedsReview, RecordRejected
from integration.flows.customers import NUMBER
from integration.flows.outcomes import Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.flows.flow import Record

FIELDS = ("InvoiceAccount", "LanguageId", "SalesCurrencyCode")
NO_CUSTOMER = "account-without-customer"
_SKIPS = {
    "customer-creation-off": "new customers are not created from Salesforce",
    "customer-awaits-match": "existing customers are still being matched",
    "person-account": "person accounts are not carried over",
    "deleted-in-salesforce": "the account was deleted",
    "not-found": "the account does not exist or is hidden from the integration",
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """Whose order it is, and in which company."""

    account_id: str
    account_name: str
    company: str


@dataclass(frozen=True, slots=True)
class Buyer:
    """What an order takes from its customer."""

    number: str
    invoice_account: str
    language: str
    currency: str

    def header(self) -> Record:
        """The fields of an order's header that come from here; the currency is a default."""
        fields = {
            "OrderingCustomerAccountNumber": self.number,
            "InvoiceCustomerAccountNumber": self.invoice_account or self.number,
            "LanguageId": self.language,
            "CurrencyCode": self.currency,
        }
        return {name: value for name, value in fields.items() if value}


def pick_buyer(
    rows: Sequence[Record], id_field: str, account_id: str, company: str
) -> Buyer | None:
    """The account's customer, if there is exactly one and it is in this company; whatever else there is
    the account flow judges."""
    mine = [row for row in rows if _text(row, id_field).casefold() == account_id.casefold()]
    buyers = {(_text(row, COMPANY).lower(), _text(row, NUMBER)): row for row in mine}
    if len(buyers) != 1:
        return None
    [((found_in, number), row)] = buyers.items()
    if found_in != company:
        return None
    return Buyer(number, *(_text(row, name) for name in FIELDS))


def for_order(purchase: Purchase, end: Skipped | Exception) -> Exception:
    """What the end of the account flow means for the order: what concerns the account rejects the order,
    and trouble of a system stays what it is."""
    name = purchase.account_name
    if isinstance(end, Skipped):
        why = _SKIPS.get(end.reason, end.reason)
        return RecordRejected(
            f"The account {name} has no customer in Dynamics 365: {why}", reason=NO_CUSTOMER
        )
    if isinstance(end, RecordRejected | RecordNeedsReview):
        told = end.description.replace(purchase.account_id, name)
        return type(end)(
            f"{told[:1].upper()}{told[1:]}",
            reason=end.reason, system=end.system, context=end.context,
        )  # fmt: skip
    return end


def _text(row: Mapping[str, Any], name: str) -> str:
    return str(row.get(name) or "")
