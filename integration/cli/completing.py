"""What a shell offers for the words of a command line, beside commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.recovery.replay import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECTS = ("account", "contact", "opportunity", "customer", "salesinvoice", "freetextinvoice")
FLOWS = ("accounts", "contacts", "orders", "customers", "invoices", "prices", "payments")


def one_of(*words: str) -> Callable[[str], list[str]]:
    """typer calls it with what has been typed so far."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete.casefold())]

    return complete


kinds = one_of(*KINDS)
flows = one_of(*FLOWS)
objects = one_of(*OBJECTS)
mapped_objects = one_of(*OBJECTS, "product")
