"""Compound addresses on read, and the State and Country picklists when that feature is on.

With the feature, the text field holds the integration value (here: the country's name) and the code
field the ISO code; writing either sets the other, an unknown value is FIELD_INTEGRITY_EXCEPTION, and
on create the code wins (Salesforce contract 7). States exist for few countries only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faker.providers.date_time import Provider

from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from sandbox.salesforce.schema import ObjectType

COUNTRIES: dict[str, str] = {c.alpha_2_code: c.name for c in Provider.countries} | {
    "GB": "United Kingdom",
    "US": "United States",
}
STATES: dict[str, dict[str, str]] = {
    "US": {
        "CA": "California",
        "CO": "Colorado",
        "FL": "Florida",
        "GA": "Georgia",
        "IL": "Illinois",
        "MA": "Massachusetts",
        "MI": "Michigan",
        "NY": "New York",
        "OH": "Ohio",
        "PA": "Pennsylvania",
        "TX": "Texas",
        "WA": "Washington",
    },
    "CA": {"AB": "Alberta", "BC": "British Columbia", "ON": "Ontario", "QC": "Quebec"},
    "IT": {"MI": "Milano", "RM": "Roma", "TO": "Torino"},
}
_PARTS = ("city", "country", "geocodeAccuracy", "latitude", "longitude", "postalCode", "state")


def compound(obj: ObjectType, prefix: str, row: dict[str, Any]) -> dict[str, Any] | None:
    """The value of `BillingAddress`, or None when no part is set."""
    parts: tuple[str, ...] = (*_PARTS, "street")
    if obj.find(f"{prefix}CountryCode"):
        parts += ("stateCode", "countryCode")
    value = {part: row.get(prefix + part[0].upper() + part[1:]) for part in parts}
    return value if any(part is not None for part in value.values()) else None


def is_compound(obj: ObjectType, name: str) -> str | None:
    """The prefix of a compound address field of this object."""
    found = obj.find(name)
    return found.name.removesuffix("Address") if found and found.type == "address" else None


def align_codes(
    obj: ObjectType, old: dict[str, Any] | None, row: dict[str, Any], sent: set[str]
) -> None:
    """Makes names and codes of `row` agree; only addresses touched by `sent` are looked at."""
    for prefix in obj.addresses:
        parts = {prefix + part for part in ("State", "Country", "StateCode", "CountryCode")}
        if parts & sent:
            creating = old is None
            country = _pair(obj, row, prefix + "Country", COUNTRIES, sent, creating)
            states = STATES.get(country or "", {})
            _pair(obj, row, prefix + "State", states, sent, creating)


def _pair(
    obj: ObjectType,
    row: dict[str, Any],
    name: str,
    known: dict[str, str],
    sent: set[str],
    creating: bool,
) -> str | None:
    """Fills the missing half of a name and code pair and returns the code."""
    label = obj.fields[name].label
    text, code = row.get(name), row.get(name + "Code")
    code_sent, text_sent = name + "Code" in sent, name in sent
    if code_sent and not (text_sent and code is None):
        if code is None:
            row[name] = None
        elif code not in known:
            raise _unavailable(label, code, name + "Code")
        elif text_sent and not creating and known[code] != text:
            raise ApiError.of(
                "FIELD_INTEGRITY_EXCEPTION",
                f"{label}: the code and the name do not belong together.",
                name,
            )
        else:
            row[name] = known[code]
    elif text_sent:
        by_name = {value: key for key, value in known.items()}
        if text is not None and text not in by_name:
            raise _unavailable(label, text, name)
        row[name + "Code"] = by_name.get(text) if text is not None else None
    elif code is not None and code not in known:
        raise _unavailable(label, code, name)  # the country changed, its old state does not fit
    return row.get(name + "Code")


def _unavailable(label: str, value: str, name: str) -> ApiError:
    kind = "country" if "Country" in name else "state"
    return ApiError.of(
        "FIELD_INTEGRITY_EXCEPTION",
        f"{label}: There's a problem with this {kind}, even though it may appear correct. It "
        f"contains {value}, which isn't an available {kind}.",
        name,
    )
