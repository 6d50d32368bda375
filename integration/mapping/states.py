"""State and province codes of the countries whose states people write out.

F&O checks the state against the country's own list (F&O contract 5.9). With state picklists on,
Salesforce holds the code already; without them it holds what was typed. Only countries whose codes are
beyond doubt are listed; a tenant adds the others, or its own ids, under `[states.<country>]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from integration.mapping.countries import signature

if TYPE_CHECKING:
    from collections.abc import Mapping

STATES: dict[str, dict[str, str]] = {
    "US": {
        "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California",
        "CO": "Colorado", "CT": "Connecticut", "DE": "Delaware", "DC": "District of Columbia",
        "FL": "Florida", "GA": "Georgia", "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois",
        "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana",
        "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan",
        "MN": "Minnesota", "MS": "Mississippi", "MO": "Missouri", "MT": "Montana",
        "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire", "NJ": "New Jersey",
        "NM": "New Mexico", "NY": "New York", "NC": "North Carolina", "ND": "North Dakota",
        "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania",
        "RI": "Rhode Island", "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee",
        "TX": "Texas", "UT": "Utah", "VT": "Vermont", "VA": "Virginia", "WA": "Washington",
        "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming", "AS": "American Samoa",
        "GU": "Guam", "MP": "Northern Mariana Islands", "PR": "Puerto Rico",
        "UM": "United States Minor Outlying Islands", "VI": "U.S. Virgin Islands",
        "AA": "Armed Forces Americas", "AE": "Armed Forces Europe", "AP": "Armed Forces Pacific",
    },
    "CA": {
        "AB": "Alberta", "BC": "British Columbia", "MB": "Manitoba", "NB": "New Brunswick",
        "NL": "Newfoundland and Labrador", "NT": "Northwest Territories", "NS": "Nova Scotia",
        "NU": "Nunavut", "ON": "Ontario", "PE": "Prince Edward Island", "QC": "Quebec",
        "SK": "Saskatchewan", "YT": "Yukon Territories",
    },
    "AU": {
        "ACT": "Australian Capital Territory", "NSW": "New South Wales",
        "NT": "Northern Territory", "QLD": "Queensland", "SA": "South Australia",
        "TAS": "Tasmania", "VIC": "Victoria", "WA": "Western Australia",
    },
    "BR": {
        "AC": "Acre", "AL": "Alagoas", "AP": "Amapá", "AM": "Amazonas", "BA": "Bahia",
        "CE": "Ceará", "DF": "Distrito Federal", "ES": "Espírito Santo", "GO": "Goiás",
        "MA": "Maranhão", "MT": "Mato Grosso", "MS": "Mato Grosso do Sul", "MG": "Minas Gerais",
        "PA": "Pará", "PB": "Paraíba", "PR": "Paraná", "PE": "Pernambuco", "PI": "Piauí",
        "RJ": "Rio de Janeiro", "RN": "Rio Grande do Norte", "RS": "Rio Grande do Sul",
        "RO": "Rondônia", "RR": "Roraima", "SC": "Santa Catarina", "SP": "São Paulo",
        "SE": "Sergipe", "TO": "Tocantins",
    },
}  # fmt: skip

_OTHER_SPELLINGS = {
    ("US", "DC"): ("Washington DC", "Washington, D.C."),
    ("US", "VI"): ("Virgin Islands", "US Virgin Islands"),
    ("CA", "NL"): ("Newfoundland", "Labrador"),
    ("CA", "PE"): ("PEI", "Île-du-Prince-Édouard"),
    ("CA", "QC"): ("Québec", "PQ"),
    ("CA", "NB"): ("Nouveau-Brunswick",),
    ("CA", "NS"): ("Nouvelle-Écosse",),
    ("CA", "BC"): ("Colombie-Britannique",),
    ("CA", "YT"): ("Yukon", "Yukon Territory"),
}


@cache
def _codes(country: str) -> dict[str, str]:
    codes: dict[str, str] = {}
    for code, name in STATES.get(country, {}).items():
        for spelling in (code, name, *_OTHER_SPELLINGS.get((country, code), ())):
            codes[signature(spelling)] = code
    return codes


@dataclass(frozen=True)
class StateBook:
    """State codes by country (alpha-2), the tenant's `own` spellings before the shipped ones."""

    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def id_of(self, country: str | None, text: str) -> str | None:
        """The F&O state id, None if the country has no list here or the list lacks the state."""
        if country is None:
            return None
        for spelling, state in self.own.get(country, {}).items():
            if signature(spelling) == signature(text):
                return state
        return _codes(country).get(signature(text))

    def lists(self, country: str | None) -> bool:
        """Whether every state of the country is listed, so that an unknown one is a mistake."""
        return country in STATES
