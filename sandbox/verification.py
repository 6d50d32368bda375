"""Reads both sides back and says field by field what is not as it should be.

The expectations are written down here a second time, without the app's mapping code: a mistake in the
mapping must not hide itself.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.stack import Sandbox

COUNTRIES = {
    "DEU": ("germany", "deutschland", "de", "deu"),
    "USA": ("usa", "united states", "us", "u.s.a.", "united states of america"),
    "GBR": ("gb", "uk", "united kingdom", "great britain", "england"),
    "FRA": ("france", "fr"),
    "AUT": ("austria", "österreich", "at"),
    "CHE": ("switzerland", "schweiz", "suisse", "ch"),
    "SWE": ("sweden", "sverige", "se"),
}
_ALPHA_3 = {spelling: code for code, spellings in COUNTRIES.items() for spelling in spellings}


def expected_customer(account: dict[str, Any], company: str) -> dict[str, Any]:
    """What F&O must hold for an account of the generator."""
    country = (account.get("BillingCountry") or "").strip().lower()
    return {
        "dataAreaId": company,
        "SalesforceAccountId": account["Id"],
        "OrganizationName": account["Name"][:100].strip(),
        "PartyType": "Organization",
        "AddressStreet": (account.get("BillingStreet") or "").replace("\r\n", "\n"),
        "AddressCity": account.get("BillingCity") or "",
        "AddressZipCode": (account.get("BillingPostalCode") or "")[:10],
        "AddressState": account.get("BillingState") or "",
        "AddressCountryRegionId": _ALPHA_3[country] if country else "",
        "PrimaryContactPhone": account.get("Phone") or "",
        "PrimaryContactURL": account.get("Website") or "",
        "SalesCurrencyCode": account["CurrencyIsoCode"],
        "CustomerGroupId": "10",
    }


async def differences(
    sandbox: Sandbox, *, without: Iterable[str] = (), company: str = "usmf"
) -> list[str]:
    """Every wrong field and every lost or doubled customer; `without` are accounts that must have none."""
    accounts = await rows(sandbox, "salesforce", "Account")
    customers = await rows(sandbox, "d365", "CustomersV3")
    owners = Counter(customer["SalesforceAccountId"] for customer in customers)
    by_account = {customer["SalesforceAccountId"]: customer for customer in customers}
    barred = set(without)
    found: list[str] = []
    for account in accounts:
        key = account["Id"]
        if key in barred:
            if key in owners:
                found.append(f"{key}: has a customer, but must not")
            continue
        if owners[key] != 1:
            found.append(f"{key}: {owners[key]} customers instead of 1")
            continue
        customer = by_account[key]
        for field, wanted in expected_customer(account, company).items():
            if customer[field] != wanted:
                found.append(f"{key}: {field} is {customer[field]!r}, should be {wanted!r}")
        number = account["D365_Customer_Number__c"]
        if number != customer["CustomerAccount"]:
            found.append(f"{key}: number {number!r}, should be {customer['CustomerAccount']!r}")
    known = {account["Id"] for account in accounts}
    found += [f"customer of unknown account {key}" for key in owners if key and key not in known]
    return found


async def rows(sandbox: Sandbox, system: str, name: str) -> list[dict[str, Any]]:
    """All rows of an object or entity set, straight from a stand-in."""
    base = sandbox.salesforce.url if system == "salesforce" else sandbox.d365.url
    answer = await sandbox.http.get(f"{base}/sandbox/state/{name}")
    answer.raise_for_status()
    data = answer.json()
    return list(data["value"] if isinstance(data, dict) else data)
