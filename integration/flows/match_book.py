"""What a person approved for accounts that existed before the integration: their customer, or a new one.

`match/accounts/current.json` {"document": name} points to the one that counts, an unchangeable
`match/accounts/approved-<time>.json`:
{"applied_at","links":{account id: "company|number"},"create":[account ids]}
So a reader needs one small read to know that what it holds still counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from integration.d365.business_keys import CustomerKey
from integration.state.blobs import ABSENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from integration.state.blobs import Document

_FOLDER = "match/accounts/"
_CURRENT = f"{_FOLDER}current.json"


class Store(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class Approved:
    """By account id. An account is in at most one of the two."""

    links: Mapping[str, CustomerKey] = field(default_factory=dict)
    create: Collection[str] = frozenset()


class MatchBook:
    """Raises Unreachable (system storage), StateConflict where somebody else approved meanwhile."""

    def __init__(self, state: Store) -> None:
        self._state = state
        self._name: str | None = None
        self._known = Approved()

    async def approved(self) -> Approved:
        current = await self._state.read(_CURRENT)
        if current is not None:
            name = str(json.loads(current.body)["document"])
            if name != self._name:
                document = await self._state.read(name)
                if document is not None:
                    self._known, self._name = _read(document.body), name
        return self._known

    async def approve(
        self, links: Mapping[str, CustomerKey], create: Collection[str], named: Collection[str]
    ) -> None:
        """Stores the decisions for the accounts `named`; what was approved for others stays."""
        current = await self._state.read(_CURRENT)
        before = await self.approved()
        body = {
            "applied_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "links": {
                account: key.text
                for account, key in {
                    **{a: k for a, k in before.links.items() if a not in named},
                    **links,
                }.items()
            },
            "create": sorted({*(a for a in before.create if a not in named), *create}),
        }
        name = f"{_FOLDER}approved-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.json"
        await self._state.write(name, json.dumps(body).encode(), expected=ABSENT)
        await self._state.write(
            _CURRENT,
            json.dumps({"document": name}).encode(),
            expected=current.etag if current else ABSENT,
        )


def _read(body: bytes) -> Approved:
    data = json.loads(body)
    links = {account: CustomerKey.parse(text) for account, text in data["links"].items()}
    return Approved(links, frozenset(data["create"]))
