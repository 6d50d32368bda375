"""The needs that `doctor` checks are those of the flows: nothing that a flow reads or writes is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from integration.cli.checks.d365_needs import D365Needs
from integration.cli.checks.salesforce_keys import key_needs
from integration.cli.checks.salesforce_needs import salesforce_needs
from integration.flows import orders, stock
from integration.flows.invoice_reading import PostedInvoices
from integration.flows.sales_orders import SalesOrders
from integration.mapping.accounts import OPTIONAL_SOURCES
from integration.mapping.contacts import OPTIONAL_SOURCES as OF_CONTACTS
from sandbox.salesforce.schema import Schema
from tests.contract.salesforce_package import usage
from tests.unit.doctor_support import given

if TYPE_CHECKING:
    from integration.cli.checks.given import Given
    from integration.cli.checks.needs import Needs

EVERYTHING = {
    "ORDER_DELIVERY_ADDRESS": "account-shipping",
    "CUSTOMERS_WITHOUT_ACCOUNT": "create",
    "PAYMENTS_CURRENCIES": "usmf=USD",
}
SYSTEM = {"IsDeleted", "SystemModstamp"}  # always there
FLOWS = ("ACCOUNTS", "CONTACTS", "ORDERS", "CUSTOMERS", "INVOICES", "PRICES", "PAYMENTS")
NOWHERE = cast("Any", None)


def of_salesforce(found: Given) -> dict[str, Needs]:
    extra = OPTIONAL_SOURCES | OF_CONTACTS | {"ShippingCountryCode", "ShippingStateCode"}
    fields = {name: {*each.fields, *extra} for name, each in Schema().objects.items()}
    return salesforce_needs(found.settings, found.customisation, fields)


def of_d365(found: Given) -> dict[str, Needs]:
    return D365Needs(found.settings, found.customisation).sets()


def test_every_field_that_the_app_uses_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = '[companies]\nfield = "Legal_Entity__c"\n[accounts.customer_groups]\n'
    mapping += 'field = "Customer_Group__c"\ntable = { "A" = "10" }\n'
    needs = of_salesforce(given(monkeypatch, mapping, **EVERYTHING))
    read = {f"{name}.{each}" for name, need in needs.items() for each in need.fields}
    written = {
        f"{name}.{each}" for name, need in needs.items() for each in need.create | need.update
    }
    used = {name for name in usage().read if name.split(".")[1] not in SYSTEM}
    assert used <= read
    assert usage().written <= written
    assert set(orders._READ) - SYSTEM - {"Id"} <= needs["Opportunity"].read


def test_every_column_that_a_flow_asks_for_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch)
    needs = of_d365(found)
    selects: list[dict[str, Any]] = [
        SalesOrders(NOWHERE, found.settings)._select,
        PostedInvoices(NOWHERE, 5)._select,
        stock._SELECT,
    ]
    for select in selects:
        for entity_set, columns in select.items():
            assert set(columns) <= needs[entity_set].read, entity_set


@pytest.mark.parametrize("off", FLOWS)
def test_a_flow_that_is_off_needs_nothing(monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    found = given(monkeypatch, **{f"FLOW_{off}": "off"})
    both = {**of_salesforce(found), **of_d365(found)}
    assert not [name for name, need in both.items() if off.lower() in need.flows]
    dry = given(monkeypatch, **{f"FLOW_{off}": "dry"})
    both = {**of_salesforce(dry), **of_d365(dry)}
    assert [name for name, need in both.items() if off.lower() in need.flows]


def test_without_flows_only_the_stock_check_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, **{f"FLOW_{name}": "off" for name in FLOWS})
    assert of_salesforce(found) == {}
    assert set(of_d365(found)) == {"ReleasedProductsV2", "WarehousesOnHandV2"}


def test_fields_of_the_mapping_file_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = (
        '[companies]\nfield = "Region__c"\n'
        '[accounts.fields.TaxExemptNumber]\nsource = "VAT__c"\n'
        '[accounts.fields.CreditRating]\nsource = "Rating__c"\nowner = "d365"\n'
        '[contacts.fields.Notes]\nsource = "Hint__c"\non = "create"\n'
        '[prices.product_fields]\nWeight__c = "NetProductWeight"\n'
    )
    found = given(monkeypatch, mapping)
    salesforce, d365 = of_salesforce(found), of_d365(found)
    assert {"Region__c", "VAT__c", "Rating__c"} <= salesforce["Account"].read
    assert "Rating__c" in salesforce["Account"].update
    assert "Hint__c" in salesforce["Contact"].read
    assert "Weight__c" in salesforce["Product2"].create
    assert "TaxExemptNumber" in d365["CustomersV3"].update
    assert "CreditRating" in d365["CustomersV3"].read - d365["CustomersV3"].update
    assert "Notes" in d365["ContactPersons"].create - d365["ContactPersons"].update
    assert "NetProductWeight" in d365["ReleasedProductsV2"].read


def test_fields_that_an_org_lacks_by_its_features_are_not_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = given(monkeypatch)
    needs = salesforce_needs(found.settings, found.customisation, {"Account": {"Name"}})
    assert not {"CurrencyIsoCode", "BillingStateCode", "IsPersonAccount"} & needs["Account"].read
    assert "D365_Credit_Limit__c" in needs["Account"].useful - needs["Account"].fields


def test_the_tenants_own_columns_are_known_by_their_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = given(
        monkeypatch, D365_SALESFORCE_ID_FIELD="MyId", DELETED_ACCOUNTS="block",
        DELETED_CUSTOMER_FIELD="MyMark", CUSTOMER_NUMBERING="salesforce-id",
        ORDER_NUMBERING="opportunity-id",
    )  # fmt: skip
    needs = of_d365(found)
    customers, headers = needs["CustomersV3"], needs["SalesOrderHeadersV2"]
    assert customers.custom == {
        "MyId": "D365_SALESFORCE_ID_FIELD",
        "MyMark": "DELETED_CUSTOMER_FIELD",
    }
    assert {"OnHoldStatus", "MyMark"} <= customers.update
    assert "CustomerAccount" in customers.create
    assert headers.custom == {}
    assert "SalesOrderNumber" in headers.create


def test_every_company_that_a_rule_names_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = (
        '[companies]\nfield = "Region__c"\ntable = { "North" = "NOMF" }\n'
        '[companies.by_country]\nGermany = "demf"\n'
        '[prices.books."Wholesale"]\ncompany = "frmf"\n'
    )
    found = given(monkeypatch, mapping, PAYMENTS_CURRENCIES="usmf=USD,itmf=EUR")
    assert D365Needs(found.settings, found.customisation).companies() == {
        "usmf": "D365_COMPANY, PAYMENTS_CURRENCIES",
        "nomf": "[companies]",
        "demf": "[companies]",
        "frmf": "[prices]",
        "itmf": "PAYMENTS_CURRENCIES",
    }


def test_keys_are_long_enough_for_the_companies_and_books(monkeypatch: pytest.MonkeyPatch) -> None:
    one = given(monkeypatch)
    several = given(
        monkeypatch, f'[companies]\nfield = "R__c"\n[prices.books."{"B" * 60}"]\ngroup = "1"\n'
    )
    lengths = {
        (each.object, each.field): each.length
        for each in key_needs(one.settings, one.customisation)
    }
    assert lengths["Account", "D365_Customer_Number__c"] == 20
    longer = {each.object: each for each in key_needs(several.settings, several.customisation)}
    assert longer["Account"].length == 25
    assert longer["PricebookEntry"].length == 60 + len("|") + 20 + len("|USD")
    assert longer["Product2"].cased
