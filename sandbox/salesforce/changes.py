"""Who changed which row, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sandbox.salesforce.store import Row

ChangeType = Literal["CREATE", "UPDATE", "DELETE", "UNDELETE"]


@dataclass(frozen=True)
class Actor:
    """Who writes; `allow_save` passes duplicate rules of the Alert kind, `client` is how the caller
    names itself (Sforce-Call-Options)."""

    user_id: str
    allow_save: bool = False
    client: str = ""


@dataclass(frozen=True)
class Change:
    object: str
    record_id: str
    type: ChangeType
    user_id: str
    row: Row
    """The row after the change; of a delete, the row that went."""
    client: str = ""
    changed: tuple[str, ...] = ()
    """Names of the fields that differ, for an update."""
