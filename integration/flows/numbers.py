"""Numbers of F&O as Salesforce holds them: with several companies each carries its own, `usmf|US-000123`.

A number counts in one company only, and an External ID must be unique (design, idea 5).
"""

from __future__ import annotations

_SEPARATOR = "|"


def qualified(company: str, number: str, *, one_company: bool) -> str:
    return number if one_company else f"{company}{_SEPARATOR}{number}"


def company_and_number(named: str) -> tuple[str | None, str]:
    """The company in lower case, None where the text names none."""
    company, separator, number = named.partition(_SEPARATOR)
    return (company.lower(), number) if separator else (None, named)
