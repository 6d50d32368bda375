"""Transforms of codes that both systems check: countries, states, currencies, Salesforce ids."""

from __future__ import annotations

import re

from integration.mapping.countries import CountryBook
from integration.mapping.states import StateBook
from integration.mapping.transform import Transform
from integration.mapping.values import TransformError, cut_to, one_line

_ID_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SALESFORCE_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


def country(book: CountryBook | None = None) -> Transform:
    """A country's name or code as the F&O country id (ISO alpha-3 unless the tenant says otherwise)."""
    known = book or CountryBook()

    def country_id(value: object, _: object) -> str:
        text = one_line(value)
        if found := known.id_of(text):
            return found
        raise TransformError(
            f"{cut_to(text, 80)!r} is not a known country",
            "correct it in Salesforce, or add it to [countries.ids] of the mapping file",
        )

    return Transform("country", country_id, compare="ignore-case", length=10)


def state(
    length: int = 10, states: StateBook | None = None, countries: CountryBook | None = None
) -> Transform:
    """A state's name as its code where the country's states are listed, else the text, cut."""
    known, book = states or StateBook(), countries or CountryBook()

    def state_id(value: object, beside: object) -> str:
        text = one_line(value)
        iso = book.iso_of(beside) if isinstance(beside, str) else None
        if found := known.id_of(iso, text):
            return found
        if known.lists(iso) and len(text) > length:
            raise TransformError(
                f"is not a state of {iso}",
                f"correct it in Salesforce, or add it to [states.{iso}] of the mapping file",
            )
        return cut_to(text, length)

    return Transform("state", state_id, (length,), compare="ignore-case", length=length)


def currency() -> Transform:
    """An ISO 4217 code: three letters, in capitals."""

    def code(value: object, _: object) -> str:
        text = one_line(value).strip().upper()
        if not re.fullmatch(r"[A-Z]{3}", text):
            raise TransformError("is not a currency code of three letters", "correct the record")
        return text

    return Transform("currency", code, compare="ignore-case", length=3)


def salesforce_id() -> Transform:
    """A Salesforce id in its 18-character form, safe where case is ignored (Salesforce contract 2.3)."""

    def id18(value: object, _: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not _SALESFORCE_ID.fullmatch(text):
            raise TransformError("is not a Salesforce id", "map an id field")
        blocks = (text[start : start + 5] for start in (0, 5, 10))
        bits = (sum(c.isupper() << place for place, c in enumerate(block)) for block in blocks)
        return text[:15] + "".join(_ID_SUFFIX[bit] for bit in bits)

    return Transform("salesforce_id", id18, length=18)
