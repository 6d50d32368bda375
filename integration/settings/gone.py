"""What becomes of a customer, contact person or order whose record was deleted in Salesforce."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from integration.settings.base import Group

_COLUMN = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
# The members of CustVendorBlocked that block anything (F&O contract, appendix D).
Block = Literal["Invoice", "All", "Payment", "Requisition", "PurchOrder"]


class GoneSettings(Group):
    """Deleted records. Nothing is ever deleted in F&O; an undelete takes a mark or block back."""

    model_config = SettingsConfigDict(env_prefix="DELETED_")

    customer_field: str | None = Field(
        None,
        pattern=_COLUMN,
        description="text field of CustomersV3 for the mark; filled with a block too, where it is set",
    )
    customer_mark: str = Field(
        "Deleted in Salesforce", min_length=1, description="the mark of a customer"
    )
    contact_field: str | None = Field(
        None,
        pattern=_COLUMN,
        description="text field of ContactPersons for the mark, or IsInactive, which is then Yes",
    )
    contact_mark: str = Field(
        "Deleted in Salesforce", min_length=1, description="the mark of a contact person"
    )
    block: Block = Field("All", description="OnHoldStatus that blocks a customer")
    accounts: Literal["ignore", "review", "mark", "block"] = Field(
        "review",
        description="a deleted account's customer: left alone, reported once, marked, or put on hold",
    )
    contacts: Literal["ignore", "review", "mark"] = Field(
        "ignore", description="the same for a deleted contact's contact person"
    )
    opportunities: Literal["ignore", "review"] = Field(
        "review", description="a deleted opportunity's sales order, if there is one"
    )

    @field_validator("accounts", "contacts")
    @classmethod
    def _field_of_mark(cls, value: str, info: ValidationInfo) -> Any:
        needs = {"accounts": "customer_field", "contacts": "contact_field"}[str(info.field_name)]
        if value == "mark" and not info.data.get(needs):
            raise ValueError(f"mark needs DELETED_{needs.upper()}, the field that gets the mark")
        return value
