"""The batcher: what leaves when, and who hears of it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.batching import Batcher

AT_ONCE = timedelta()
SHORT = timedelta(milliseconds=20)
NEVER = timedelta(hours=1)


class Flushes:
    """Takes batches; an item `n` becomes `n * 10`, and a batch with a negative item fails."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.taken: list[list[int]] = []
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if any(item < 0 for item in items):
            raise ValueError("a negative item")
        self.taken.append(list(items))
        return [item * 10 for item in items]


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_full_batch_leaves_at_once() -> None:
    flush = Flushes()
    batcher = Batcher(flush, most=3, linger=NEVER)
    assert await asyncio.gather(*(batcher.put(n) for n in range(6))) == [0, 10, 20, 30, 40, 50]
    assert flush.batches == [[0, 1, 2], [3, 4, 5]]


async def test_a_batch_that_is_not_full_waits_for_company_and_no_longer_than_the_linger() -> None:
    flush = Flushes()
    batcher = Batcher(flush, most=100, linger=SHORT)
    loop = asyncio.get_running_loop()
    start = loop.time()
    first = batcher.put_nowait(1)
    await settled()
    assert flush.batches == []
    second = batcher.put_nowait(2)
    assert (await first, await second) == (10, 20)
    assert flush.batches == [[1, 2]]
    assert SHORT.total_seconds() * 0.9 < loop.time() - start < 1


async def test_the_linger_counts_from_the_first_item_of_each_batch() -> None:
    flush = Flushes()
    batcher = Batcher(flush, most=2, linger=SHORT)
    first = batcher.put_nowait(1)
    await asyncio.sleep(SHORT.total_seconds() / 2)
    batcher.put_nowait(2)  # leaves full, and must take its timer along
    assert await first == 10
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert await batcher.put(3) == 30
    assert loop.time() - start > SHORT.total_seconds() * 0.9
    assert flush.batches == [[1, 2], [3]]


async def test_without_a_linger_what_is_put_in_one_go_still_travels_together() -> None:
    flush = Flushes()
    batcher = Batcher(flush, most=100, linger=AT_ONCE)
    assert await asyncio.gather(*(batcher.put(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert flush.batches == [[0, 1, 2, 3, 4]]


async def test_a_slow_batch_does_not_hold_the_next_one_up() -> None:
    flush = Flushes(held=True)
    batcher = Batcher(flush, most=1, linger=NEVER)
    futures = [batcher.put_nowait(1), batcher.put_nowait(2)]
    await settled()
    assert flush.batches == [[1], [2]]
    flush.gate.set()
    assert [await future for future in futures] == [10, 20]


async def test_an_error_reaches_every_put_of_its_batch_and_no_other() -> None:
    flush = Flushes()
    batcher = Batcher(flush, most=2, linger=NEVER)
    outcomes = await asyncio.gather(*(batcher.put(n) for n in (1, -1, 2, 3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["a negative item", "a negative item", "20", "30"]


async def test_an_error_that_nobody_waits_for_is_no_complaint_later() -> None:
    batcher = Batcher(Flushes(), most=1, linger=NEVER)
    batcher.put_nowait(-1)
    await batcher.drain()
    # Warnings are errors here: a future that was never asked for its exception would be one.


async def test_too_few_outcomes_are_an_error_for_those_who_got_none() -> None:
    async def forget(items: Sequence[int]) -> list[int]:
        return list(items)[:1]

    batcher = Batcher(forget, most=2, linger=NEVER)
    outcomes = await asyncio.gather(batcher.put(1), batcher.put(2), return_exceptions=True)
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], ValueError)


async def test_draining_lets_everything_leave_and_waits_until_it_was_taken() -> None:
    flush = Flushes(held=True)
    batcher = Batcher(flush, most=2, linger=NEVER)
    futures = [batcher.put_nowait(n) for n in (1, 2, 3)]
    draining = asyncio.create_task(batcher.drain())
    await settled()
    assert flush.batches == [[1, 2], [3]]
    assert not draining.done()
    flush.gate.set()
    await draining
    assert [future.result() for future in futures] == [10, 20, 30]


async def test_draining_nothing_returns() -> None:
    await Batcher(Flushes(), most=2, linger=NEVER).drain()


async def test_closing_drops_what_waits_and_breaks_off_what_is_under_way() -> None:
    flush = Flushes(held=True)
    batcher = Batcher(flush, most=2, linger=SHORT)
    futures = [batcher.put_nowait(n) for n in range(3)]
    await settled()
    assert flush.batches == [[0, 1]]
    await batcher.close()
    assert all(future.cancelled() for future in futures)
    flush.gate.set()
    await asyncio.sleep(SHORT.total_seconds() * 3)
    assert (flush.batches, flush.taken, batcher.pending) == ([[0, 1]], [], 0)


async def test_draining_survives_a_batch_that_fails() -> None:
    batcher = Batcher(Flushes(), most=2, linger=NEVER)
    failing = batcher.put_nowait(-1)
    await batcher.drain()
    assert isinstance(failing.exception(), ValueError)


@pytest.mark.parametrize("under_way", [False, True])
async def test_whoever_stops_waiting_does_not_hurt_the_others(*, under_way: bool) -> None:
    flush = Flushes(held=True)
    batcher = Batcher(flush, most=3, linger=NEVER)
    leaving = asyncio.create_task(batcher.put(1))
    staying = asyncio.create_task(batcher.put(2))
    await settled()
    if under_way:
        batcher.put_nowait(3)
        await settled()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    flush.gate.set()
    await batcher.drain()
    assert await staying == 20
    # The item itself has left, or will: only the waiting for it was given up.
    assert flush.taken == [[1, 2, 3] if under_way else [1, 2]]


async def test_the_batcher_goes_on_after_an_error() -> None:
    batcher = Batcher(Flushes(), most=1, linger=NEVER)
    with pytest.raises(ValueError, match="negative"):
        await batcher.put(-1)
    assert await batcher.put(1) == 10


async def test_a_flush_that_is_cancelled_cancels_whoever_waits_for_it() -> None:
    async def cancelled(_items: Sequence[int]) -> list[int]:
        raise asyncio.CancelledError

    batcher = Batcher(cancelled, most=1, linger=NEVER)
    future = batcher.put_nowait(1)
    await batcher.drain()
    assert future.cancelled()


async def test_what_was_taken_by_hand_is_the_takers_to_answer() -> None:
    flush = Flushes()
    batcher = Batcher(flush, most=10, linger=SHORT)
    waiting = asyncio.create_task(batcher.put(1))
    await settled()
    ((item, future),) = batcher.take()
    future.set_result(item + 1)
    assert await waiting == 2
    await asyncio.sleep(SHORT.total_seconds() * 2)
    assert flush.batches == []


async def test_what_comes_while_as_many_are_under_way_as_may_be_leaves_together() -> None:
    """Falls where the number of batches under way is not bounded."""
    flush = Flushes(held=True)
    batcher = Batcher(flush, most=3, linger=AT_ONCE, at_once=1)
    futures = [batcher.put_nowait(1)]
    await settled()
    futures += [batcher.put_nowait(n) for n in range(2, 7)]
    await settled()
    assert flush.batches == [[1]]
    flush.gate.set()
    assert [await future for future in futures] == [10, 20, 30, 40, 50, 60]
    assert flush.batches == [[1], [2, 3, 4], [5, 6]]


async def test_a_bounded_batcher_goes_on_after_an_error_and_drains() -> None:
    flush = Flushes()
    batcher = Batcher(flush, most=1, linger=NEVER, at_once=1)
    futures = [batcher.put_nowait(n) for n in (-1, 1, 2)]
    await batcher.drain()
    assert isinstance(futures[0].exception(), ValueError)
    assert [future.result() for future in futures[1:]] == [10, 20]
