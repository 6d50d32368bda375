"""What the fingerprint store knows that Salesforce holds of an item, and what follows for its rows.

Traits (texts, see `state.pushed`): "*" the product is there; "+<book>|<currency>" an active entry,
"-<book>|<currency>" one that was closed. Key columns of an entry can only be set on creation (Salesforce
contract 7.5), so a row of a known entry leaves them empty, and the row of a new one carries them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from integration.flows.price_rules import PriceKey
    from integration.state.pushed import Traits

NOTHING: Traits = ()
PRODUCT = "*"
_REMEMBERED = 10_000


class Plan(NamedTuple):
    """For the prices of an item: those whose entries are known, the active entries that no price wants any
    more, those that were closed already, and the traits after all has succeeded."""

    known: frozenset[PriceKey]
    closing: tuple[PriceKey, ...]
    closed: tuple[PriceKey, ...]
    after: Traits


class Plans:
    """Items with the same entries share their plan."""

    def __init__(self) -> None:
        self._plans: dict[tuple[Traits, tuple[PriceKey, ...]], Plan] = {}

    def of(self, traits: Traits, keys: tuple[PriceKey, ...]) -> Plan:
        plan = self._plans.get((traits, keys))
        if plan is None:
            if len(self._plans) >= _REMEMBERED:
                self._plans.clear()
            plan = self._plans[traits, keys] = _plan(traits, keys)
        return plan


def _plan(traits: Traits, keys: tuple[PriceKey, ...]) -> Plan:
    active, closed = _entries(traits, "+"), _entries(traits, "-")
    wanted = frozenset(keys)
    after = [
        PRODUCT,
        *("+" + "|".join(key) for key in wanted),
        *("-" + "|".join(key) for key in (active | closed) - wanted),
    ]
    return Plan(
        known=wanted & (active | closed),
        closing=tuple(sorted(active - wanted)),
        closed=tuple(sorted(closed - active - wanted)),
        after=tuple(sorted(after)),
    )


def _entries(traits: Traits, sign: str) -> frozenset[PriceKey]:
    found = (text[1:].rpartition("|") for text in traits if text[0] == sign)
    return frozenset((book, currency) for book, _, currency in found)
