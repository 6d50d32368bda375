"""Contact → ContactPersons: values, lengths, and what holds for every contact."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import ConfigurationError, RecordRejected
from integration.mapping import contact_persons
from integration.mapping.contacts import OPTIONAL_SOURCES, ContactMapping, contact_mapping
from integration.mapping.customisation import load_customisation
from integration.mapping.values import is_empty, length_of

CONTACT: dict[str, Any] = {
    "attributes": {"type": "Contact"},
    "Id": "003A000001abcde",
    "AccountId": "001A000001abcdeIAA",
    "FirstName": "Maximiliana-Alexandrina-Dorothea",
    "LastName": "von Hohenzollern-Sigmaringen-Hechingen",
    "Email": "max@example.org",
    "Phone": "+49  7571 1",
    "MobilePhone": "+49 170 1",
    "Title": "Head of Purchasing",
    "Department": "Purchasing",
    "MailingStreet": "1 Main St\r\nFloor 2",
    "MailingCity": "Redmond",
    "MailingPostalCode": "98052",
    "MailingState": "Washington",
    "MailingCountry": "United States",
    "D365_Contact_Number__c": None,
}


def mapping(text: str | None = None) -> ContactMapping:
    return contact_mapping(
        load_customisation(text),
        contact_id_field="SalesforceContactId",
        contact_number_field="D365_Contact_Number__c",
    )


def test_a_contact_becomes_a_contact_person() -> None:
    mapped = mapping().map(CONTACT)
    assert mapped.values == {
        "SalesforceContactId": "003A000001abcdeIAA",
        "FirstName": "Maximiliana-Alexandrina-D",
        "LastName": "von Hohenzollern-Sigmarin",
        "PrimaryEmailAddress": "max@example.org",
        "PrimaryPhoneNumber": "+49 7571 1",
        "IsPrimaryPhoneNumberMobile": "No",
        "EmploymentJobTitle": "Head of Purchasing",
        "EmploymentDepartment": "Purchasing",
        "PrimaryAddressStreet": "1 Main St\nFloor 2",
        "PrimaryAddressCity": "Redmond",
        "PrimaryAddressZipCode": "98052",
        "PrimaryAddressStateId": "WA",
        "PrimaryAddressCountryRegionId": "USA",
    }
    assert mapped.create_only == {"ContactInformationLanguageId": "en-US"}


@pytest.mark.parametrize(
    ("phone", "mobile", "number", "is_mobile"),
    [
        ("1", "2", "1", "No"),
        ("1", None, "1", "No"),
        (None, "2", "2", "Yes"),
        ("  ", "2", "2", "Yes"),
        (None, None, "", "No"),
    ],
)
def test_the_mobile_phone_counts_where_there_is_no_other(
    phone: str | None, mobile: str | None, number: str, is_mobile: str
) -> None:
    values = mapping().map({**CONTACT, "Phone": phone, "MobilePhone": mobile}).values
    assert values["PrimaryPhoneNumber"] == number
    assert values["IsPrimaryPhoneNumberMobile"] == is_mobile


def test_an_emptied_field_empties_the_persons_field_and_is_left_out_of_a_creation() -> None:
    mapped = mapping().map({**CONTACT, "Email": None})
    assert mapped.values["PrimaryEmailAddress"] == ""
    assert "PrimaryEmailAddress" not in mapped.for_creation()


def test_a_contact_without_last_name_or_with_an_unknown_country_is_rejected_with_both() -> None:
    with pytest.raises(RecordRejected) as rejected:
        mapping().map({**CONTACT, "LastName": None, "MailingCountry": "Atlantis"})
    assert rejected.value.reason == "mapping"
    assert "LastName" in rejected.value.description
    assert "'Atlantis'" in rejected.value.description


def test_codes_are_preferred_where_the_org_has_them() -> None:
    record = {**CONTACT, "MailingCountryCode": "CA", "MailingStateCode": "ON"}
    values = mapping().map(record).values
    assert values["PrimaryAddressCountryRegionId"] == "CAN"
    assert values["PrimaryAddressStateId"] == "ON"


def test_fields_that_an_org_may_lack_are_read_only_where_it_has_them() -> None:
    plain = mapping().source_fields()
    assert not OPTIONAL_SOURCES & set(plain)
    assert set(mapping().source_fields(OPTIONAL_SOURCES)) >= OPTIONAL_SOURCES


def test_the_built_in_targets_are_those_the_mapping_file_is_checked_against() -> None:
    table = mapping().table
    assert {rule.target for rule in table.rules} - {
        "SalesforceContactId"
    } == contact_persons.BUILT_IN
    for rule in table.rules:
        if rule.is_written and rule.length and rule.target in contact_persons.ENTITY.lengths:
            assert rule.length == contact_persons.ENTITY.lengths[rule.target]


def test_the_mapping_file_adds_changes_and_removes_fields_of_contacts() -> None:
    own = mapping(
        '[contacts.fields.DecisionMakingRoleCode]\nsource = "Role__c"\n'
        "[contacts.fields.EmploymentJobTitle]\nmax_length = 30\n"
        "[contacts.fields.PrimaryAddressStreet]\nremove = true\n"
    )
    values = own.map({**CONTACT, "Role__c": "Decider", "Title": "x" * 60}).values
    assert values["DecisionMakingRoleCode"] == "Decider"
    assert values["EmploymentJobTitle"] == "x" * 30
    assert "PrimaryAddressStreet" not in values
    assert "Role__c" in own.source_fields()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[contacts.fields.AssociatedPartyNumber]\nsource = 'X'", "is set by the app"),
        ("[contacts.fields.LastName]\nremove = true", "needs this field for every contact person"),
        ("[contacts.fields.lastname]\nsource = 'X'", "write it as LastName"),
        ("[contacts.fields.IsVIP]\nmax_length = 3", "name the Contact field"),
        ("[contacts.field.IsVIP]\nsource = 'X'", "contacts.field: unknown key; use fields"),
    ],
)
def test_mistakes_in_the_fields_of_contacts_are_told(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        mapping(text)


def test_the_mapping_file_cannot_map_the_id_field() -> None:
    with pytest.raises(ConfigurationError, match="D365_SALESFORCE_CONTACT_ID_FIELD"):
        mapping('[contacts.fields.SalesforceContactID]\nsource = "Foo__c"')


MAPPING = mapping('[contacts.fields.IsVIP]\nsource = "Vip__c"\ntransform = "no_yes"\n')
TEXT = st.text(max_size=300)
ANYTHING = st.one_of(st.none(), TEXT, st.integers(), st.floats(), st.booleans())
RECORDS = st.dictionaries(
    st.sampled_from([*MAPPING.source_fields(OPTIONAL_SOURCES), "Vip__c"]), ANYTHING
)
FILLED = st.one_of(st.none(), TEXT)
GOOD_RECORDS = st.fixed_dictionaries(
    {
        **dict.fromkeys(MAPPING.source_fields(), FILLED),
        "Id": st.from_regex(r"[A-Za-z0-9]{15}", fullmatch=True),
        "LastName": TEXT.map(lambda text: "N" + text),
        "MailingState": st.one_of(st.none(), st.sampled_from(["Texas", "CA", "Bayern"])),
        "MailingCountry": st.one_of(st.none(), st.sampled_from(["US", "Deutschland", "España"])),
        "Vip__c": st.booleans(),
    }
)


@given(RECORDS)
def test_any_contact_is_mapped_or_rejected_and_no_length_is_exceeded(
    record: dict[str, object],
) -> None:
    mapped = MAPPING.table.apply(record)
    for rule in MAPPING.table.rules:
        value = {**mapped.values, **mapped.create_only}.get(rule.target)
        if isinstance(value, str) and rule.length:
            assert length_of(value) <= rule.length
            value.encode()
    assert MAPPING.skip_reason(record) in (None, "person-account")
    if mapped.problems:
        with pytest.raises(RecordRejected):
            MAPPING.map(record)
    else:
        assert MAPPING.map(record) == mapped


@given(GOOD_RECORDS)
def test_a_person_that_equals_the_mapping_has_no_differences(record: dict[str, object]) -> None:
    mapped = MAPPING.map(record)
    assert MAPPING.table.differences(mapped, mapped.values) == []
    assert MAPPING.map(record) == mapped
    kept = {name: value for name, value in mapped.values.items() if not is_empty(value)}
    assert MAPPING.table.differences(mapped, kept) == []
    assert not any(is_empty(value) for value in mapped.for_creation().values())
