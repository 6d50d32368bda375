"""When two contact persons of one customer are the same human being, and how to look for such a one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.filters import Filter, eq
from integration.errors import RecordBusy, RecordRejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.flow import Write

PARTY = "AssociatedPartyNumber"
FIRST, LAST = "FirstName", "LastName"
EMAIL, PHONE = "PrimaryEmailAddress", "PrimaryPhoneNumber"
COMPARED = (PARTY, FIRST, LAST, EMAIL, PHONE)


def are_alike(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether two persons of one customer are the same: e-mail, or whole name and phone.

    Where neither has a phone the name alone decides, unless both have an e-mail: then the two differ.
    """
    first, second = ({name: _text(each, name) for name in COMPARED} for each in (one, other))
    if first[EMAIL] and first[EMAIL] == second[EMAIL]:
        return True
    if not first[LAST] or any(first[name] != second[name] for name in (FIRST, LAST, PHONE)):
        return False
    return bool(first[PHONE]) or not (first[EMAIL] and second[EMAIL])


def alike_filter(party: str, values: Mapping[str, object]) -> Filter:
    """Finds at least every person of this party that is alike."""
    mine = eq(PARTY, party)
    email = str(values.get(EMAIL) or "")
    try:
        first, last, phone = (
            eq(name, str(values.get(name) or "")) for name in (FIRST, LAST, PHONE)
        )
        person = first & last & phone
        return mine & (eq(EMAIL, email) | person if email else person)
    except RecordRejected:  # `*` cannot be looked up: all persons of the customer are compared
        return mine


def doubles_within(changes: Mapping[str, Write]) -> dict[str, RecordBusy]:
    """Creates of the same person in one batch: the first is written, the others then find it."""
    doubles: dict[str, RecordBusy] = {}
    firsts: dict[object, list[Write]] = {}
    for key, change in changes.items():
        party = change.values.get(PARTY)
        if party is None:
            continue
        others = firsts.setdefault(party, [])
        if any(are_alike(change.values, other.values) for other in others):
            text = "another contact of the same account seems to be the same person"
            doubles[key] = RecordBusy(text, reason="already-exists")
        else:
            others.append(change)
    return doubles


def _text(record: Mapping[str, object], name: str) -> str:
    return str(record.get(name) or "").strip().casefold()
