"""Customers back to accounts: the fields that F&O owns, and a new account for a customer that has none.

The first is one table: the lines of the account table that F&O owns, the tenant's own among them, and the
built-in ones below. A new account is the account table read backwards; because its Salesforce-owned
fields are then sent to F&O like those of any account, it is made only if nothing would be lost by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.errors import RecordNeedsReview, RecordRejected
from integration.mapping import transforms
from integration.mapping.countries import find_country
from integration.mapping.tables import Change, FieldRule, Mapped, MappingTable, Record, rejection
from integration.mapping.values import TransformError, is_empty

if TYPE_CHECKING:
    from collections.abc import Collection

    from integration.mapping.accounts import AccountMapping
    from integration.mapping.transform import Transform
    from integration.mapping.values import Value

PERSON = "person-customer"
_ISO, _PARTY = "AddressCountryRegionISOCode", "PartyType"
_CODES = ("BillingCountryCode", "BillingStateCode")
_CREATED_ONCE = "SalesCurrencyCode"  # the one create-only field that an account tells too


def _rules() -> tuple[FieldRule, ...]:
    t = transforms
    lines: tuple[tuple[str, str, Transform, str], ...] = (
        ("D365_Company__c", "dataAreaId", t.cut(4), "legal entity"),
        ("D365_Credit_Limit__c", "CreditLimit", t.decimal_(2), "in the company's own currency"),
        ("D365_Payment_Terms__c", "PaymentTerms", t.cut(10), ""),
        (
            "D365_On_Hold__c",
            "OnHoldStatus",
            t.cut(20),
            "`No`, or what is blocked: `All`, `Invoice`, …",
        ),
        ("D365_Customer_Group__c", "CustomerGroupId", t.cut(10), ""),
    )
    return tuple(
        FieldRule(field, column, transform, owner="d365", note=note)
        for field, column, transform, note in lines
    )


def customer_account_table(accounts: MappingTable) -> MappingTable:
    """The tenant's lines win over built-in ones of the same F&O field. All but the number are optional."""
    own = tuple(rule for rule in accounts.rules if not rule.is_written and rule.sources)
    taken = {rule.target for rule in own}
    built_in = tuple(rule for rule in _rules() if rule.target not in taken)
    return MappingTable(
        "customers", "Account", "CustomersV3", (*own, *built_in), accounts.target_keys,
        frozenset(rule.sources[0] for rule in built_in),
    )  # fmt: skip


@dataclass(frozen=True)
class CustomerAccountMapping:
    accounts: AccountMapping
    table: MappingTable
    number_field: str

    def customer_fields(self) -> tuple[str, ...]:
        """CustomersV3 columns to read."""
        names = (*self.table.target_fields(), *self.accounts.table.target_fields())
        return tuple(dict.fromkeys((*names, _CREATED_ONCE, _ISO, _PARTY)))

    def owned(self, customer: Record, number: str, available: Collection[str]) -> Mapped:
        """The Account fields that F&O owns; `number` as Salesforce holds it. Raises RecordRejected."""
        mapped = self.table.apply_back(customer)
        if mapped.problems:
            raise rejection(mapped.problems)
        lacking = self.table.optional_sources - set(available)
        values = {
            name: (value.strip() or None) if isinstance(value, str) else value
            for name, value in mapped.values.items()
            if name not in lacking
        }
        return Mapped({**values, self.number_field: number}, {})

    def new_account(self, customer: Record, available: Collection[str]) -> dict[str, Value]:
        """The Salesforce-owned fields of an account for this customer.

        Raises RecordRejected for a customer of type Person, and RecordNeedsReview where the account could
        not hold what the customer holds: the next change would take it away from F&O.
        """
        if customer.get(_PARTY) == "Person":
            raise RecordRejected("persons get no account of their own accord", reason=PERSON)
        values = self._read_backwards(customer, frozenset(available))
        company = str(customer.get("dataAreaId") or "").lower()
        self._add_company(values, company)
        account = {**dict.fromkeys(self.accounts.source_fields(available)), **values}
        try:
            forward = self.accounts.map({**account, "Id": _ANY_ID})
        except RecordRejected as error:
            raise self._review(error.description) from error
        if forward.company != company:
            raise self._review(f"the company rule puts it into {forward.company}, not {company}")
        lost = [change.field for change in self._lost(forward.mapped, customer)]
        if lost:
            raise self._review(f"these fields do not fit: {', '.join(lost)}")
        return {name: value for name, value in values.items() if not is_empty(value)}

    def _read_backwards(self, customer: Record, available: frozenset[str]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for rule in self.accounts.table.rules:
            told = rule.on == "always" or rule.target == _CREATED_ONCE
            known = [name for name in rule.sources if name in available and name != "Id"]
            if not (rule.applies_to({}) and told and known and rule.target in customer):
                continue
            try:
                if rule.transform.kind == "country":
                    values[known[0]] = _country(customer, code=known[0] in _CODES)
                elif rule.transform.kind in ("state", "currency"):
                    values[known[0]] = transforms.direct().back(customer[rule.target])
                else:
                    values[known[0]] = rule.transform.back(customer[rule.target])
            except TransformError as error:
                raise self._review(f"{rule.target} {error.problem}") from error
        return values

    def _add_company(self, values: dict[str, Value], company: str) -> None:
        rule = self.accounts.companies
        if rule.decided_by is not None:
            named = [value for value, each in rule.table.items() if each.lower() == company]
            values[rule.decided_by] = named[0] if named else company

    def _lost(self, mapped: Mapped, customer: Record) -> list[Change]:
        rules = {rule.target: rule for rule in self.accounts.table.rules}
        return [
            change
            for change in self.accounts.table.differences(mapped, customer)
            if "Id" not in rules[change.field].sources
        ]

    def _review(self, why: str) -> RecordNeedsReview:
        return RecordNeedsReview(
            f"no account can be made for this customer without a loss: {why}",
            reason="account-does-not-fit",
        )


_ANY_ID = "001000000000000AAA"  # stands for the id that the account is going to have


def _country(customer: Record, *, code: bool) -> Value:
    """The ISO code, or the country's name in orgs without country picklists."""
    text = customer.get(_ISO) or customer.get("AddressCountryRegionId")
    if not isinstance(text, str) or not text.strip():
        return None
    country = find_country(text)
    if country is None:
        return text
    return country.alpha2 if code else country.name
