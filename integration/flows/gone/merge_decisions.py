"""What is done about a record that was merged into another, given what hangs on both in F&O. Pure.

F&O merges nothing: what only the merged record had becomes the other one's, and where both had something it
is reported, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.flows.flow import Write
from integration.flows.gone.decisions import Standing, named, number_text, text_of
from integration.flows.outcomes import Moved, RecordMerged
from integration.mapping.tables import Change
from integration.state.aliases import Alias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from integration.flows.gone.holders import Holder, HolderSet
    from integration.flows.gone.reading import Departed


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining(Write):
    """The holder gets the id of the record that survived, which is handled next."""

    follow: Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliasing(Write):
    """Numbers that count as further ones of the account from now on; nothing is written to F&O."""

    aliases: tuple[Alias, ...]


def decide_merged(
    gone: Departed, standing: Standing, holders: HolderSet, follow: Moved, *, now: datetime
) -> Write | Moved | None:
    """Moved where nothing hangs on the merged record, or it was settled before.

    Raises RecordMerged where there is more than one and none can be chosen.
    """
    mine = _others(standing)
    if not mine or (standing.told and not _missing(mine, standing, holders)):
        return follow
    if not standing.theirs:
        if len(mine) > 1:
            raise _several(gone, mine, holders, follow)
        [holder] = mine
        held = text_of(holder, holders.id_field)
        change = Change(holders.id_field, held, follow.key)
        values = {holders.id_field: follow.key}
        return Joining("update", values, holder.key, holder.etag, (change,), follow=follow)
    if len(standing.theirs) > 1:
        raise _several(gone, standing.theirs, holders, follow)
    missing = _missing(mine, standing, holders)
    if not missing:
        return None
    aliases = tuple(
        Alias(
            number=number_text(holder),
            into=number_text(standing.theirs[0]),
            account=follow.key,
            merged=gone.key,
            at=now.isoformat(timespec="seconds"),
        )
        for holder in missing
    )
    changes = tuple(Change("alias", None, alias.number) for alias in aliases)
    return Aliasing("update", {"alias": "noted"}, differences=changes, aliases=aliases)


def review_of_merged(
    gone: Departed, standing: Standing, holders: HolderSet, follow: Moved
) -> RecordMerged | None:
    """That two records of F&O belong to one of Salesforce now."""
    mine = _others(standing)
    if standing.told or not mine or not standing.theirs:
        return None
    one, other = named(mine, holders), named(standing.theirs, holders)
    head = (
        f"{holders.noun} {gone.key} was merged into {follow.key}, and both had a {holders.holder}:"
    )
    if holders.object == "Account":
        text = (
            f"{head} {one} now counts as a further number of the account, beside {other}. Its invoices go"
            " to the account; its open orders are not touched. Decide which customer is used from now on,"
            " and put the other on hold in Dynamics 365"
        )
    else:
        text = (
            f"{head} {one} stays beside {other}, which follows the contact from now on. Nothing was changed"
            f" on {one}; set it inactive in Dynamics 365 if it is not needed"
        )
    return RecordMerged(text, follow=follow, reason=f"merged-{_plural(holders)}")


def _others(standing: Standing) -> tuple[Holder, ...]:
    """Holders of the merged record that do not belong to the surviving one already."""
    theirs = {number_text(holder).casefold() for holder in standing.theirs}
    return tuple(holder for holder in standing.mine if number_text(holder).casefold() not in theirs)


def _missing(mine: Iterable[Holder], standing: Standing, holders: HolderSet) -> tuple[Holder, ...]:
    """Only numbers of customers are referred to by other records."""
    if holders.object != "Account" or len(standing.theirs) != 1:
        return ()
    return tuple(holder for holder in mine if number_text(holder) not in standing.aliased)


def _several(
    gone: Departed, found: Sequence[Holder], holders: HolderSet, follow: Moved
) -> RecordMerged:
    return RecordMerged(
        f"{holders.noun} {gone.key} was merged into {follow.key}; {named(found, holders)} all carry the id"
        f" of one {holders.noun}, so that it cannot be told which of them stays",
        follow=follow,
        reason=f"several-{_plural(holders)}",
    )


def _plural(holders: HolderSet) -> str:
    return f"{holders.holder.replace(' ', '-')}s"
