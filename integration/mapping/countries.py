"""Which country a text means, and what F&O calls it.

Salesforce holds an ISO code (state and country picklists on) or whatever people typed (off). F&O keeps a
free 10-character key per country; the seeded list uses ISO 3166-1 alpha-3, but a tenant may have created
other ids (F&O contract 5.9). `countries.csv` holds, per line, `alpha-2;alpha-3;name;other spellings
separated by |`, with all 249 entries of ISO 3166-1.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

CodeForm = Literal["alpha-3", "alpha-2"]

_FILLERS = frozenset({"the", "of", "and"})
_DROPPED = re.compile(r"['’‘ʻʼ`´.]")
_SEPARATORS = re.compile(r"[^\w]+|_+")


@dataclass(frozen=True, slots=True)
class Country:
    alpha2: str
    alpha3: str
    name: str
    spellings: tuple[str, ...]


@cache
def all_countries() -> tuple[Country, ...]:
    text = resources.files(__package__).joinpath("countries.csv").read_text(encoding="utf-8")
    rows = (line.split(";") for line in text.splitlines())
    return tuple(
        Country(alpha2, alpha3, name, tuple(filter(None, others.split("|"))))
        for alpha2, alpha3, name, others in rows
    )


def signature(text: str) -> str:
    """Equal for spellings that differ in case, accents, punctuation, fillers or order of words.

    "Korea, Republic of" and "the Republic of Korea" are one; so are "St. Lucia" and "Saint Lucia".
    """
    plain = unicodedata.normalize("NFKD", _DROPPED.sub("", text).replace("&", " and "))
    plain = "".join(mark for mark in plain if not unicodedata.combining(mark)).casefold()
    words = ["saint" if word == "st" else word for word in _SEPARATORS.split(plain) if word]
    telling = [word for word in words if word not in _FILLERS]
    return " ".join(sorted(telling or words))  # AND alone is Andorra


@cache
def _known_spellings() -> dict[str, Country]:
    return {
        signature(spelling): country
        for country in all_countries()
        for spelling in (country.alpha2, country.alpha3, country.name, *country.spellings)
    }


def find_country(text: str) -> Country | None:
    """The country of a code or of a spelling, None if it is not known."""
    return _known_spellings().get(signature(text))


@dataclass(frozen=True)
class CountryBook:
    """A tenant's country ids: ISO codes, and `ids` for what the tenant calls otherwise.

    A key of `ids` is any spelling. One that means an ISO country renames the country in all its
    spellings; any other key is a spelling of its own (`"Kosovo" = "XKX"`).
    """

    form: CodeForm = "alpha-3"
    ids: Mapping[str, str] = field(default_factory=dict)

    def id_of(self, text: str) -> str | None:
        """The F&O country id of a Salesforce country text, None if it is not known."""
        renamed, spelled = self._own
        if own := spelled.get(signature(text)):
            return own
        country = find_country(text)
        if country is None:
            return None
        code = country.alpha3 if self.form == "alpha-3" else country.alpha2
        return renamed.get(country.alpha2, code)

    def iso_of(self, text: str) -> str | None:
        """The alpha-2 code behind a country text or a tenant's own country id."""
        own = self._own[1].get(signature(text))
        country = find_country(own or text)
        return country.alpha2 if country else None

    @property
    def _own(self) -> tuple[dict[str, str], dict[str, str]]:
        renamed: dict[str, str] = {}
        spelled: dict[str, str] = {}
        for spelling, own in self.ids.items():
            if country := find_country(spelling):
                renamed[country.alpha2] = own
            else:
                spelled[signature(spelling)] = own
        return renamed, spelled
