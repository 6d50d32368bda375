"""What to do about rows that Bulk refused: which assumption was wrong decides.

The load trusts the fingerprints about which entries exist. Where that was wrong, the same row in its other
form arrives (`again`), or the item is compared with Salesforce (`read`). Everything else is a refusal that
somebody must look at. A pure decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from integration.errors import RecordRejected
from integration.flows.pricing.changes import CLOSING, PRODUCTS, split_key
from integration.salesforce.errors import PARENT_NOT_FOUND, row_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.errors import IntegrationError
    from integration.flows.pricing.hashes import HashSet

Verdict = Literal["flip", "repeat", "read", "refuse", "follows", "nothing"]
# The entry exists and its key columns were sent; it does not exist and they were not.
_WRONG_FORM = ("INVALID_FIELD_FOR_INSERT_UPDATE", "REQUIRED_FIELD_MISSING")
# Somebody else made the entry, or took the product away.
_LOOK = ("DUPLICATE_VALUE", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", PARENT_NOT_FOUND)
_NO_STANDARD = "STANDARD_PRICE_NOT_DEFINED"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row. `key` is the item number of a product, the key of an entry."""

    key: str
    item: str
    code: str
    error: IntegrationError
    transient: bool

    @classmethod
    def of(cls, kind: str, line: Mapping[str, Any]) -> Refusal:
        """From a line of the spool of failures (see `salesforce.bulk_failures`)."""
        fault = {"statusCode": line["code"], "message": line["message"], "fields": line["fields"]}
        error = row_error([fault], operation="bulk upsert")
        key = line["key"]
        item = key if kind == PRODUCTS else split_key(key)[1]
        return cls(key, item, line["code"], error, line["transient"])


def judge(kind: str, refusal: Refusal, refused: HashSet, *, first: bool) -> Verdict:
    """`kind` of row, see `changes`; `refused` are the items of which a row was refused before; `first`: the
    row was not sent a second time yet."""
    code, reason = refusal.code, refusal.error.reason
    if kind == CLOSING and code == "REQUIRED_FIELD_MISSING":
        return "nothing"  # the entry to close is gone
    if reason == PARENT_NOT_FOUND and refusal.item in refused:
        return "follows"  # its product was refused and has its own reason
    if kind in (PRODUCTS, CLOSING):
        return "read" if refusal.transient or code in _LOOK else "refuse"
    if code in _WRONG_FORM:
        return "flip" if first else "read"
    if code == _NO_STANDARD:
        if refusal.item in refused:
            return "refuse"
        return "repeat" if first else "read"
    if refusal.transient:
        return "repeat" if first else "read"
    return "read" if code in _LOOK or reason in _LOOK else "refuse"


def reason_of(refusal: Refusal) -> IntegrationError:
    """What a person is told."""
    if refusal.code == _NO_STANDARD:
        return RecordRejected("the standard price it needs was refused", reason="standard-price")
    return refusal.error
