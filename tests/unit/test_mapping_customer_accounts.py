"""Mapping of customers back to accounts: total, within Salesforce's lengths, and nothing is lost."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.errors import RecordNeedsReview, RecordRejected
from integration.mapping.accounts import account_mapping
from integration.mapping.customer_accounts import CustomerAccountMapping, customer_account_table
from integration.mapping.customisation import load_customisation
from sandbox.salesforce.schema import Schema
from tests.unit.receivables_support import NUMBER

ID = "SalesforceAccountId"


def mapping_of(text: str | None = None) -> CustomerAccountMapping:
    accounts = account_mapping(
        load_customisation(text),
        default_company="usmf",
        salesforce_id_field=ID,
        customer_number_field=NUMBER,
    )
    return CustomerAccountMapping(accounts, customer_account_table(accounts.table), NUMBER)


@cache
def fields() -> dict[str, Any]:
    return Schema().objects["Account"].fields


texts = st.text(max_size=300)
customers = st.fixed_dictionaries(
    {
        "dataAreaId": st.just("usmf"), "CustomerAccount": st.text(min_size=1, max_size=20),
        "CreditLimit": st.decimals(-(10**12), 10**12, places=4), "PaymentTerms": texts,
        "OnHoldStatus": st.sampled_from(["No", "All", "Invoice", "Never"]), "CustomerGroupId": texts,
        "OrganizationName": texts, "AddressStreet": texts, "AddressCity": texts, "AddressZipCode": texts,
        "AddressState": texts, "PrimaryContactPhone": texts, "PrimaryContactURL": texts,
        "AddressCountryRegionId": st.sampled_from(["", "DEU", "USA", "XXX"]),
        "AddressCountryRegionISOCode": st.sampled_from(["", "DE", "US"]),
        "SalesCurrencyCode": st.sampled_from(["USD", "EUR", ""]), "PartyType": st.just("Organization"),
    }
)  # fmt: skip


def test_every_field_exists_in_salesforce() -> None:
    table = mapping_of().table
    assert {rule.sources[0] for rule in table.rules} <= set(fields())
    assert all(rule.owner == "d365" for rule in table.rules)


@given(customers)
def test_what_dynamics_owns_fits_and_settles(customer: dict[str, Any]) -> None:
    mapping = mapping_of()
    owned = mapping.owned(customer, "C-1", fields())
    for name, value in owned.values.items():
        assert not isinstance(value, float)
        if isinstance(value, str):
            assert len(value) <= fields()[name].length
        if isinstance(value, Decimal):
            assert value == round(value, 2)
    assert mapping.table.differences(owned, dict(owned.values)) == []


@settings(max_examples=200)
@given(customers)
def test_a_new_account_loses_nothing_or_is_not_made(customer: dict[str, Any]) -> None:
    mapping = mapping_of()
    try:
        account = mapping.new_account(customer, fields())
    except (RecordNeedsReview, RecordRejected):
        return
    whole = {name: account.get(name) for name in fields()} | {"Id": "001000000000000AAA"}
    forward = mapping.accounts.map(whole)
    differing = mapping.accounts.table.differences(forward.mapped, customer)
    assert [change.field for change in differing] == [ID]
    assert forward.company == "usmf"


def test_a_review_names_what_does_not_fit() -> None:
    customer = {"dataAreaId": "usmf", "OrganizationName": "Acme", "SalesCurrencyCode": "USD"}
    odd = {**customer, "AddressCountryRegionId": "ATLANTIS"}
    with pytest.raises(RecordNeedsReview, match="ATLANTIS"):
        mapping_of().new_account(odd, fields())
    assert mapping_of().new_account(customer, fields())["Name"] == "Acme"


def test_a_tenants_lines_go_back_with_the_built_in_ones() -> None:
    text = '[accounts.fields.CreditRating]\nsource = "Rating"\nowner = "d365"\n'
    mapping = mapping_of(text)
    owned = mapping.owned({"CreditRating": "Hot", "CreditLimit": 5}, "C-1", fields())
    assert owned.values == {"Rating": "Hot", "D365_Credit_Limit__c": Decimal(5), NUMBER: "C-1"}
