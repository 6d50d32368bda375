"""What a salesperson sees of the order on the Opportunity: number, status, and why it stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.flows.order_checks import REASONS
from integration.flows.sources import write_number_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.flow import Record
    from integration.recovery.decisions import EndState
    from integration.salesforce.client import SalesforceClient

OBJECT = "Opportunity"
NUMBER_FIELD, STATUS, ERROR = "D365_Order_Number__c", "D365_Status__c", "D365_Error__c"
ORDERED, REVIEW, FAILED = "Ordered", "Needs review", "Failed"
ERROR_LENGTH = 4000
_OTHER_HOLDS = "Another opportunity already holds the number of this opportunity's order."
# Reasons of the account's own that are not about the account.
_NOT_FOR_PEOPLE = ("account-flow-off", "account-moved")
_TECHNICAL = (
    "The order could not be made in Dynamics 365 for a technical reason. Those who look after the"
    " integration find this opportunity among its reviews; nothing needs to be entered again."
)


class OrderStatus:
    def __init__(self, salesforce: SalesforceClient) -> None:
        self._salesforce = salesforce

    async def write(self, fields: Mapping[str, Record]) -> dict[str, Exception]:
        """Errors by opportunity id; an order number that another opportunity holds is for review."""
        rows = {key: _cut(values) for key, values in fields.items()}
        return await write_number_back(self._salesforce, OBJECT, rows, number="order number")

    async def tell(self, key: str, end: EndState) -> None:
        """Writes only what the Opportunity does not say yet, so that its own change makes no circle."""
        if end.kind == "skip":
            return
        wanted = _cut({STATUS: REVIEW if end.kind == "review" else FAILED, ERROR: words(end)})
        found = await self._salesforce.retrieve(OBJECT, [key], (STATUS, ERROR))
        record = found.get(key)
        if record is None:  # deleted meanwhile, or never there
            return
        changed = {name: value for name, value in wanted.items() if record.get(name) != value}
        if not changed:
            return
        [result] = await self._salesforce.update_many(OBJECT, [{"Id": key, **changed}])
        if result.error is not None:
            raise result.error


def words(end: EndState) -> str:
    """The reason without codes. What F&O itself refused is told in its own words, which are those of its
    forms; everything about systems and calls is not."""
    if end.reason == "number-on-other-opportunity":
        return _OTHER_HOLDS
    of_account = end.reason.startswith("account-") and end.reason not in _NOT_FOR_PEOPLE
    if end.reason in REASONS or of_account:
        return end.description
    if end.system == "d365" and end.reason in ("validation", "foreign-key"):
        return f"Dynamics 365 refused the order: {end.description}"
    return _TECHNICAL


def _cut(values: Record) -> Record:
    text = values.get(ERROR)
    return {**values, ERROR: text[:ERROR_LENGTH]} if isinstance(text, str) else values
