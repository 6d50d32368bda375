"""Account → CustomersV3: values, ownership, differences, person accounts, companies."""

from __future__ import annotations

from typing import Any

import pytest

from integration.errors import ConfigurationError, RecordRejected
from integration.mapping import customers
from integration.mapping.accounts import AccountMapping, account_mapping, account_table
from integration.mapping.companies import CompanyRule
from integration.mapping.countries import CountryBook
from integration.mapping.customisation import load_customisation
from integration.mapping.tables import Mapped

ACCOUNT: dict[str, Any] = {
    "attributes": {"type": "Account"},
    "Id": "001A000001abcde",
    "Name": "Contoso Ltd",
    "BillingStreet": "1 Main St\r\nFloor 2",
    "BillingCity": "Redmond",
    "BillingPostalCode": "98052",
    "BillingState": "Washington",
    "BillingCountry": "United States",
    "Phone": "+1 425 555 0100",
    "Website": "https://contoso.example",
    "CurrencyIsoCode": "USD",
    "D365_Customer_Number__c": None,
}


def mapping(text: str | None = None) -> AccountMapping:
    return account_mapping(
        load_customisation(text),
        default_company="USMF",
        salesforce_id_field="SalesforceAccountId",
        customer_number_field="D365_Customer_Number__c",
    )


def test_an_account_becomes_a_customer() -> None:
    account = mapping().map(ACCOUNT)
    assert account.company == "usmf"
    assert account.mapped.values == {
        "SalesforceAccountId": "001A000001abcdeIAA",
        "OrganizationName": "Contoso Ltd",
        "AddressStreet": "1 Main St\nFloor 2",
        "AddressCity": "Redmond",
        "AddressZipCode": "98052",
        "AddressState": "WA",
        "AddressCountryRegionId": "USA",
        "PrimaryContactPhone": "+1 425 555 0100",
        "PrimaryContactURL": "https://contoso.example",
    }
    assert account.mapped.create_only == {
        "PartyType": "Organization",
        "SalesCurrencyCode": "USD",
        "CustomerGroupId": "10",
        "LanguageId": "en-US",
    }


def test_codes_are_preferred_where_the_org_has_them() -> None:
    record = {**ACCOUNT, "BillingCountryCode": "CA", "BillingStateCode": "ON"}
    values = mapping().map(record).mapped.values
    assert (values["AddressCountryRegionId"], values["AddressState"]) == ("CAN", "ON")


def test_an_emptied_field_empties_the_customers_field_and_is_left_out_of_a_creation() -> None:
    mapped = mapping().map({**ACCOUNT, "Phone": None}).mapped
    assert mapped.values["PrimaryContactPhone"] == ""
    assert "PrimaryContactPhone" not in mapped.for_creation()
    assert mapped.for_creation()["CustomerGroupId"] == "10"


def test_a_field_that_was_not_read_is_left_alone() -> None:
    record = {key: value for key, value in ACCOUNT.items() if key != "Phone"}
    assert "PrimaryContactPhone" not in mapping().map(record).mapped.values


def test_all_problems_of_a_record_are_one_rejection_that_names_each_field() -> None:
    rule = mapping('[companies]\nfield = "Legal_Entity__c"')
    record = {
        **ACCOUNT, "Id": "x", "Name": None, "BillingCountry": "Atlantis",
        "CurrencyIsoCode": "secret", "Legal_Entity__c": "too long",
    }  # fmt: skip
    with pytest.raises(RecordRejected) as rejected:
        rule.map(record)
    assert rejected.value.reason == "mapping"
    for name in ("SalesforceAccountId", "OrganizationName", "AddressCountryRegionId",
                 "SalesCurrencyCode", "dataAreaId"):  # fmt: skip
        assert name in rejected.value.description
    assert "'Atlantis'" in rejected.value.description
    assert "secret" not in rejected.value.description


def test_without_a_currency_anywhere_an_account_cannot_be_created_and_a_default_mends_it() -> None:
    record = {key: value for key, value in ACCOUNT.items() if key != "CurrencyIsoCode"}
    refusal = mapping().map(record).creation_rejection()
    assert refusal is not None
    assert "SalesCurrencyCode" in refusal.description
    own = mapping('[accounts.defaults]\nSalesCurrencyCode = "EUR"')
    assert own.map(record).mapped.create_only["SalesCurrencyCode"] == "EUR"
    assert own.map(ACCOUNT).mapped.create_only["SalesCurrencyCode"] == "USD"


def test_a_person_account_becomes_a_person() -> None:
    record = {**ACCOUNT, "IsPersonAccount": True, "FirstName": "Ann", "LastName": "Lee"}
    mapped = mapping().map(record).mapped
    assert mapped.create_only["PartyType"] == "Person"
    assert (mapped.values["PersonFirstName"], mapped.values["PersonLastName"]) == ("Ann", "Lee")
    assert "OrganizationName" not in mapped.values
    assert mapping().skip_reason(record) is None


def test_person_accounts_can_be_skipped_with_the_reason() -> None:
    own = mapping('[accounts]\nperson_accounts = "skip"')
    assert own.skip_reason({**ACCOUNT, "IsPersonAccount": True}) == "person-account"
    assert own.skip_reason({**ACCOUNT, "IsPersonAccount": False}) is None
    assert own.skip_reason(ACCOUNT) is None
    assert "PersonLastName" not in own.table.target_fields()


def test_only_differences_of_owned_fields_are_found() -> None:
    own = mapping()
    mapped = own.map(ACCOUNT).mapped
    current = {
        **mapped.values,
        "AddressStreet": "1 Main St\r\nFloor 2  ",
        "AddressCountryRegionId": "usa",
        "AddressCity": "Bellevue",
        "CustomerAccount": "US-001",
        "CreditLimit": 5000,
        "CustomerGroupId": "80",
        "SalesCurrencyCode": "EUR",
        "LanguageId": "de",
        "PartyType": "Person",
    }
    changes = own.table.differences(mapped, current)
    assert [(c.field, c.current, c.new) for c in changes] == [
        ("AddressCity", "Bellevue", "Redmond")
    ]


def test_fields_of_f_and_o_go_back_and_are_never_written() -> None:
    own = mapping(
        '[accounts.fields.CreditLimit]\nsource = "Credit_Limit__c"\n'
        'transform = "decimal(2)"\nowner = "d365"'
    )
    record = {**ACCOUNT, "Credit_Limit__c": 100.0}
    assert "CreditLimit" not in own.map(record).mapped.for_creation()
    assert "CreditLimit" in own.table.target_fields()
    back = own.table.apply_back({"CustomerAccount": "US-001", "CreditLimit": 250})
    changes = own.table.differences(back, record)
    assert {c.field: str(c.new) for c in changes} == {
        "D365_Customer_Number__c": "US-001", "Credit_Limit__c": "250.00",
    }  # fmt: skip
    assert (
        own.table.differences(back, {"D365_Customer_Number__c": "US-001", "Credit_Limit__c": 250.0})
        == []
    )


def test_what_cannot_go_back_is_a_problem_of_that_field() -> None:
    own = mapping(
        '[accounts.fields.OnHold]\nsource = "On_Hold__c"\ntransform = "no_yes"\nowner = "d365"'
    )
    back = own.table.apply_back({"OnHold": "Maybe"})
    assert [problem.field for problem in back.problems] == ["On_Hold__c"]


def test_fields_to_read_follow_from_the_table_and_what_the_org_has() -> None:
    own = mapping()
    plain = own.source_fields()
    assert {"Id", "Name", "BillingStreet", "D365_Customer_Number__c"} <= set(plain)
    assert not {"CurrencyIsoCode", "BillingCountryCode", "IsPersonAccount"} & set(plain)
    assert {"CurrencyIsoCode", "IsPersonAccount"} <= set(
        own.source_fields({"CurrencyIsoCode", "IsPersonAccount"})
    )
    by_country = mapping('[companies.by_country]\nDE = "demf"')
    assert "BillingCountryCode" not in by_country.source_fields()
    assert own.table.target_fields()[:3] == ("dataAreaId", "CustomerAccount", "SalesforceAccountId")
    assert "LanguageId" not in own.table.target_fields()


def test_the_built_in_targets_are_those_the_mapping_file_is_checked_against() -> None:
    table = account_table(load_customisation(None), "SalesforceAccountId")
    targets = {rule.target for rule in table.rules} - {"SalesforceAccountId"}
    assert targets == customers.BUILT_IN
    for rule in table.rules:
        if rule.target in customers.LENGTHS and rule.is_written and rule.length:
            assert rule.length == customers.LENGTHS[rule.target]


def test_the_mapping_file_cannot_map_the_id_field() -> None:
    own = load_customisation('[accounts.fields.salesforceaccountid]\nsource = "Foo__c"')
    with pytest.raises(ConfigurationError, match="holds the Salesforce id"):
        account_table(own, "SalesforceAccountId")


def test_a_value_too_long_for_a_field_that_is_not_cut_is_a_problem() -> None:
    own = mapping('[accounts.fields.TaxExemptNumber]\nsource = "VAT__c"')
    with pytest.raises(RecordRejected, match=r"TaxExemptNumber .* is 21 characters .* holds 20"):
        own.map({**ACCOUNT, "VAT__c": "x" * 21})
    assert own.map({**ACCOUNT, "VAT__c": "x" * 20})


@pytest.mark.parametrize(
    ("rule", "record", "company"),
    [
        (CompanyRule("USMF"), {}, "usmf"),
        (CompanyRule("usmf", "Entity__c"), {"Entity__c": "DEMF"}, "demf"),
        (CompanyRule("usmf", "Entity__c"), {"Entity__c": None}, "usmf"),
        (CompanyRule("usmf", "Entity__c", {"Germany": "demf"}), {"Entity__c": "germany"}, "demf"),
        (CompanyRule("usmf", by_country={"DE": "demf"}), {"BillingCountry": "Deutschland"}, "demf"),
        (CompanyRule("usmf", by_country={"DE": "demf"}), {"BillingCountryCode": "FR"}, "usmf"),
        (CompanyRule("usmf", by_country={"DE": "demf"}), {}, "usmf"),
        (
            CompanyRule(by_country={"Kosovo": "xk"}, countries=CountryBook(ids={"Kosovo": "XKX"})),
            {"BillingCountry": "Kosovo"},
            "xk",
        ),
        (
            CompanyRule("usmf", "Entity__c", by_country={"DE": "demf"}),
            {"Entity__c": "frrt", "BillingCountry": "DE"},
            "frrt",
        ),
    ],
)
def test_the_company_of_an_account(
    rule: CompanyRule, record: dict[str, object], company: str
) -> None:
    assert rule.company_of(record) == company


@pytest.mark.parametrize(
    ("rule", "record"),
    [
        (CompanyRule(), {}),
        (CompanyRule("usmf", "Entity__c"), {"Entity__c": "Contoso"}),
        (CompanyRule("usmf", "Entity__c"), {"Entity__c": 7}),
        (CompanyRule("usmf", "Entity__c", {"Germany": "demf"}), {"Entity__c": "France"}),
        (CompanyRule("usmf", by_country={"DE": "demf"}), {"BillingCountry": "Atlantis"}),
        (CompanyRule(by_country={"DE": "demf"}), {"BillingCountry": "France"}),
    ],
)
def test_a_company_is_never_guessed(rule: CompanyRule, record: dict[str, object]) -> None:
    with pytest.raises(RecordRejected, match="dataAreaId") as rejected:
        rule.company_of(record)
    assert rejected.value.reason == "mapping"


def test_the_companies_a_rule_can_answer_are_known() -> None:
    assert CompanyRule("USMF").is_single_company
    assert not CompanyRule("usmf", "Entity__c").is_single_company
    assert CompanyRule("usmf", by_country={"DE": "DEMF"}).companies == ("usmf", "demf")


def test_a_mapped_record_without_problems_has_no_rejection() -> None:
    assert Mapped({}, {}).rejection() is None
