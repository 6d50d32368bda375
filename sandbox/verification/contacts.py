"""Contacts and their contact persons."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sandbox.verification.accounts import country_id
from sandbox.verification.reading import rows, wrong

if TYPE_CHECKING:
    from collections.abc import Collection

    from sandbox.stack import Sandbox


def expected_person(contact: dict[str, Any], party: str) -> dict[str, Any]:
    """What F&O must hold for a contact of the demo, whose texts are of ordinary length."""
    alone = bool(contact.get("MobilePhone")) and not contact.get("Phone")
    return {
        "dataAreaId": "usmf",
        "AssociatedPartyNumber": party,
        "FirstName": (contact.get("FirstName") or "")[:25],
        "LastName": contact["LastName"][:25],
        "PrimaryEmailAddress": contact.get("Email"),
        "PrimaryPhoneNumber": contact.get("Phone") or contact.get("MobilePhone"),
        "IsPrimaryPhoneNumberMobile": "Yes" if alone else "No",
        "EmploymentJobTitle": contact.get("Title"),
        "EmploymentDepartment": contact.get("Department"),
        "PrimaryAddressStreet": contact.get("MailingStreet"),
        "PrimaryAddressCity": contact.get("MailingCity"),
        "PrimaryAddressZipCode": (contact.get("MailingPostalCode") or "")[:10],
        "PrimaryAddressStateId": contact.get("MailingState"),
        "PrimaryAddressCountryRegionId": country_id(contact.get("MailingCountry")),
        "ContactPersonId": contact["D365_Contact_Number__c"],
    }


async def contact_differences(sandbox: Sandbox, *, without: Collection[str]) -> list[str]:
    """`without`: contacts that must have no contact person and no number."""
    customers = await rows(sandbox, "d365", "CustomersV3")
    parties = {row["SalesforceAccountId"]: row["PartyNumber"] for row in customers}
    persons = await rows(sandbox, "d365", "ContactPersons")
    owners = Counter(row["SalesforceContactId"] for row in persons)
    by_contact = {row["SalesforceContactId"]: row for row in persons}
    found: list[str] = []
    for contact in await rows(sandbox, "salesforce", "Contact"):
        key = contact["Id"]
        wanted = 0 if key in without else 1
        if owners[key] != wanted:
            found.append(f"{key}: {owners[key]} contact persons instead of {wanted}")
        elif wanted:
            party = parties.get(contact["AccountId"], "that of its customer")
            found += wrong(key, by_contact[key], expected_person(contact, party))
        elif contact["D365_Contact_Number__c"]:
            found.append(f"{key}: has a number, but must have no contact person")
    return found
