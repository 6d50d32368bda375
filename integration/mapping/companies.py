"""Which legal entity (`dataAreaId`) an account belongs to: by a field, by country, else the default.

The first rule that says something wins. A field that holds an unknown value is an error, never the
default: a customer created in the wrong company cannot simply be moved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from integration.mapping.countries import CountryBook
from integration.mapping.tables import FieldProblem, Record, rejection
from integration.mapping.values import is_empty

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

COMPANY = "dataAreaId"
COMPANY_ID = r"^[A-Za-z0-9]{1,4}$"  # F&O contract 5.2
BILLING_COUNTRY = ("BillingCountryCode", "BillingCountry")


@dataclass(frozen=True)
class CompanyRule:
    """`decided_by`: an Account field. `table`: its value → company; without, it holds the company itself.

    `by_country`: any spelling of a country → company.
    """

    default: str | None = None
    decided_by: str | None = None
    table: Mapping[str, str] = field(default_factory=dict)
    by_country: Mapping[str, str] = field(default_factory=dict)
    countries: CountryBook = field(default_factory=CountryBook)
    country_fields: tuple[str, ...] = BILLING_COUNTRY

    def source_fields(self, available: Collection[str] | None = None) -> tuple[str, ...]:
        """Account fields to read; the country's code only where the org's describe has it."""
        wanted = (*((self.decided_by,) if self.decided_by else ()), *self._countries_read)
        lacking = set(BILLING_COUNTRY[:1]) - set(available or ())
        return tuple(name for name in wanted if name not in lacking)

    @property
    def _countries_read(self) -> tuple[str, ...]:
        return self.country_fields if self.by_country else ()

    @property
    def companies(self) -> tuple[str, ...]:
        """Every company the rule can answer; with a field without table there may be others."""
        named = (self.default or "", *self.table.values(), *self.by_country.values())
        return tuple(dict.fromkeys(company.lower() for company in named if company))

    @property
    def is_single_company(self) -> bool:
        return len(self.companies) == 1 and (self.decided_by is None or bool(self.table))

    @property
    def decides_freely(self) -> bool:
        """An Account field names the company itself, so it can be any."""
        return self.decided_by is not None and not self.table

    def serves(self, company: str) -> bool:
        """Whether the rule can answer this company: records of F&O's other companies are no concern."""
        return self.decides_freely or company.lower() in self.companies

    def company_of(self, record: Record) -> str:
        """The company, lower case. Raises RecordRejected(reason "mapping")."""
        found = self.find(record)
        if isinstance(found, FieldProblem):
            raise rejection([found])
        return found

    def find(self, record: Record) -> str | FieldProblem:
        """The company, lower case, or why there is none. Total."""
        if self.decided_by and not is_empty(value := record.get(self.decided_by)):
            return self._by_field(self.decided_by, value)
        if self.by_country:
            found = self._by_country(record)
            if found is not None:
                return found
        if self.default:
            return self.default.lower()
        sources = (*((self.decided_by,) if self.decided_by else ()), *self._countries_read)
        return FieldProblem(
            COMPANY, sources, "has no company for this record",
            "fill the field in Salesforce, or set default under [companies] of the mapping file",
        )  # fmt: skip

    def _by_field(self, name: str, value: object) -> str | FieldProblem:
        key = value.strip().casefold() if isinstance(value, str) else ""
        if self.table:
            known = {entry.strip().casefold(): company for entry, company in self.table.items()}
            company, problem = known.get(key, ""), "holds a value that is not in the table"
        else:
            company, problem = key, "is not a company id of up to 4 letters and digits"
        if re.fullmatch(COMPANY_ID, company):
            return company.lower()
        return FieldProblem(
            COMPANY, (name,), problem,
            "correct it in Salesforce, or add it to table under [companies] of the mapping file",
        )  # fmt: skip

    def _by_country(self, record: Record) -> str | FieldProblem | None:
        filled = (record[name] for name in self.country_fields if not is_empty(record.get(name)))
        text = next(filled, None)
        if text is None:
            return None
        country = self.countries.id_of(text) if isinstance(text, str) else None
        if country is None:
            return FieldProblem(
                COMPANY, self.country_fields, "cannot be told, because the country is not known",
                "correct the country in Salesforce, or add it to [countries.ids] of the mapping file",
            )  # fmt: skip
        companies = {
            self.countries.id_of(name): company for name, company in self.by_country.items()
        }
        company = companies.get(country)
        return company.lower() if company else None
