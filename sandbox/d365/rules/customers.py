"""Customers: party, search name, address (F&O contract 5.2, 5.9)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import field_refused
from sandbox.d365.rules.addresses import iso_code, require_state
from sandbox.d365.rules.base import Rules, Write

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_ALIAS_LENGTH = 20
_PERSON_NAME = ("PersonFirstName", "PersonMiddleName", "PersonLastName")
_PARTY = ("PartyType", "OrganizationName")
_ADDRESS = (
    "AddressStreet",
    "AddressCity",
    "AddressZipCode",
    "AddressState",
    "AddressCountryRegionId",
)
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:-([A-Za-z]{2}|[A-Za-z]{4}))?")


class CustomerRules(Rules):
    def default_row(self, write: Write) -> None:
        if write.old is None:
            self._join_party(write)
            name = customer_name(write)
            write.set_unless_given("NameAlias", name[:NAME_ALIAS_LENGTH])
        if write.changed("LanguageId"):
            write.set("LanguageId", normal_language(write.get("LanguageId")))
        if write.changed(*_ADDRESS):
            self._complete_address(write)
        if write.get("PrimaryContactEmail") and not write.get("PrimaryContactEmailRecordId"):
            write.set("PrimaryContactEmailRecordId", write.environment.store.new_record_id())
        if write.get("PrimaryContactPhone") and not write.get("PrimaryContactPhoneRecordId"):
            write.set("PrimaryContactPhoneRecordId", write.environment.store.new_record_id())

    def validate_write(self, write: Write) -> list[str]:
        reasons = []
        if write.get("PartyType") not in ("Organization", "Person"):
            reasons.append(f"The value '{write.get('PartyType')}' is no valid party type.")
        elif not customer_name(write):
            reasons.append("Field 'Name' must be filled in.")
        return reasons

    def before_delete(self, write: Write) -> None:
        orders = write.environment.store.tables["SalesOrderHeadersV2"]
        account = write.get("CustomerAccount")
        for row in orders.find("OrderingCustomerAccountNumber", account):
            if row.values.get("dataAreaId") == write.company:
                raise write.refuse(
                    f"Customer account {account} cannot be deleted because it has sales orders."
                )

    @staticmethod
    def _join_party(write: Write) -> None:
        """A new party, or an existing one whose number the client names."""
        store = write.environment.store
        number = write.get("PartyNumber")
        if not number:
            write.set("PartyNumber", f"{store.next_number('', 'party'):09}")
        elif not store.tables["CustomersV3"].find("PartyNumber", number):
            reason = (
                f"The value '{number}' in field 'Party ID' is not found in the related table"
                " 'Global address book'."
            )
            raise field_refused(write.entity.aot_name, "PartyNumber", reason)

    @staticmethod
    def _complete_address(write: Write) -> None:
        """Country decides the ISO code and which states exist; the full address is text."""
        store = write.environment.store
        country, state = write.get("AddressCountryRegionId"), write.get("AddressState")
        write.set("AddressCountryRegionISOCode", iso_code(write, country))
        require_state(write, "AddressState", country)
        city_line = " ".join(filter(None, (state, write.get("AddressZipCode"))))
        lines = (
            write.get("AddressStreet"),
            ", ".join(filter(None, (write.get("AddressCity"), city_line))),
            country,
        )
        write.set("FullPrimaryAddress", "\n".join(filter(None, lines)))
        if write.get("FullPrimaryAddress") and not write.get("AddressRecordId"):
            write.set("AddressRecordId", store.new_record_id())
            write.set_unless_given("AddressLocationId", f"{store.next_number('', 'location'):09}")
            write.set_unless_given("AddressLocationRoles", "Business")
            write.set_unless_given("AddressValidFrom", write.environment.now())


def customer_name(write: Write) -> str:
    return name_of({name: write.get(name) for name in (*_PERSON_NAME, *_PARTY)})


def name_of(customer: Mapping[str, Any]) -> str:
    """The name of a customer's party, from a row that holds its defaults too."""
    if customer["PartyType"] == "Person":
        return " ".join(filter(None, (customer[name] for name in _PERSON_NAME)))
    return str(customer["OrganizationName"])


def normal_language(text: str) -> str:
    """`en-us` comes back as `en-US` (contract 2.5)."""
    match = _LANGUAGE.fullmatch(text)
    if match is None:
        return text
    language, region = match[1].lower(), match[2] or ""
    return (
        f"{language}-{region.upper() if len(region) == 2 else region.title()}"
        if region
        else language
    )
