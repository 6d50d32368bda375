"""What requests to the sandbox's own routes name: a company, a row by its key, the next document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment


def company_of(environment: Environment, given: Mapping[str, Any]) -> str:
    """The company of a request, the first one by default; raises ValueError for an unknown one."""
    company = str(given.get("company") or environment.default_company).lower()
    if company not in environment.companies:
        raise ValueError(f"no company {company}")
    return company


def values_of(environment: Environment, set_name: str, company: str, key: Any) -> dict[str, Any]:
    """A row with its defaults; raises ValueError when it does not exist."""
    row = environment.store.get(set_name, company, key)
    if row is None:
        raise ValueError(f"{set_name} of {company} has no {key!r}")
    return {**environment.store.tables[set_name].entity.defaults, **row.values}


def next_document(environment: Environment, company: str, prefix: str) -> str:
    """`CIV-000001`, counted per company, so two companies have documents of the same number."""
    return f"{prefix}-{environment.store.next_number(company, prefix):06}"
