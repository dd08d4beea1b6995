"""Watching the queues: what SQS is asked, and what those who watch are told."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import pytest

from services.local_stack import Endpoint, Part
from services.messages import Message
from services.queue_watch import QueueWatch
from services.resources import Resources
from services.sqs import QueueDepth
from services.supervision import Supervisor
from tests.conftest import Opener, until
from tests.counting_sqs import DEPTH, CountingSqs, counting_sqs

READING = 3 * 2
"""Requests of one reading: each queue, and its dead-letter queue."""


@pytest.fixture
async def sqs(stack: Mapping[Part, Endpoint]) -> AsyncIterator[CountingSqs]:
    async with counting_sqs(stack[Part.SQS].url) as server:
        yield server


@pytest.fixture
async def resources(sqs: CountingSqs, open_services: Opener) -> AsyncIterator[Resources]:
    """Return resources whose queues are watched, with nothing else that would ask SQS."""
    resources = await open_services(AWS_ENDPOINT_URL=sqs.url)
    await resources.queues.initialize()
    sqs.requests.clear()
    async with Supervisor() as supervisor:
        supervisor.start("queue_watch", resources.queue_watch.run)
        yield resources


@pytest.fixture
def watch(resources: Resources) -> QueueWatch:
    return resources.queue_watch


@asynccontextmanager
async def watching(watch: QueueWatch, every_s: float) -> AsyncIterator[list[float]]:
    """Watch in the background; yields when each reading came."""
    came: list[float] = []

    async def read() -> None:
        async for _ in watch.depths(timedelta(seconds=every_s)):
            came.append(asyncio.get_running_loop().time())  # noqa: PERF401 - each when it comes

    reading = asyncio.create_task(read())
    try:
        yield came
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def first(watch: QueueWatch, *, every_s: float = 3600, within_s: float = 5) -> Sequence[QueueDepth]:
    async with asyncio.timeout(within_s), aclosing(watch.depths(timedelta(seconds=every_s))) as stream:
        return await anext(stream)


async def test_what_the_queue_holds_is_told_at_once_and_again_as_it_changes(
    resources: Resources, watch: QueueWatch
) -> None:
    async with asyncio.timeout(10), aclosing(watch.depths(timedelta(seconds=1))) as stream:
        (empty, *_) = await anext(stream)
        await resources.queues.normal.send([Message("x")])
        (full, *_) = await anext(stream)
    assert (empty.name, empty.available, full.available) == (resources.queues.normal.name, 0, 1)


async def test_twenty_who_watch_cost_sqs_what_one_does(sqs: CountingSqs, watch: QueueWatch) -> None:
    """Break it: let each watcher ask by itself in `depths`, and 20 times as many requests come."""
    begun_at = asyncio.get_running_loop().time()
    streams = [watching(watch, 1.0 + number % 2) for number in range(20)]
    watchers = [await stream.__aenter__() for stream in streams]
    await until(lambda: all(len(came) >= 3 for came in watchers), within_s=15)
    lasted_s = asyncio.get_running_loop().time() - begun_at
    for stream in streams:
        await stream.__aexit__(None, None, None)
    assert sqs.requests.keys() == {DEPTH}
    assert sqs.requests[DEPTH] <= READING * (lasted_s + 1)


async def test_the_most_eager_decides_and_the_others_keep_their_interval(
    sqs: CountingSqs, watch: QueueWatch
) -> None:
    async with watching(watch, 1) as often, watching(watch, 3) as rarely, watching(watch, 3600) as once:
        await until(lambda: len(often) == 7, within_s=15)
    assert len(rarely) in {2, 3}
    assert len(once) == 1
    assert sqs.requests[DEPTH] == READING * 7


async def test_who_joins_is_told_at_once_without_a_request_where_the_last_answer_is_young(
    sqs: CountingSqs, watch: QueueWatch
) -> None:
    async with watching(watch, 3600) as came:
        await until(lambda: came)
        for _ in range(5):
            await first(watch, within_s=0.5)
        assert sqs.requests[DEPTH] == READING
        # For an eager one the same answer grows old.
        async with watching(watch, 1) as eager:
            await until(lambda: len(eager) == 2)
    assert sqs.requests[DEPTH] == READING * 2


async def test_sqs_is_not_asked_while_nobody_watches(sqs: CountingSqs, watch: QueueWatch) -> None:
    """Break it: leave the watcher in the set when its stream ends, or let `run` not wait for one."""
    await asyncio.sleep(1.2)  # longer than the shortest interval
    assert not sqs.requests
    async with watching(watch, 1) as came:
        await until(lambda: came)
    asked = sqs.requests[DEPTH]
    await asyncio.sleep(1.2)
    assert (sqs.requests[DEPTH], watch.watchers) == (asked, 0)


async def test_who_comes_again_and_again_does_not_make_sqs_be_asked_more_often(
    sqs: CountingSqs, watch: QueueWatch
) -> None:
    for _ in range(50):
        await first(watch, every_s=1)
    assert sqs.requests[DEPTH] <= READING * 2


async def test_who_leaves_in_any_moment_leaves_no_task(watch: QueueWatch) -> None:
    await first(watch)
    tasks = asyncio.all_tasks()
    for pause_s in (0, 0.001, 0.01, 0.1):
        async with watching(watch, 1):
            await asyncio.sleep(pause_s)
    await until(lambda: asyncio.all_tasks() == tasks)
    assert watch.watchers == 0


async def test_an_outage_of_sqs_is_waited_out(sqs: CountingSqs, watch: QueueWatch) -> None:
    async with watching(watch, 1) as came:
        await until(lambda: came)
        sqs.away = True
        asked = sqs.requests.total()
        await until(lambda: sqs.requests.total() >= asked + 2 * READING)
        told = len(came)
        joined = asyncio.create_task(first(watch, within_s=20))
        sqs.away = False
        await until(lambda: len(came) > told, within_s=20)
        assert await joined


async def test_a_slow_reader_gets_the_latest_reading_and_not_each(resources: Resources, watch: QueueWatch) -> None:
    async with aclosing(watch.depths(timedelta(seconds=1))) as slow, watching(watch, 1) as came:
        await anext(slow)
        await until(lambda: len(came) == 2)
        await resources.queues.normal.send([Message("x")])
        await until(lambda: len(came) == 4)
        (depth, *_) = await anext(slow)
        assert depth.available == 1
        waiting = asyncio.ensure_future(anext(slow))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        await waiting
