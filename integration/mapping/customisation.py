"""A tenant's mapping file (TOML): own fields, companies, country ids, customer groups; no fork needed.

`docs/examples/mapping.toml` shows every table. The file is checked as a whole at start and every mistake
is reported at once, each with its place and what to do. These models are the shape; what the parts mean
together is checked in `customisation_checks`.
"""

import tomllib
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from integration.errors import ConfigurationError
from integration.mapping.companies import BILLING_COUNTRY, COMPANY_ID, CompanyRule
from integration.mapping.countries import CodeForm, CountryBook
from integration.mapping.customisation_checks import problems_of_the_whole
from integration.mapping.price_books import PriceBook, Prices
from integration.mapping.registry import Books, build
from integration.mapping.states import StateBook
from integration.mapping.values import Comparison

SALESFORCE_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
CURRENCY_CODE = r"^[A-Z]{3}$"
_EXPECTED = {
    SALESFORCE_NAME: "the API name of a Salesforce field",
    COMPANY_ID: "a company of 1 to 4 letters and digits",
    CURRENCY_CODE: "a currency code of three capital letters",
}


def _several(value: Any) -> Any:
    """One name is a list of one."""
    return (value,) if isinstance(value, str) else value


def _scalar(value: Any) -> Any:
    if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool):
        return value
    raise ValueError('must be a text or a number; of a NoYes field "Yes" or "No"')


def _transform(value: Any) -> Any:
    if isinstance(value, str):
        build(value)
    return value


Company = Annotated[str, Field(pattern=COMPANY_ID)]
FieldName = Annotated[str, Field(pattern=SALESFORCE_NAME)]
FieldNames = Annotated[tuple[FieldName, ...], BeforeValidator(_several)]
Scalar = Annotated[str | int | Decimal, BeforeValidator(_scalar)]
Id10 = Annotated[str, Field(min_length=1, max_length=10)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Companies(_Table):
    default: Company | None = Field(
        default=None, description="company of accounts that no rule names; otherwise D365_COMPANY"
    )
    field: FieldName | None = Field(default=None, description="Account field that decides")
    table: dict[str, Company] = Field(
        default={},
        description="value of the field → company; without it the field holds the company itself",
    )
    by_country: dict[str, Company] = Field(default={}, description="billing country → company")


class Countries(_Table):
    code: CodeForm = Field(default="alpha-3", description="which ISO code is the F&O country id")
    ids: dict[str, Id10] = Field(
        default={}, description="country, in any spelling → the F&O country id of this tenant"
    )


class Defaults(_Table):
    CustomerGroupId: Id10 = Field(default="10", description="customer group of a new customer")
    LanguageId: str = Field(
        default="en-US", min_length=2, max_length=7, description="language of a new customer"
    )
    SalesCurrencyCode: str | None = Field(
        default=None, pattern=CURRENCY_CODE, description="currency where the account has none"
    )


class CustomerGroups(_Table):
    field: FieldName = Field(description="Account field that decides")
    table: dict[str, Id10] = Field(
        min_length=1, description="value of the field → CustomerGroupId; others get the default"
    )


class FieldEntry(_Table):
    """One field of the F&O record. Of a built-in field only the keys given here change."""

    source: FieldNames | None = Field(
        default=None,
        min_length=1,
        description="Salesforce field, or several: the first that is not empty",
    )
    transform: Annotated[str, BeforeValidator(_transform)] | None = Field(
        default=None, description="see the transforms; `direct` if not given"
    )
    owner: Literal["salesforce", "d365"] | None = Field(
        default=None, description="who owns the value; `d365` goes back to Salesforce"
    )
    on: Literal["always", "create"] | None = Field(
        default=None, description="`create`: only when the record is created in F&O"
    )
    max_length: int | None = Field(default=None, ge=1, le=4000, description="characters F&O holds")
    default: Scalar | None = Field(default=None, description="value where the source is empty")
    value: Scalar | None = Field(default=None, description="the value of transform `constant`")
    table: dict[str, Scalar] | None = Field(
        default=None, min_length=1, description="the table of transform `map`"
    )
    beside: FieldNames | None = Field(
        default=None, description="country field of transform `state`"
    )
    compare: Comparison | None = Field(default=None, description="how a difference is found")
    required: bool | None = Field(default=None, description="an empty value rejects the record")
    note: str | None = Field(default=None, description="for the documentation")
    remove: bool = Field(default=False, description="leave the built-in field alone")


class Accounts(_Table):
    person_accounts: Literal["person", "skip"] = Field(
        default="person",
        description="person accounts become customers of type Person, or are skipped",
    )
    defaults: Defaults = Defaults()
    customer_groups: CustomerGroups | None = None
    fields: dict[str, FieldEntry] = {}


class Contacts(_Table):
    fields: dict[str, FieldEntry] = {}


class CustomerMatch(_Table):
    match: dict[FieldName, FieldName] = Field(
        default={"AccountNumber": "CustomerAccount"},
        description="Account field → CustomersV3 field; equal values link a customer that exists in F&O only",
    )


class Customisation(_Table):
    companies: Companies = Companies()
    countries: Countries = Countries()
    states: dict[str, dict[str, Id10]] = Field(
        default={}, description="country → state's name → F&O state id"
    )
    accounts: Accounts = Accounts()
    contacts: Contacts = Contacts()
    customers: CustomerMatch = CustomerMatch()
    prices: Prices = Prices()

    @property
    def books(self) -> Books:
        countries = CountryBook(self.countries.code, self.countries.ids)
        states = {countries.iso_of(country) or country: own for country, own in self.states.items()}
        return Books(countries, StateBook(states))

    def company_rule(self, default_company: str | None = None) -> CompanyRule:
        """`default_company` (the setting D365_COMPANY) counts where the file names none."""
        entry = self.accounts.fields.get("AddressCountryRegionId")
        return CompanyRule(
            default=self.companies.default or default_company,
            decided_by=self.companies.field,
            table=self.companies.table,
            by_country=self.companies.by_country,
            countries=self.books.countries,
            country_fields=(entry.source if entry else None) or BILLING_COUNTRY,
        )


def load_customisation(text: str | None) -> Customisation:
    """The tenant's file, or the defaults for None. Raises ConfigurationError with every mistake."""
    if text is None:
        return Customisation()
    try:
        raw = tomllib.loads(text.removeprefix("\ufeff"), parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"mapping file: not readable as TOML: {error}"]) from error
    problems: list[str] = []
    customisation = None
    try:
        customisation = Customisation.model_validate(raw)
    except ValidationError as error:
        problems += [_readable(item) for item in error.errors(include_url=False)]
    problems += problems_of_the_whole(raw)
    if problems or customisation is None:
        raise ConfigurationError(
            [f"mapping file: {problem}" for problem in dict.fromkeys(problems)]
        )
    return customisation


def _readable(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"] if part not in ("[key]",))
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown key; use {', '.join(_keys_beside(item['loc']))}"
    if item["type"] == "string_pattern_mismatch":
        return f"{place}: {item['input']!r} is not {_EXPECTED[item['ctx']['pattern']]}"
    return f"{place}: {item['msg'].removeprefix('Value error, ')}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys the table of an unknown key does know."""
    table: type[BaseModel] = Customisation
    for part in location[:-1]:
        table = _TABLES.get(str(part), table)
        if table in (Accounts, Contacts) and part == "fields":
            return sorted(FieldEntry.model_fields)
    return sorted(table.model_fields)


_TABLES: dict[str, type[BaseModel]] = {
    "companies": Companies,
    "countries": Countries,
    "accounts": Accounts,
    "contacts": Contacts,
    "customers": CustomerMatch,
    "defaults": Defaults,
    "customer_groups": CustomerGroups,
    "prices": Prices,
    "books": PriceBook,
}
