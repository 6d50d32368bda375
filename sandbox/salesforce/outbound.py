"""Sends changes to subscribers: the push side of the org.

A change by anybody but the integration user is queued per subscription and posted by a task that
`start` and `stop` own. Outbound messages follow the documented rules with time divided by
`time_factor`: up to 100 notifications a message, repeated after 2 s, 4 s, … at most 2 h, given up
after 24 h, at least once and unordered. A JSON callout is posted once (`retries` repeats it), as
Salesforce has no retry for callouts (Salesforce contracts 4 and 5.3).
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from sandbox.salesforce.channel import Channel, Pending
from sandbox.salesforce.ids import IdFactory
from sandbox.salesforce.notifications import Notification, is_ack, signed, soap
from sandbox.salesforce.subscriptions import Rules, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.salesforce.changes import Change
    from sandbox.salesforce.org import Org

MOST_EVENTS = 200  # a trigger sees at most 200 rows at a time
ANSWER_SECONDS = 60.0


class Outbound:
    def __init__(self, org: Org) -> None:
        self.org = org
        self.rules = Rules()
        self.base_url = "https://localhost"
        self.counts: Counter[str] = Counter()
        self.last_error = ""
        self._random = random.Random(0)
        self._ids = IdFactory()
        self._channels: list[Channel] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._client: httpx.AsyncClient | None = None
        org.listeners.append(self.changed)

    # --- configuration ----------------------------------------------------------------------------

    @property
    def subscriptions(self) -> list[dict[str, Any]]:
        return [asdict(channel.subscription) for channel in self._channels]

    async def subscribe(self, subscriptions: Iterable[dict[str, Any]]) -> None:
        """Replaces all subscriptions; what was waiting for the old ones is dropped."""
        channels = [Channel(Subscription(**s), self._ids.new("04k")) for s in subscriptions]
        for channel in channels:
            channel.subscription.object = self.org.schema.get(channel.subscription.object).name
        running = self._client is not None
        await self._cancel()
        self._channels = channels
        if running:
            self._run()

    def set_rules(self, given: dict[str, Any]) -> None:
        self.rules = Rules(**{**asdict(self.rules), **given})
        self._random = random.Random(self.rules.seed)
        for channel in self._channels:
            channel.wake.set()

    def reset(self) -> None:
        self.counts.clear()
        self.last_error = ""
        self.set_rules(asdict(Rules()))
        for channel in self._channels:
            channel.queue.clear()

    def state(self) -> dict[str, Any]:
        """Counts of notifications or events; `pending` includes what is on its way."""
        names = ("acked", "failed", "lost", "repeated", "messages", "rejected")
        pending = sum(len(channel.queue) + channel.in_flight for channel in self._channels)
        return {
            "pending": pending,
            **{name: self.counts[name] for name in names},
            "last_error": self.last_error,
        }

    # --- queueing ---------------------------------------------------------------------------------

    def changed(self, changes: list[Change]) -> None:
        by_record: dict[tuple[str, str], Change] = {}
        for change in changes:
            if change.user_id == self.org.users.integration:
                continue
            key = (change.object, change.record_id)
            # A row that a transaction creates and then changes tells of its creation.
            if key not in by_record or change.type == "DELETE":
                by_record[key] = change
        for channel in self._channels:
            wanted = channel.subscription
            found = [
                change
                for change in by_record.values()
                if change.object == wanted.object and change.type in wanted.events
            ]
            if wanted.enabled and found:
                self._enqueue(channel, found)

    def _enqueue(self, channel: Channel, changes: list[Change]) -> None:
        moment = time.monotonic()
        kept = [c for c in changes if self._random.random() >= self.rules.lose_share]
        self.counts["lost"] += len(changes) - len(kept)
        if channel.subscription.kind == "outbound-message":
            for change in kept:
                item = Pending(self._ids.new("04l"), change.record_id, [], moment, moment)
                channel.queue.append(item)
        else:
            events = [self._event(change) for change in kept]
            for start in range(0, len(events), MOST_EVENTS):
                part = events[start : start + MOST_EVENTS]
                channel.queue.append(Pending(part[0]["eventId"], "", part, moment, moment))
        channel.wake.set()

    def _event(self, change: Change) -> dict[str, Any]:
        event = {
            "eventId": str(uuid.uuid4()),
            "orgId": self.org.id,
            "entity": change.object,
            "changeType": change.type,
            "recordIds": [change.record_id],
        }
        parent = change.row.get("AccountId") or change.row.get("OpportunityId")
        return {**event, "parentId": parent} if parent else event

    # --- delivery ---------------------------------------------------------------------------------

    async def start(self) -> None:
        self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False)
        self._run()

    async def stop(self) -> None:
        await self._cancel()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _run(self) -> None:
        self._tasks = [asyncio.create_task(self._deliver(channel)) for channel in self._channels]

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _deliver(self, channel: Channel) -> None:
        while True:
            channel.wake.clear()
            messages = [] if self.rules.paused else channel.take(self.rules, self._random)
            if messages:
                await asyncio.gather(*(self._send(channel, message) for message in messages))
                continue
            next_due = min((item.due for item in channel.queue), default=None)
            timeout = None
            if next_due is not None and not self.rules.paused:
                timeout = max(0.0, next_due - time.monotonic())
            try:
                await asyncio.wait_for(channel.wake.wait(), timeout)
            except TimeoutError:
                continue

    async def _send(self, channel: Channel, items: list[Pending]) -> None:
        error = ""
        try:
            error = await self._post(channel, items)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            error = f"{type(exc).__name__}: {exc}"
        finally:
            channel.in_flight -= len(items)
        self.counts["messages"] += 1
        if error:
            self.last_error = error
            self.counts["rejected"] += 1
            given_up = channel.put_back(items, self.rules.time_factor)
            self.counts["failed"] += sum(item.size for item in given_up)
            return
        for item in items:
            self.counts["acked"] += item.size
            if not item.repeated and self._random.random() < self.rules.duplicate_share:
                # Duplicates happen even after a good answer.
                item.repeated = True
                self.counts["repeated"] += item.size
                channel.queue.append(item)

    async def _post(self, channel: Channel, items: list[Pending]) -> str:
        """Returns why the subscriber did not take the message, or an empty text."""
        assert self._client is not None
        subscription = channel.subscription
        if subscription.kind == "json":
            body, headers = signed(
                items[0].events,
                subscription.function_key,
                subscription.secret,
                subscription.static_secret,
            )
            answer = await self._client.post(subscription.url, content=body, headers=headers)
            return "" if answer.is_success else f"HTTP {answer.status_code}"
        url = subscription.url
        if subscription.function_key:  # an outbound message cannot send headers of its own
            mark = "&" if "?" in url else "?"
            url += mark + urlencode({"code": subscription.function_key})
        notifications = [Notification(item.id, item.record_id) for item in items]
        obj = self.org.schema.objects[subscription.object]
        fields = [name for name in subscription.fields if obj.find(name)]
        content = soap(self.org, obj, channel.action_id, fields, notifications, self.base_url)
        headers = {"content-type": "text/xml; charset=UTF-8", "soapaction": '""'}
        answer = await self._client.post(url, content=content, headers=headers)
        if answer.status_code != 200:
            return f"HTTP {answer.status_code}"
        return "" if is_ack(answer.content) else "SOAP response was a nack"
