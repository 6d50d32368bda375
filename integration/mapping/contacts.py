"""Contact → ContactPersons: the table, and which contacts never become a contact person.

F&O has no field for the salutation (F&O contract 5.3), and one primary phone where Salesforce has two:
the business phone, or the mobile phone where there is no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.mapping import codes, contact_persons, transforms
from integration.mapping.tables import FieldRule, Mapped, MappingTable, Record, rejection
from integration.mapping.tenant import tenant_rules
from integration.mapping.transform import Transform
from integration.mapping.values import is_empty

if TYPE_CHECKING:
    from collections.abc import Collection

    from integration.mapping.customisation import Customisation

PERSON_ACCOUNT = "person-account"  # the reason of the skip
MAILING_COUNTRY = ("MailingCountryCode", "MailingCountry")

# Exist only in orgs with state and country picklists, middle names, or person accounts.
OPTIONAL_SOURCES = frozenset(
    {"MailingCountryCode", "MailingStateCode", "MiddleName", "IsPersonAccount"}
)


def _mobile_alone() -> Transform:
    """Yes where the mobile phone is the only one, and so the primary one."""
    return Transform(
        "mobile_alone",
        lambda _, business: "Yes" if is_empty(business) else "No",
        empty="No",
    )


def contact_table(
    customisation: Customisation, contact_id_field: str, contact_number_field: str
) -> MappingTable:
    """The table with the tenant's changes.

    `contact_id_field` is the custom field on ContactPerson, `contact_number_field` the Contact field for
    the number. Raises ConfigurationError if the mapping file maps a field the settings already name.
    """
    rules = tenant_rules(
        contact_persons.ENTITY,
        _built_in_rules(customisation, contact_id_field, contact_number_field),
        customisation.contacts.fields,
        customisation.books,
        id_field=(contact_id_field, "D365_SALESFORCE_CONTACT_ID_FIELD"),
    )
    entity = contact_persons.ENTITY
    return MappingTable(
        "contacts", "Contact", entity.entity_set, rules, entity.keys, OPTIONAL_SOURCES
    )


def _built_in_rules(
    customisation: Customisation, contact_id_field: str, contact_number_field: str
) -> tuple[FieldRule, ...]:
    t, books = transforms, customisation.books
    language = customisation.accounts.defaults.LanguageId
    return (
        FieldRule("Id", contact_id_field, codes.salesforce_id(), required=True,
                  note="identifies the contact person; 18 characters, because F&O ignores case"),
        FieldRule(contact_number_field, "ContactPersonId", t.direct(), owner="d365",
                  note="written back after creation"),
        FieldRule("FirstName", "FirstName", t.cut(25), note="Salesforce allows 40"),
        FieldRule("MiddleName", "MiddleName", t.cut(25)),
        FieldRule("LastName", "LastName", t.cut(25), required=True, note="Salesforce allows 80"),
        FieldRule("Email", "PrimaryEmailAddress", t.cut(255)),
        FieldRule(("Phone", "MobilePhone"), "PrimaryPhoneNumber", t.phone(255)),
        FieldRule("MobilePhone", "IsPrimaryPhoneNumberMobile", _mobile_alone(), beside=("Phone",),
                  note="Yes where the contact has a mobile phone only"),
        FieldRule("Title", "EmploymentJobTitle", t.cut(60), note="Salesforce allows 128"),
        FieldRule("Department", "EmploymentDepartment", t.cut(60), note="Salesforce allows 80"),
        FieldRule("MailingStreet", "PrimaryAddressStreet", t.cut_lines(250),
                  note="line breaks kept"),
        FieldRule("MailingCity", "PrimaryAddressCity", t.cut(60)),
        FieldRule("MailingPostalCode", "PrimaryAddressZipCode", t.cut(10)),
        FieldRule(("MailingStateCode", "MailingState"), "PrimaryAddressStateId",
                  codes.state(10, books.states, books.countries), beside=MAILING_COUNTRY,
                  note="must exist for the country"),
        FieldRule(MAILING_COUNTRY, "PrimaryAddressCountryRegionId", codes.country(books.countries),
                  note="name or code; ids per tenant under [countries]"),
        FieldRule((), "ContactInformationLanguageId", t.constant(language), on="create",
                  max_length=7, compare="ignore-case", note="as a new customer's"),
    )  # fmt: skip


@dataclass(frozen=True)
class ContactMapping:
    """What the contact flow uses."""

    table: MappingTable

    def source_fields(self, available: Collection[str] | None = None) -> tuple[str, ...]:
        """Contact fields to read; those an org may lack only where its describe has them."""
        tells = ("IsPersonAccount",) if "IsPersonAccount" in (available or ()) else ()
        return tuple(dict.fromkeys((*self.table.source_fields(available), *tells)))

    def skip_reason(self, record: Record) -> str | None:
        """The contact inside a person account is the customer itself, which the account flow keeps."""
        return PERSON_ACCOUNT if record.get("IsPersonAccount") is True else None

    def map(self, record: Record) -> Mapped:
        """Raises one RecordRejected (reason "mapping") with every problem."""
        mapped = self.table.apply(record)
        if mapped.problems:
            raise rejection(mapped.problems)
        return mapped


def contact_mapping(
    customisation: Customisation, *, contact_id_field: str, contact_number_field: str
) -> ContactMapping:
    """Raises ConfigurationError."""
    return ContactMapping(contact_table(customisation, contact_id_field, contact_number_field))
