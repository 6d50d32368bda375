"""What a new environment holds: companies, countries, states and set-up data per company."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.d365.model import COMPANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox.d365.environment import Environment

FOLDER = Path(__file__).parent / "seed"


def load_seed(environment: Environment) -> None:
    """Fills an empty environment."""
    for company in environment.companies.values():
        identity = {"Name": company.name, "LanguageId": company.language}
        country = {"AddressCountryRegionId": company.country}
        legal_entity = {"LegalEntityId": company.company_id, **identity, **country}
        upsert(environment, "LegalEntities", legal_entity)
        upsert(environment, "Companies", {"DataArea": company.company_id, "Name": company.name})
    for set_name, file_name in (
        ("AddressCountryRegions", "countries.csv"),
        ("AddressStates", "states.csv"),
    ):
        with (FOLDER / file_name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                upsert(environment, set_name, row)
    reference = tomllib.loads((FOLDER / "reference.toml").read_text(encoding="utf-8"))
    for set_name, rows in reference["shared"].items():
        for row in _records(rows):
            upsert(environment, set_name, row)
    for company_id in environment.companies:
        for set_name, rows in reference["company"].items():
            for row in _records(rows):
                upsert(environment, set_name, {COMPANY: company_id, **row})


def upsert(environment: Environment, set_name: str, values: dict[str, Any]) -> None:
    """Writes a row past all validation; an existing key is replaced.

    Missing company and number are filled in. Raises `KeyError` for an unknown property.
    """
    entity = environment.model.entities[set_name]
    table = environment.store.table(entity)
    entity = table.entity
    unknown = set(values) - set(entity.properties) - {"@odata.etag", "@odata.context"}
    if unknown:
        raise KeyError(f"{set_name} has no property {sorted(unknown)}")
    if entity.per_company:
        company = str(values.get(COMPANY) or environment.default_company).lower()
        values = {**values, COMPANY: company}
        if entity.sequence and not values.get(entity.sequence.field):
            values[entity.sequence.field] = environment.next_number(entity, company)
    stored = {
        name: value
        for name, value in values.items()
        if name in entity.properties and value != entity.defaults[name]
    }
    key = table.key_of(stored)
    if key in table.rows:
        environment.store.update(table, key, stored)
    else:
        environment.store.insert(table, stored)


def load(environment: Environment, set_name: str, rows: Iterable[dict[str, Any]]) -> int:
    """Writes many complete rows past all validation, at a few microseconds each; returns how many are new.

    Every row brings its company and number. No events, no transaction. Raises `KeyError` for an unknown
    property, with the rows before it written.
    """
    table = environment.store.table(environment.model.entities[set_name])
    defaults = table.entity.defaults

    def stored() -> Iterator[dict[str, Any]]:
        for values in rows:
            yield {name: value for name, value in values.items() if value != defaults[name]}

    return environment.store.fill(table, stored())


def _records(rows: list[list[Any]]) -> list[dict[str, Any]]:
    header, *lines = rows
    return [dict(zip(header, line, strict=True)) for line in lines]
