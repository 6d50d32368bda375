"""No call may outlive the batch that started it."""

import asyncio

import pytest

from integration.deadline import call_timeout, deadline, remaining
from integration.errors import DeadlineReached


def test_without_a_deadline_a_call_has_its_own_time() -> None:
    assert remaining() is None
    assert call_timeout(120) == 120


def test_a_call_gets_what_is_left_where_that_is_less_than_its_own_time() -> None:
    with deadline(10):
        assert call_timeout(2) == 2
        assert 9 < call_timeout(120) <= 10


def test_a_call_that_might_not_finish_is_not_begun() -> None:
    with deadline(5), pytest.raises(DeadlineReached, match=r"needs 30\.0 s"):
        call_timeout(60, needed=30)
    with deadline(-1), pytest.raises(DeadlineReached, match=r"^0\.0 s left"):
        call_timeout(60)


def test_an_inner_deadline_never_lengthens_the_outer_one() -> None:
    with deadline(5):
        with deadline(100):
            assert (remaining() or 0) <= 5
        with deadline(1):
            assert (remaining() or 0) <= 1
        assert (remaining() or 0) > 4
    assert remaining() is None


async def test_a_deadline_holds_in_the_tasks_started_inside_and_nowhere_else() -> None:
    async def left() -> float | None:
        await asyncio.sleep(0)
        return remaining()

    outside = asyncio.create_task(left())
    with deadline(3):
        inside = asyncio.create_task(left())
    assert await outside is None
    assert 2 < (await inside or 0) <= 3


def test_a_deadline_ends_with_an_exception_too() -> None:
    with pytest.raises(ZeroDivisionError), deadline(3):
        _ = 1 / 0
    assert remaining() is None
