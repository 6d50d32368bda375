"""What F&O, and the app's own notes, hold of records that are gone or are there again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from integration.flows.gone.decisions import Standing, is_blank, number_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.gone.holders import Holder, HolderSet
    from integration.flows.gone.reading import Departed
    from integration.state.aliases import Aliases
    from integration.state.gone import GoneNotes, Mark


@dataclass(frozen=True, slots=True)
class Seen:
    """What the live record's flow found, and what was done while the record was gone."""

    current: Any
    holder: Holder
    mark: Mark | None
    aliases: tuple[str, ...]


class Standings:
    def __init__(self, holders: HolderSet, notes: GoneNotes, aliases: Aliases | None) -> None:
        self._holders = holders
        self._notes = notes
        self._aliases = aliases

    async def seen(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """What the live flow found, as `Seen` where there are notes about the record."""
        seen = await asyncio.gather(*(self._one_seen(key, each) for key, each in found.items()))
        return dict(zip(found, seen, strict=True))

    async def _one_seen(self, key: str, current: Any) -> Any:
        """Notes are read for records that look as if there were some; nobody else pays for them."""
        rows: tuple[Holder, ...] = getattr(current, "by_id", ())
        if len(rows) != 1:
            return current
        [row] = rows
        name = self._holders.object
        looks = any(not is_blank(row.record.get(field)) for field in self._holders.watched)
        marked = looks or await self._notes.may_be_marked(name, key)
        mark = await self._notes.mark(name, key) if marked else None
        number = number_text(row)
        known = await self._aliases.find([number]) if self._aliases else {}
        if mark is None and not known:
            return current
        return Seen(current, row, mark, tuple(known))

    async def of(self, gone: Mapping[str, Departed]) -> dict[str, Standing | Exception]:
        """One call to F&O for those that are gone and those they were merged into."""
        records = {key: each.record for key, each in gone.items()}
        records |= {str(each.master["Id"]): each.master for each in gone.values() if each.master}
        found = await self._holders.find(records)
        answers: dict[str, Standing | Exception] = {}
        for key, each in gone.items():
            mine = found.get(key, ())
            theirs = found.get(str(each.master["Id"]), ()) if each.master else ()
            if isinstance(mine, Exception):
                answers[key] = mine
            elif isinstance(theirs, Exception):
                answers[key] = theirs
            elif not mine:
                answers[key] = Standing(())
            else:
                answers[key] = await self._with_notes(each, Standing(mine, theirs))
        return answers

    async def _with_notes(self, gone: Departed, standing: Standing) -> Standing:
        name = self._holders.object
        told = await self._notes.told(name, gone.key)
        mark = None
        if self._holders.marks and gone.master is None:
            mark = await self._notes.mark(name, gone.key)
        aliased = set()
        if self._aliases and gone.master and standing.theirs:
            into = number_text(standing.theirs[0])
            for holder in standing.mine:
                alias = await self._aliases.read(number_text(holder))
                if alias and (alias.into, alias.account) == (into, gone.master["Id"]):
                    aliased.add(alias.number)
        return replace(
            standing,
            told=bool(told) and told == gone.stamp,
            mark=mark,
            aliased=frozenset(aliased),
        )
