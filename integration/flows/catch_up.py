"""Catches up with the changes of Salesforce that no webhook delivered (Salesforce contracts 5.1, 6.4).

A job, started by a timer: it follows each channel of change events from the stored position to its end and
enqueues a hint for every record that somebody else changed. Hints first, then the position, so that a
crash repeats hints and loses none.

Where the position has expired, or an event does not say which records it means, events are lost; then the
records changed since are read instead, deleted ones too, page by page. No loss passes unseen: every such
gap is kept in `catch-up/gaps.json` and told in the next drift report.

Position: {"run","channels","gaps":[{"object","since","until","reason","after","found"}]}.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from integration.deadline import remaining
from integration.flows.catch_up_gaps import Gaps, Positions, new_gap
from integration.jobs.job import Progress
from integration.jobs.kinds import CATCH_UP
from integration.messaging.hints import Hint
from integration.telemetry import log_event, record_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from integration.flows.catch_up_gaps import Documents
    from integration.flows.context import FlowEntry
    from integration.jobs.job import Position
    from integration.salesforce.client import SalesforceClient
    from integration.salesforce.pubsub.events import Change
    from integration.salesforce.pubsub.stream import Page
    from integration.settings import CatchUpSettings, Settings
    from integration.state.blobs import BlobState

_LITTLE_TIME = 6.0  # seconds: the channel goes on in the next step
_CHANNEL, _SUFFIX = "/data/", "ChangeEvent"


class Events(Protocol):
    def follow(self, topic: str, position: str | None) -> AsyncIterator[Page]: ...


class Outbox(Protocol):
    async def send_hints(self, hints: Iterable[Hint]) -> None: ...


class CatchUpJob:
    """Started with {}, or with {"gaps": [{"object","since","reason"}]} by whoever noticed a silence."""

    kind = CATCH_UP
    longest = timedelta(hours=2)

    def __init__(
        self,
        state: Documents,
        outbox: Outbox,
        salesforce: SalesforceClient,
        gaps: Gaps,
        roots: Mapping[str, str],
        settings: CatchUpSettings,
        connect: Callable[[], AbstractAsyncContextManager[Events]],
        *,
        client_name: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`roots`: object → the field with its business key, for the objects that have a flow;
        `client_name` marks the app's own changes; `connect` opens the Pub/Sub API."""
        self._positions = Positions(state)
        self._outbox = outbox
        self._salesforce = salesforce
        self._gaps = gaps
        self._roots = dict(roots)
        self._settings = settings
        self._connect = connect
        self._client_name = client_name
        self._clock = clock

    async def step(self, position: Position) -> Progress:
        if "run" not in position:
            position = self._beginning(position)
        counts: Counter[str] = Counter()
        following = Progress(position)
        if position["gaps"]:
            following = await self._read_gap(position, counts)
        elif position["channels"]:
            following = Progress(await self._follow(position, counts))
        position = following.position
        done = not position["gaps"] and not position["channels"]
        return replace(following, counts=+counts, done=done)

    def _beginning(self, params: Position) -> Position:
        now = self._clock().isoformat()
        channels = self._settings.channels or tuple(f"{_CHANNEL}{o}{_SUFFIX}" for o in self._roots)
        gaps = [
            new_gap(each["object"], each["since"], now, each["reason"])
            for each in params.get("gaps", ())
        ]
        return {"run": now, "channels": list(channels), "gaps": gaps}

    async def _follow(self, position: Position, counts: Counter[str]) -> Position:
        """One channel, as far as the time goes."""
        from integration.salesforce.pubsub.errors import ReplayExpired

        topic, *others = position["channels"]
        stored = await self._positions.read(topic)
        gaps: list[dict[str, Any]] = []
        own_user = (await self._salesforce.tokens.current()).user_id
        try:
            async with self._connect() as events:
                async for page in events.follow(topic, stored.get("position")):
                    gaps += await self._take(page, topic, stored, own_user, counts)
                    stored = await self._positions.write(topic, page.position, self._clock())
        except ReplayExpired as error:
            gaps.append(self._expired(topic, stored, error.description))
            await self._positions.write(
                topic, None, self._clock()
            )  # the next step begins with the oldest event there is
            return {**position, "gaps": gaps}
        left = remaining()
        unfinished = left is not None and left < _LITTLE_TIME
        return {
            **position,
            "channels": position["channels"] if unfinished else others,
            "gaps": gaps,
        }

    async def _take(
        self,
        page: Page,
        topic: str,
        stored: Mapping[str, Any],
        own_user: str | None,
        counts: Counter[str],
    ) -> list[dict[str, Any]]:
        """Enqueues hints for a page's changes; returns the gaps it shows."""
        gaps: list[dict[str, Any]] = []
        hints: dict[tuple[str, str], Hint] = {}
        now = self._clock()
        for change in page.changes:
            if change.object not in self._roots:
                counts["other"] += 1
            elif not change.gap and (change.user == own_user or change.client == self._client_name):
                counts["own"] += 1
            elif not change.ids:
                before = (change.at - self._overlap).isoformat()
                gaps.append(new_gap(change.object, before, now.isoformat(), "overflow"))
            else:
                for key in change.ids:
                    hints[change.object, key] = self._hint(change, key, now)
        if page.unreadable:
            # What it was about is not known, so everything since the last page may be it.
            since = stored.get("at") or (now - self._overlap).isoformat()
            name = topic.removeprefix(_CHANNEL).removesuffix(_SUFFIX)
            for each in [name] if name in self._roots else list(self._roots):
                gaps.append(new_gap(each, since, now.isoformat(), "unreadable"))
            log_event(
                "change events cannot be read", topic=topic, events="; ".join(page.unreadable)
            )
        await self._outbox.send_hints(hints.values())
        record_events("pubsub", "hinted", len(hints))
        counts["events"] += len(page.changes) + len(page.unreadable)
        counts["hinted"] += len(hints)
        counts["unreadable"] += len(page.unreadable)
        return gaps

    def _hint(self, change: Change, key: str, now: datetime) -> Hint:
        root = key if self._roots[change.object] == "Id" else None
        return Hint(
            source="salesforce",
            object=change.object,
            key=key,
            root=root,
            event_id=f"pubsub:{change.event_id}/{key}",
            seen_at=now,
        )

    def _expired(self, topic: str, stored: Mapping[str, Any], why: str) -> dict[str, Any]:
        now = self._clock()
        since = datetime.fromisoformat(stored["at"]) - self._overlap if stored.get("at") else now
        log_event("position of change events expired", topic=topic, since=since, why=why)
        name = topic.removeprefix(_CHANNEL).removesuffix(_SUFFIX)
        return new_gap(name, since.isoformat(), now.isoformat(), "expired")

    async def _read_gap(self, position: Position, counts: Counter[str]) -> Progress:
        """One page of the records that changed in the first gap."""
        gap, *others = position["gaps"]
        name = gap["object"]
        if name not in self._roots:  # a custom channel of several objects
            split = [{**gap, "object": each} for each in self._roots]
            return Progress({**position, "gaps": [*split, *others]})
        page = await self._gaps.page(gap)
        now = self._clock()
        hints = [
            Hint(
                source="salesforce",
                object=name,
                key=key,
                root=root,
                event_id=f"gap:{position['run']}/{name}/{key}",
                seen_at=now,
            )
            for key, root in page.records
        ]
        await self._outbox.send_hints(hints)
        record_events("gap", "hinted", len(hints))
        counts["gap_records"] += len(hints)
        gap = {**gap, "after": page.after, "found": gap["found"] + len(hints)}
        if page.after is not None:
            return Progress({**position, "gaps": [gap, *others]}, delay=page.delay)
        await self._gaps.remember(gap, now)
        counts["gaps"] += 1
        return Progress({**position, "gaps": others})

    @property
    def _overlap(self) -> timedelta:
        return timedelta(minutes=self._settings.overlap_minutes)


def build_catch_up_job(
    settings: Settings,
    entries: Sequence[FlowEntry],
    salesforce: SalesforceClient,
    state: BlobState,
    outbox: Outbox,
) -> CatchUpJob:
    def connect() -> AbstractAsyncContextManager[Events]:
        from integration.salesforce.pubsub.stream import connect

        catch_up = settings.catch_up
        return connect(catch_up.endpoint, salesforce.tokens, quiet=catch_up.quiet_seconds)

    roots = {entry.object: entry.root_field for entry in entries if entry.source == "salesforce"}
    return CatchUpJob(
        state,
        outbox,
        salesforce,
        Gaps(state, salesforce, roots, settings),
        roots,
        settings.catch_up,
        connect,
        client_name=settings.salesforce.client_name,
    )
