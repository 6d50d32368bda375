"""Account → CustomersV3: the table, the legal entity, and what happens to person accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from integration.mapping import codes, customers, transforms
from integration.mapping.companies import BILLING_COUNTRY
from integration.mapping.tables import (
    Condition,
    FieldProblem,
    FieldRule,
    Mapped,
    MappingTable,
    Record,
    rejection,
)
from integration.mapping.tenant import tenant_rules

if TYPE_CHECKING:
    from collections.abc import Collection

    from integration.errors import RecordRejected
    from integration.mapping.companies import CompanyRule
    from integration.mapping.customisation import Customisation

PERSON_ACCOUNT = "person-account"  # the reason of the skip

# Exist only in orgs with multi-currency, state and country picklists, or person accounts.
OPTIONAL_SOURCES = frozenset(
    {
        "CurrencyIsoCode", "BillingCountryCode", "BillingStateCode", "IsPersonAccount",
        "FirstName", "LastName",
    }
)  # fmt: skip


def is_person(record: Record) -> bool:
    return record.get("IsPersonAccount") is True


_TELLS = ("IsPersonAccount",)
_PERSONS = Condition("person accounts", is_person, _TELLS)
_ORGANISATIONS = Condition("business accounts", lambda record: not is_person(record), _TELLS)


def account_table(
    customisation: Customisation,
    salesforce_id_field: str,
    customer_number_field: str | None = None,
) -> MappingTable:
    """The table with the tenant's changes.

    `salesforce_id_field` is the custom field on CustTable; `customer_number_field` the Account field
    for the number, given where the table itself is to read it and carry it back.
    Raises ConfigurationError if the mapping file maps a field the settings already name.
    """
    rules = tenant_rules(
        customers.ENTITY,
        _built_in_rules(customisation, salesforce_id_field, customer_number_field),
        customisation.accounts.fields,
        customisation.books,
        id_field=(salesforce_id_field, "D365_SALESFORCE_ID_FIELD"),
    )
    return MappingTable(
        "accounts", "Account", "CustomersV3", rules, customers.KEYS, OPTIONAL_SOURCES
    )


def _built_in_rules(
    customisation: Customisation, salesforce_id_field: str, customer_number_field: str | None
) -> tuple[FieldRule, ...]:
    t, books, defaults = transforms, customisation.books, customisation.accounts.defaults
    groups = customisation.accounts.customer_groups
    currency = codes.currency()
    if defaults.SalesCurrencyCode:
        currency = t.default(defaults.SalesCurrencyCode, currency)
    if groups:
        group = t.mapped(groups.table, fallback=defaults.CustomerGroupId)
    else:
        group = t.constant(defaults.CustomerGroupId)
    people: tuple[FieldRule, ...] = ()
    if customisation.accounts.person_accounts == "person":
        people = (
            FieldRule("FirstName", "PersonFirstName", t.cut(25), condition=_PERSONS),
            FieldRule("LastName", "PersonLastName", t.cut(25), condition=_PERSONS, required=True),
        )
    party = t.mapped({"true": "Person", "false": "Organization"}, fallback="Organization")
    return (
        FieldRule("Id", salesforce_id_field, codes.salesforce_id(), required=True,
                  note="identifies the customer; 18 characters, because F&O ignores case"),
        FieldRule(customer_number_field or (), "CustomerAccount", t.direct(), owner="d365",
                  note="written back after creation"),
        FieldRule("Name", "OrganizationName", t.cut(100), required=True, condition=_ORGANISATIONS,
                  note="Salesforce allows 255"),
        *people,
        FieldRule("IsPersonAccount", "PartyType", party, on="create",
                  note="Person for person accounts, else Organization"),
        FieldRule("BillingStreet", "AddressStreet", t.cut_lines(250), note="line breaks kept"),
        FieldRule("BillingCity", "AddressCity", t.cut(60)),
        FieldRule("BillingPostalCode", "AddressZipCode", t.cut(10)),
        FieldRule(("BillingStateCode", "BillingState"), "AddressState",
                  codes.state(10, books.states, books.countries), beside=BILLING_COUNTRY,
                  note="must exist for the country"),
        FieldRule(BILLING_COUNTRY, "AddressCountryRegionId", codes.country(books.countries),
                  note="name or code; ids per tenant under [countries]"),
        FieldRule("Phone", "PrimaryContactPhone", t.phone(255)),
        FieldRule("Website", "PrimaryContactURL", t.url(255)),
        FieldRule("CurrencyIsoCode", "SalesCurrencyCode", currency, on="create", required=True,
                  note="cannot change freely once there are transactions"),
        FieldRule(groups.field if groups else (), "CustomerGroupId", group, on="create",
                  required=True, max_length=10),
        FieldRule((), "LanguageId", t.constant(defaults.LanguageId), on="create", max_length=7,
                  compare="ignore-case"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MappedAccount:
    """An account in F&O's terms, and the company it belongs to."""

    company: str
    mapped: Mapped

    def creation_rejection(self) -> RecordRejected | None:
        """Why it cannot be created, though it might be updated."""
        return self.mapped.rejection()


@dataclass(frozen=True)
class AccountMapping:
    """The table and the company rule together: what the account flow uses."""

    table: MappingTable
    companies: CompanyRule
    person_accounts: Literal["person", "skip"] = "person"

    def source_fields(self, available: Collection[str] | None = None) -> tuple[str, ...]:
        """Account fields to read; those an org may lack only where its describe has them."""
        table, company = self.table, self.companies
        return tuple(
            dict.fromkeys((*table.source_fields(available), *company.source_fields(available)))
        )

    def skip_reason(self, record: Record) -> str | None:
        """Why the account is not to become a customer, None if it is."""
        skips = self.person_accounts == "skip" and is_person(record)
        return PERSON_ACCOUNT if skips else None

    def map(self, record: Record) -> MappedAccount:
        """Raises one RecordRejected (reason "mapping") with every problem, the company's included.

        Trouble in fields that only a creation needs is left to `creation_rejection`: it must not stop
        the updates of a customer that exists.
        """
        mapped = self.table.apply(record)
        company = self.companies.find(record)
        if isinstance(company, FieldProblem):
            raise rejection([company, *mapped.problems])
        for_creation = {rule.target for rule in self.table.rules if rule.on == "create"}
        if any(problem.field not in for_creation for problem in mapped.problems):
            raise rejection(mapped.problems)
        return MappedAccount(company, mapped)


def account_mapping(
    customisation: Customisation,
    *,
    default_company: str | None,
    salesforce_id_field: str,
    customer_number_field: str | None = None,
) -> AccountMapping:
    """Everything the account flow needs of the mapping. Raises ConfigurationError.

    `default_company` (the setting D365_COMPANY) counts where the mapping file names none.
    """
    return AccountMapping(
        account_table(customisation, salesforce_id_field, customer_number_field),
        customisation.company_rule(default_company),
        customisation.accounts.person_accounts,
    )
