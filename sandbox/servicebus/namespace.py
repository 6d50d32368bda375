"""All queues of the broker with their dead-letter sub-queues, and how dead letters travel."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from sandbox.servicebus.entries import Entry
from sandbox.servicebus.options import QueueOptions
from sandbox.servicebus.sessions import Queue
from sandbox.servicebus.store import Clock, DeadLetterSink, sub_queue_options

_SUB_QUEUE = "/$deadletterqueue"


class Namespace:
    def __init__(self, options: list[QueueOptions], clock: Clock = time.time) -> None:
        """Raises `ValueError` for a name used twice or dead letters forwarded to nowhere."""
        self._queues: dict[str, Queue] = {}
        for each in options:
            key = each.name.lower()
            if key in self._queues:
                raise ValueError(f"The queue '{each.name}' is defined twice.")
            self._queues[key] = Queue(each, clock, sink=self._sink_of(each))
            self._queues[key + _SUB_QUEUE] = Queue(sub_queue_options(each), clock)
        for each in options:
            target = each.forward_dead_letters_to
            if target is None:
                continue
            if target.lower() not in self._queues or target.lower() == each.name.lower():
                raise ValueError(f"'{each.name}' cannot forward dead letters to '{target}'.")

    def _sink_of(self, options: QueueOptions) -> DeadLetterSink:
        own = options.name.lower() + _SUB_QUEUE
        target = options.forward_dead_letters_to

        def sink(entry: Entry) -> None:
            queue = None if target is None else self._queues[target.lower()]
            if queue is None or (
                # It could not be stored there; the own sub-queue loses nothing.
                queue.options.requires_session and entry.message.session_id is None
            ):
                self._queues[own].put_dead_letter(entry, None, forwarded=False)
            else:
                queue.put_dead_letter(entry, options.name, forwarded=True)

        return sink

    def find(self, address: str | None) -> Queue | None:
        """The queue behind a path or full URI, case-insensitively; None if there is none."""
        if not address:
            return None
        path = urlsplit(address).path if "://" in address else address
        return self._queues.get(path.strip("/").lower())

    def main_queues(self) -> Iterator[tuple[Queue, Queue]]:
        """Each queue with its dead-letter sub-queue, in the order of definition."""
        for key, queue in self._queues.items():
            if not key.endswith(_SUB_QUEUE):
                yield queue, self._queues[key + _SUB_QUEUE]

    def all_queues(self) -> Iterator[Queue]:
        yield from self._queues.values()
