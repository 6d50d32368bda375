"""The tenant's mapping file: what it changes, and that every mistake is listed at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.errors import ConfigurationError
from integration.mapping.accounts import account_mapping
from integration.mapping.customisation import Customisation, load_customisation

if TYPE_CHECKING:
    from integration.mapping.tables import FieldRule

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mapping.toml"

WRONG = """
surprise = 1
[companies]
default = "toolong"
tabel = {}
by_country = { Atlantis = "usmf", DE = "a", Germany = "b" }
[countries]
code = "iso"
[countries.ids]
Germany = "far too long for it"
[states.Nowhere]
x = "y"
[accounts]
person_accounts = "yes"
[accounts.defaults]
CustomerGroupID = "10"
LanguageId = "far too long"
SalesCurrencyCode = "usd"
[accounts.customer_groups]
table = { a = "1" }
[accounts.fields.addressCity]
source = "X"
[accounts.fields.Vat]
transform = "shout(3)"
ownr = "me"
max_length = 0
[accounts.fields.A]
source = ["b-c"]
transform = "map"
[accounts.fields.B]
transform = "constant"
value = true
[accounts.fields.b]
source = "B__c"
[accounts.fields.PartyType]
remove = true
[accounts.fields.OrganizationName]
remove = true
[accounts.fields.AddressStreet]
transform = "cut(900)"
[accounts.fields.C]
source = ["D__c", "E__c"]
owner = "d365"
on = "create"
[accounts.fields.PaymentTerms]
source = "F__c"
default = "longer than ten"
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load_customisation(text)
    return refused.value.problems


def test_every_mistake_is_listed_at_once_with_its_place_and_what_to_do() -> None:
    problems = problems_of(WRONG)
    for expected in (
        "surprise: unknown key; use accounts, companies, contacts, countries",
        "companies.default: 'toolong' is not a company",
        "companies.tabel: unknown key; use by_country, default, field, table",
        "companies.by_country.Atlantis: not a known country",
        "companies.by_country.Germany: the same country as DE",
        "countries.code: ",
        "countries.ids.Germany: ",
        "states.Nowhere: not a known country",
        "accounts.person_accounts: ",
        "accounts.defaults.CustomerGroupID: unknown key; use CustomerGroupId",
        "accounts.defaults.LanguageId: ",
        "accounts.defaults.SalesCurrencyCode: 'usd' is not a currency code",
        "accounts.customer_groups.field: ",
        "accounts.fields.addressCity: duplicate target; write it as AddressCity",
        "accounts.fields.Vat.transform: unknown transform 'shout(3)'; use one of",
        "accounts.fields.Vat.ownr: unknown key; use ",
        "accounts.fields.Vat.max_length: ",
        "accounts.fields.Vat: needs source",
        "accounts.fields.A.source.0: 'b-c' is not the API name",
        "accounts.fields.A.table: transform map needs it",
        "accounts.fields.B.value: must be a text or a number",
        "accounts.fields.b: duplicate target, the same as B",
        "accounts.fields.PartyType: is set by the app",
        "accounts.fields.OrganizationName.remove: F&O needs this field",
        "accounts.fields.AddressStreet.transform: cuts to 900, above the field's 250",
        "accounts.fields.C.source: a field F&O owns goes back to one Account field",
        "accounts.fields.C.on: has no effect",
        "accounts.fields.PaymentTerms.default: longer than the field's 10",
    ):
        assert any(p.startswith(f"mapping file: {expected}") for p in problems), expected
    assert len(problems) == len(set(problems)) == 28


@pytest.mark.parametrize(
    "text",
    [
        "[companies\n",
        'a = "1"\na = "2"',
        "[companies]\ndefault = 5",
        'companies = "usmf"',
        "[accounts]\nfields = 3",
        "[accounts.fields]\nVat = 3",
        "[accounts.fields.Vat]\nsource = 3",
        '[accounts.fields.Vat]\nsource = []',
        '[accounts.fields."a b"]\nsource = "X"',
        '[accounts.fields.Vat]\nsource = "X"\ntransform = 5',
        '[accounts.fields.Vat]\nsource = "X"\ntransform = "map"\ntable = {}',
        '[accounts.fields.Vat]\nsource = "X"\ntransform = "map"\ntable = { a = 1979-05-27 }',
        '[companies]\ntable = { a = "usmf" }',
        '[accounts.fields.AddressCity]\nremove = true\nsource = "X"',
        "[accounts.fields.Vat]\nremove = true",
        '[accounts.fields.AddressCity]\nvalue = "x"',
        '[accounts.fields.Vat]\nsource = "X"\ntransform = "country"\nowner = "d365"',
        '[accounts.fields.Vat]\nsource = "X"\ntransform = "constant"\nvalue = "x"\ndefault = "y"',
        '[accounts.fields.Vat]\nsource = "X"\ntransform = "state"',
        '[countries]\nids = 4\n[states]\nDE = 5',
    ],
)  # fmt: skip
def test_a_file_of_any_wrong_shape_is_a_configuration_error(text: str) -> None:
    assert all(problem.startswith("mapping file: ") for problem in problems_of(text))


def test_no_file_means_the_defaults() -> None:
    assert load_customisation(None) == load_customisation("") == Customisation()


def rules_of(text: str) -> dict[str, FieldRule]:
    own = account_mapping(
        load_customisation(text), default_company="usmf", salesforce_id_field="SalesforceAccountId"
    )
    return {rule.target: rule for rule in own.table.rules}


def test_the_example_file_is_valid_and_does_what_it_says() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    rules = rules_of(text)
    assert rules["OrganizationName"].transform.name == "cut(60)"
    assert "PrimaryContactURL" not in rules
    assert rules["CreditLimit"].owner == "d365"
    assert rules["PaymentTerms"].on == "create"
    own = account_mapping(
        load_customisation(text), default_company="dat", salesforce_id_field="SalesforceAccountId"
    )
    account = own.map(
        {
            "Id": "001A000001abcde",
            "Name": "N" * 80,
            "BillingCountry": "Deutschland",
            "BillingState": "Nordrhein-Westfalen",
            "Type": "partner",
            "VAT_Number__c": "de1",
            "Payment_Terms__c": None,
        }
    )
    assert account.company == "demf"
    assert account.mapped.for_creation() == {
        "SalesforceAccountId": "001A000001abcdeIAA",
        "OrganizationName": "N" * 60,
        "AddressCountryRegionId": "D",
        "AddressState": "NW",
        "TaxExemptNumber": "DE1",
        "PaymentTerms": "Net30",
        "CustomerGroupId": "30",
        "LanguageId": "en-US",
        "PartyType": "Organization",
        "SalesCurrencyCode": "USD",
    }


def test_a_built_in_field_keeps_what_the_file_does_not_change() -> None:
    rules = rules_of(
        '[accounts.fields.AddressCity]\nsource = ["Town__c", "BillingCity"]\n'
        '[accounts.fields.AddressState]\nmax_length = 3\n'
        '[accounts.fields.LanguageId]\nsource = "Language__c"\n'
        '[accounts.fields.CustomerGroupId]\non = "always"\n'
        '[accounts.fields.Segment]\ntransform = "constant"\nvalue = "A"'
    )  # fmt: skip
    assert rules["AddressCity"].sources == ("Town__c", "BillingCity")
    assert rules["AddressCity"].transform.name == "cut(60)"
    assert rules["AddressState"].transform.name == "state(3)"
    assert rules["AddressState"].beside
    assert rules["LanguageId"].transform.name == "direct, default(en-US)"
    assert rules["CustomerGroupId"].on == "always"
    assert rules["Segment"].map({}) == "A"


def test_a_company_follows_the_field_the_country_is_read_from() -> None:
    own = load_customisation(
        '[companies.by_country]\nDE = "demf"\n'
        '[accounts.fields.AddressCountryRegionId]\nsource = "Seat__c"'
    )
    rule = own.company_rule("usmf")
    assert rule.source_fields() == ("Seat__c",)
    assert rule.company_of({"Seat__c": "Germany", "BillingCountry": "US"}) == "demf"
