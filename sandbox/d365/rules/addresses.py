"""What customers, contacts and orders check about an address (F&O contract 5.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.d365.errors import field_refused

if TYPE_CHECKING:
    from sandbox.d365.rules.base import Write


def iso_code(write: Write, country: str) -> str:
    known = write.environment.store.get("AddressCountryRegions", country) if country else None
    return str(known.values.get("ISOcode", "")) if known else ""


def require_state(write: Write, name: str, country: str) -> None:
    """A state must be known for its country, unless the environment does not check states."""
    state = write.get(name)
    environment = write.environment
    if not state or not environment.settings.states_must_exist:
        return
    if environment.store.get("AddressStates", country, state) is None:
        reason = f"The value '{state}' in field 'State' is not found in the related table 'State'."
        raise field_refused(write.entity.aot_name, name, reason)
