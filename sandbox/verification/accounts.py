"""Accounts and their customers, in both directions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sandbox.verification.reading import rows, wrong

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
# Account field ← CustomersV3 field, of which F&O is the owner.
FROM_D365 = {
    "D365_Customer_Number__c": "CustomerAccount",
    "D365_Company__c": "dataAreaId",
    "D365_Credit_Limit__c": "CreditLimit",
    "D365_Payment_Terms__c": "PaymentTerms",
    "D365_On_Hold__c": "OnHoldStatus",
    "D365_Customer_Group__c": "CustomerGroupId",
}


def country_id(spelling: str | None) -> str:
    """What F&O calls a country that the generator spelled in some way."""
    text = (spelling or "").strip().lower()
    return _ALPHA_3[text] if text else ""


def expected_customer(account: dict[str, Any], company: str) -> dict[str, Any]:
    """What F&O must hold for an account of the generator."""
    return {
        "dataAreaId": company,
        "SalesforceAccountId": account["Id"],
        "OrganizationName": account["Name"][:100].strip(),
        "PartyType": "Organization",
        "AddressStreet": (account.get("BillingStreet") or "").replace("\r\n", "\n"),
        "AddressCity": account.get("BillingCity") or "",
        "AddressZipCode": (account.get("BillingPostalCode") or "")[:10],
        "AddressState": account.get("BillingState") or "",
        "AddressCountryRegionId": country_id(account.get("BillingCountry")),
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
        found += wrong(key, customer, expected_customer(account, company))
        number = account["D365_Customer_Number__c"]
        if number != customer["CustomerAccount"]:
            found.append(f"{key}: number {number!r}, should be {customer['CustomerAccount']!r}")
    known = {account["Id"] for account in accounts}
    found += [f"customer of unknown account {key}" for key in owners if key and key not in known]
    return found


async def account_differences(sandbox: Sandbox, *, without: Iterable[str] = ()) -> list[str]:
    """Every account with a customer whose fields of F&O are not the customer's."""
    customers = {
        row["SalesforceAccountId"]: row for row in await rows(sandbox, "d365", "CustomersV3")
    }
    barred = set(without)
    found: list[str] = []
    for account in await rows(sandbox, "salesforce", "Account"):
        customer = customers.get(account["Id"])
        if customer is not None and account["Id"] not in barred:
            wanted = {name: customer[source] for name, source in FROM_D365.items()}
            found += wrong(account["Id"], account, wanted)
    return found
