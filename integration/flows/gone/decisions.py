"""What is done about a record that was deleted, or is there again, given what hangs on it in F&O. Pure.

Nothing is ever deleted in F&O, a person's own entry is never overwritten, and each deletion is reported once.
Merges are in `merge_decisions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey
from integration.errors import RecordNeedsReview
from integration.flows.flow import Write
from integration.flows.gone.holders import FREE, ON_HOLD
from integration.flows.outcomes import Skipped
from integration.flows.sources import DELETED
from integration.mapping.tables import Change
from integration.state.gone import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.flows.gone.holders import Holder, HolderSet
    from integration.flows.gone.reading import Departed

# A mark whose taking back was begun so long ago was taken back; what is there now somebody else set.
_STALE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Standing:
    """What F&O and the app's own notes hold of a departed record. `mine` hang on it, `theirs` on the record
    that it was merged into; `told`: it was reported; `aliased`: numbers that are noted as aliases already."""

    mine: tuple[Holder, ...]
    theirs: tuple[Holder, ...] = ()
    told: bool = False
    mark: Mark | None = None
    aliased: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking(Write):
    """`mark` is noted before it is set."""

    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifting(Write):
    """A live record's own change, with a mark taken back; `aliases` are numbers that are none any more."""

    mark: Mark | None
    aliases: tuple[str, ...] = ()
    lifts: bool = False


def number_text(holder: Holder) -> str:
    return CustomerKey(holder.company, holder.number).text


def decide_deleted(
    gone: Departed, standing: Standing, holders: HolderSet, *, now: datetime
) -> Marking | Skipped:
    """Raises RecordNeedsReview, once for each deletion."""
    if not standing.mine:
        return Skipped(DELETED)
    if problem := review_of_deleted(gone, standing, holders, before=True):
        raise problem
    if not holders.marks or len(standing.mine) > 1:
        return Skipped(DELETED, "reported before")
    [holder] = standing.mine
    missing = _to_set(gone, standing, holder, holders.marks)
    if not missing:
        return Skipped(DELETED, "nothing to set")
    before = {name: text_of(holder, name) for name in missing}
    ours = dict(standing.mark.values) if standing.mark else {}
    kept = {n: v for n, v in ours.items() if n not in missing and text_of(holder, n) == v[1]}
    mark = Mark(
        stamp=gone.stamp,
        phase="setting",
        values={**kept, **{name: (before[name], new) for name, new in missing.items()}},
        holder=named([holder], holders),
        reason=DELETED,
        at=now.isoformat(timespec="seconds"),
    )
    changes = tuple(Change(name, before[name], new) for name, new in missing.items())
    return Marking("update", dict(missing), holder.key, holder.etag, changes, mark=mark)


def review_of_deleted(
    gone: Departed, standing: Standing, holders: HolderSet, *, before: bool = False
) -> RecordNeedsReview | None:
    """What a person must know of it; None where it was told. `before` the marks are set: those that can be
    set are not worth a word yet."""
    if standing.told or not standing.mine:
        return None
    hanging = named(standing.mine, holders)
    head = f"{holders.noun} {gone.key} was deleted in Salesforce, but {hanging} hangs on it"
    if not holders.marks:
        return _review(
            f"{head}; nothing was changed there, and open orders are not touched. Put it on hold, give it"
            f" to another {holders.noun}, or leave it"
        )
    if len(standing.mine) > 1:
        return _review(f"{head}; which of them is to be marked nobody can tell, so none was")
    [holder] = standing.mine
    refused = _refused(gone, standing, holder, holders.marks)
    if not refused or (before and _to_set(gone, standing, holder, holders.marks)):
        return None
    held = ", ".join(
        f"it is on hold already ({text_of(holder, name)})"
        if name == ON_HOLD
        else f"{name} holds another text"
        for name in refused
    )
    return _review(f"{head}; {held}, which was left as it is")


def decide_live(
    change: Write | None, holder: Holder, mark: Mark | None, *, now: datetime
) -> Lifting:
    """The record is there: what the app set is taken back where it still stands; a person's entry stays."""
    back = {} if mark is None or _is_stale(mark, now) else _standing_marks(mark, holder)
    changes = tuple(Change(name, text_of(holder, name), before) for name, before in back.items())
    base = change or Write("update", {}, holder.key, holder.etag)
    return Lifting(
        "update",
        {**base.values, **back},
        base.key,
        base.etag,
        (*base.differences, *changes),
        mark=mark,
        lifts=bool(back),
    )


def is_report(reason: str) -> bool:
    """Whether a review with this reason is one of those that are sent once."""
    return reason == DELETED or reason.startswith(("merged-", "several-"))


def is_blank(value: object) -> bool:
    """Nothing that a deletion could have set."""
    return str(value or "").strip() in ("", FREE)


def _standing_marks(mark: Mark, holder: Holder) -> dict[str, str]:
    return {
        name: before for name, (before, new) in mark.values.items() if text_of(holder, name) == new
    }


def _is_stale(mark: Mark, now: datetime) -> bool:
    return mark.phase == "lifting" and now - datetime.fromisoformat(mark.at) > _STALE


def _to_set(
    gone: Departed, standing: Standing, holder: Holder, marks: Mapping[str, str]
) -> dict[str, str]:
    return {
        name: new
        for name, new in marks.items()
        if is_blank(text_of(holder, name)) and not _was_set(gone, standing, name)
    }


def _refused(
    gone: Departed, standing: Standing, holder: Holder, marks: Mapping[str, str]
) -> list[str]:
    """Fields where a person entered something else, before or after the app set its mark."""
    return [
        name
        for name, new in marks.items()
        if not is_blank(held := text_of(holder, name))
        and held != new
        and not _was_set(gone, standing, name)
    ]


def _was_set(gone: Departed, standing: Standing, name: str) -> bool:
    """For this deletion; whatever is there now, a person has seen the mark and decided."""
    mark = standing.mark
    return (
        mark is not None
        and mark.stamp == gone.stamp
        and mark.phase == "set"
        and name in mark.values
    )


def _review(text: str) -> RecordNeedsReview:
    return RecordNeedsReview(text, reason=DELETED, system="d365")


def named(found: Iterable[Holder], holders: HolderSet) -> str:
    each = [f"{holder.number} in {holder.company}" for holder in found]
    return f"{holders.holder}{'s' if len(each) > 1 else ''} {', '.join(each)}"


def text_of(holder: Holder, name: str) -> str:
    return str(holder.record.get(name) or "")
