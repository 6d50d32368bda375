"""Accounts as people really enter them: long names, umlauts, quotes, mixed country spellings.

The same seed gives the same accounts. Parts are drawn from pools that faker fills once, so that
50,000 accounts take seconds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faker import Faker

if TYPE_CHECKING:
    from collections.abc import Sequence

_POOL = 250


@dataclass(frozen=True)
class _Country:
    locale: str
    spellings: tuple[str, ...]
    currency: str
    legal_forms: tuple[str, ...]
    weight: int


_COUNTRIES = (
    _Country("de_DE", ("Germany", "Deutschland", "DE", "DEU", "germany "), "EUR",
             ("GmbH", "AG", "GmbH & Co. KG", "KG", "e. K."), 5),
    _Country("en_US", ("USA", "United States", "US", "U.S.A.", "United States of America"), "USD",
             ("Inc.", "LLC", "Corp.", "Ltd."), 5),
    _Country("en_GB", ("GB", "UK", "United Kingdom", "Great Britain", "England"), "GBP",
             ("Ltd", "plc", "LLP"), 3),
    _Country("fr_FR", ("France", "FRANCE", "FR"), "EUR", ("S.A.", "SARL", "S.A.S."), 2),
    _Country("de_AT", ("Austria", "Österreich", "AT"), "EUR", ("GmbH", "OG"), 1),
    _Country("de_CH", ("Switzerland", "Schweiz", "Suisse", "CH"), "CHF", ("AG", "GmbH"), 1),
    _Country("sv_SE", ("Sweden", "Sverige", "SE"), "SEK", ("AB",), 1),
)  # fmt: skip
_INDUSTRIES = ("Manufacturing", "Machinery", "Electronics", "Retail", "Construction", "Technology")
_ODD = (
    "Müller & Söhne",
    'Gebr. Weiß "Präzision"',
    "O'Neill, Byrne & Partners",
    "Åkerströms Blästrings",
    "Façonnage Père-Noël",
    "Łódzkie Zakłady Przemysłowe",
    "Smith <Industrial> Supplies",
)
_LONG_TAIL = (
    "Gesellschaft für Entwicklung, Herstellung und Vertrieb von Sondermaschinen und Anlagenbau",
    "International Manufacturing, Engineering, Logistics and After-Sales Services Holding Company",
)


@dataclass(frozen=True)
class _Pool:
    country: _Country
    companies: list[str]
    people: list[str]
    streets: list[str]
    cities: list[str]
    states: list[str]
    postcodes: list[str]
    phones: list[str]


def generate_accounts(
    count: int, seed: int = 0, legal_entities: Sequence[str] = ("USMF",)
) -> list[dict[str, Any]]:
    """Bodies of `count` Account inserts; `legal_entities` are the F&O companies to spread them over."""
    dice = random.Random(seed)
    pools = [_pool(country, seed) for country in _COUNTRIES]
    weights = [pool.country.weight for pool in pools]
    chosen = dice.choices(pools, weights, k=count)
    return [_account(dice, number, pool, legal_entities) for number, pool in enumerate(chosen, 1)]


def _account(
    dice: random.Random, number: int, pool: _Pool, legal_entities: Sequence[str]
) -> dict[str, Any]:
    country = pool.country
    street = dice.choice(pool.streets)
    if dice.random() < 0.15:
        street = f"{street}\n{dice.choice(('Halle 3', 'Building B, 2nd floor', 'c/o Empfang'))}"
    account: dict[str, Any] = {
        "Name": _name(dice, pool),
        "AccountNumber": f"A-{number:06d}",
        "Type": dice.choice(("Customer", "Customer", "Prospect", "Partner")),
        "Industry": dice.choice(_INDUSTRIES),
        "BillingStreet": street,
        "BillingCity": dice.choice(pool.cities),
        "BillingPostalCode": dice.choice(pool.postcodes),
        "BillingCountry": dice.choice(country.spellings),
        "CurrencyIsoCode": country.currency,
        "Legal_Entity__c": dice.choice(legal_entities),
        "Customer_Group__c": dice.choice(("10", "20", "30", "80")),
    }
    if country.locale == "en_US":
        account["BillingState"] = dice.choice(pool.states)
    if dice.random() < 0.9:
        account["Phone"] = dice.choice(pool.phones)[:40]
    if dice.random() < 0.6:
        account["Website"] = f"https://www.customer-{number}.example"
    if dice.random() < 0.2:
        account["Description"] = f"Contact: {dice.choice(pool.people)}\nprefers e-mail & phone"
    if dice.random() < 0.3:
        account["NumberOfEmployees"] = dice.randint(3, 12000)
        account["AnnualRevenue"] = float(dice.randint(1, 900) * 100_000)
    return account


def _name(dice: random.Random, pool: _Pool) -> str:
    form = dice.choice(pool.country.legal_forms)
    shape = dice.random()
    if shape < 0.05:  # longer than the 100 characters F&O keeps of a name
        return f"{dice.choice(pool.companies)} {dice.choice(_LONG_TAIL)} {form}"[:255]
    if shape < 0.15:
        return f"{dice.choice(_ODD)} {form}"
    if shape < 0.3:
        return f"{dice.choice(pool.people)} {form}"
    return f"{dice.choice(pool.companies)} {dice.choice(pool.cities)} {form}"


def _pool(country: _Country, seed: int) -> _Pool:
    fake = Faker(country.locale)
    fake.seed_instance(seed)
    us = country.locale == "en_US"

    def many(name: str) -> list[str]:
        return [str(getattr(fake, name)()) for _ in range(_POOL)]

    return _Pool(
        country=country,
        companies=many("company"),
        people=many("name"),
        streets=many("street_address"),
        cities=[city[:40] for city in many("city")],
        # F&O's demo data knows the 50 states and Washington, but no territories.
        states=[fake.state_abbr(False, False) for _ in range(_POOL)] if us else [],
        postcodes=many("postcode"),
        phones=many("phone_number"),
    )
