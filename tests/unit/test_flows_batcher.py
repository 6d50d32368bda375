"""Deliveries that come together are handled together, a bucket at a time, and each gets its answer."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.flows.batcher import Batcher
from integration.flows.outcomes import Failed, Outcome, Skipped, Synced
from integration.messaging.hints import Hint

DONE = Synced(changed=True)
COALESCED = Skipped("coalesced")


def hint(key: str, *, attempt: int = 1, put_backs: int = 0) -> Hint:
    return Hint(
        source="salesforce",
        object="Account",
        key=key,
        event_id=key,
        seen_at=datetime(2025, 1, 1, tzinfo=UTC),
        attempt=attempt,
        put_backs=put_backs,
    )


class Handler:
    """Handles batches, each when `go` is set, and checks that no bucket is in two at once."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, dict[str, str]]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.pause = 0
        self.error: BaseException | None = None
        self.forget: set[str] = set()
        self._held: set[str] = set()

    async def __call__(self, flow: str, keys: Mapping[str, str]) -> Mapping[str, Outcome]:
        buckets = set(keys.values())
        assert not self._held & buckets, "a bucket is in two batches at once"
        self._held |= buckets
        try:
            self.batches.append((flow, dict(keys)))
            await self.go.wait()
            for _ in range(self.pause):
                await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
            return {key: DONE for key in keys if key not in self.forget}
        finally:
            self._held -= buckets


@pytest.fixture
async def handler() -> Handler:
    return Handler()


@pytest.fixture
async def batcher(handler: Handler) -> Batcher:
    return Batcher(handler, window=0.01, size=5)


async def until(condition: object, *, turns: int = 200) -> None:
    for _ in range(turns):
        if callable(condition) and condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("did not happen")


async def test_what_comes_together_is_one_batch(batcher: Batcher, handler: Handler) -> None:
    answers = await asyncio.gather(
        *(batcher.submit("accounts", "bucket-000", hint(key)) for key in "abc")
    )
    assert answers == [DONE] * 3
    assert handler.batches == [("accounts", dict.fromkeys("abc", "bucket-000"))]


async def test_a_burst_that_comes_slowly_is_one_batch_up_to_four_windows(handler: Handler) -> None:
    batcher = Batcher(handler, window=0.4, size=100)
    deliveries = []
    for number in range(9):  # one in each half window, the last ones after the fourth
        deliveries.append(asyncio.create_task(batcher.submit("accounts", "00", hint(str(number)))))
        await asyncio.sleep(0.2)
    assert await asyncio.gather(*deliveries) == [DONE] * 9
    assert len(handler.batches) <= 3  # one window each would have made five


async def test_several_idle_buckets_share_a_batch(batcher: Batcher, handler: Handler) -> None:
    await asyncio.gather(
        batcher.submit("accounts", "bucket-000", hint("a")),
        batcher.submit("accounts", "bucket-001", hint("b")),
    )
    assert handler.batches == [("accounts", {"a": "bucket-000", "b": "bucket-001"})]


async def test_flows_do_not_share_a_batch(batcher: Batcher, handler: Handler) -> None:
    await asyncio.gather(
        batcher.submit("accounts", "bucket-000", hint("a")),
        batcher.submit("contacts", "bucket-001", hint("b")),
    )
    assert sorted(flow for flow, _ in handler.batches) == ["accounts", "contacts"]


async def test_a_bucket_waits_for_its_own_batch_while_another_goes_on(
    batcher: Batcher, handler: Handler
) -> None:
    handler.go.clear()
    first = asyncio.create_task(batcher.submit("accounts", "bucket-000", hint("a")))
    await until(lambda: len(handler.batches) == 1)
    same = asyncio.create_task(batcher.submit("accounts", "bucket-000", hint("b")))
    other = asyncio.create_task(batcher.submit("accounts", "bucket-001", hint("c")))
    await until(lambda: len(handler.batches) == 2)
    await asyncio.sleep(0.03)
    assert handler.batches[1:] == [("accounts", {"c": "bucket-001"})]
    handler.go.set()
    assert await asyncio.gather(first, same, other) == [DONE] * 3
    assert handler.batches[2:] == [("accounts", {"b": "bucket-000"})]


async def test_several_hints_for_one_key_cost_one_handling(
    batcher: Batcher, handler: Handler
) -> None:
    answers = await asyncio.gather(
        batcher.submit("accounts", "bucket-000", hint("a", attempt=3)),
        batcher.submit("accounts", "bucket-000", hint("a", put_backs=2)),
        batcher.submit("accounts", "bucket-000", hint("a", put_backs=1)),
        batcher.submit("accounts", "bucket-000", hint("b")),
    )
    # The one with the most tries left speaks; a failure would not be multiplied.
    assert answers == [COALESCED, COALESCED, DONE, DONE]
    assert handler.batches == [("accounts", {"a": "bucket-000", "b": "bucket-000"})]


async def test_an_exception_fails_all_of_the_batch_and_the_next_one_runs(
    batcher: Batcher, handler: Handler
) -> None:
    handler.error = ZeroDivisionError()
    answers = await asyncio.gather(
        *(batcher.submit("accounts", "bucket-000", hint(key)) for key in "ab")
    )
    assert answers == [Failed(handler.error)] * 2
    handler.error = None
    assert await batcher.submit("accounts", "bucket-000", hint("a")) == DONE


async def test_a_key_without_an_outcome_fails_instead_of_waiting_for_ever(
    batcher: Batcher, handler: Handler
) -> None:
    handler.forget = {"b"}
    answers = await asyncio.gather(
        *(batcher.submit("accounts", "bucket-000", hint(key)) for key in "ab")
    )
    assert answers[0] == DONE
    assert isinstance(answers[1], Failed)


async def test_a_batch_that_is_cancelled_cancels_its_deliveries(
    batcher: Batcher, handler: Handler
) -> None:
    handler.error = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await batcher.submit("accounts", "bucket-000", hint("a"))
    handler.error = None
    assert await batcher.submit("accounts", "bucket-000", hint("a")) == DONE


async def test_a_delivery_that_is_cancelled_does_not_disturb_the_others(
    batcher: Batcher, handler: Handler
) -> None:
    handler.go.clear()
    left = asyncio.create_task(batcher.submit("accounts", "bucket-000", hint("a")))
    stays = asyncio.create_task(batcher.submit("accounts", "bucket-000", hint("b")))
    await until(lambda: len(handler.batches) == 1)
    left.cancel()
    handler.go.set()
    assert await stays == DONE
    with pytest.raises(asyncio.CancelledError):
        await left


async def test_no_batch_is_larger_than_allowed(batcher: Batcher, handler: Handler) -> None:
    answers = await asyncio.gather(
        *(
            batcher.submit("accounts", f"bucket-{number % 3:03}", hint(f"k{number}"))
            for number in range(23)
        )
    )
    assert answers == [DONE] * 23
    assert max(len(keys) for _, keys in handler.batches) <= 5
    assert sum(len(keys) for _, keys in handler.batches) == 23


SUBMITS = st.lists(
    st.tuples(
        st.sampled_from(["accounts", "contacts"]),
        st.integers(0, 2),  # bucket
        st.sampled_from("abcdef"),  # key
        st.integers(0, 6),  # turns of the loop before it comes
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(
    submits=SUBMITS,
    pauses=st.integers(0, 5),
    size=st.integers(1, 4),
    window=st.sampled_from([0.0, 0.001]),
    fails=st.booleans(),
)
async def test_no_delivery_is_lost_whatever_the_interleaving(
    submits: list[tuple[str, int, str, int]], pauses: int, size: int, window: float, fails: bool
) -> None:
    handler = Handler()
    handler.pause = pauses
    handler.error = ZeroDivisionError() if fails else None
    batcher = Batcher(handler, window=window, size=size)

    async def deliver(flow: str, bucket: int, key: str, turns: int) -> Outcome:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await batcher.submit(flow, f"bucket-{bucket:03}", hint(key))

    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(deliver(*submit) for submit in submits))
    handled = sum(len(keys) for _, keys in handler.batches)
    if fails:
        assert answers == [Failed(handler.error)] * len(submits)
    else:
        assert answers.count(DONE) == handled
        assert answers.count(COALESCED) == len(submits) - handled
    assert all(len(keys) <= size for _, keys in handler.batches)
    for flow, keys in handler.batches:
        for key, bucket in keys.items():
            assert (flow, bucket, key) in {(f, f"bucket-{b:03}", k) for f, b, k, _ in submits}
