"""Transactions that commit out of order, by design: no cursor of ours passes one, as a growing id does."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from services.database import Database
from services.job_store import advance, create
from services.lifecycle import Event
from services.moves import Move, Moved
from services.resources import Resources
from services.updates import JobUpdate
from tests.conftest import until
from tests.factories import a_new_job
from tests.worlds import ALL, WORLD, Entry, present

WRITERS = 16
ROUNDS = 60
_INVERTED = """
SELECT count(*) FROM transitions t JOIN transitions u USING (job_id) WHERE u.seq > t.seq AND u.xid < t.xid
"""


class Writer:
    """Holds transactions open for a random while; each moves jobs of its own and some that it shares."""

    def __init__(self, database: Database, resources: Resources, shared: list[UUID]) -> None:
        self._database = database
        self._resources = resources
        self._shared = shared
        self.written: list[JobUpdate] = []

    async def run(self) -> None:
        for _ in range(ROUNDS):
            moved: list[Moved] = []
            async with self._database.transaction() as connection:
                moved += await create(connection, [a_new_job(world_id=WORLD)])
                await asyncio.sleep(random.choice((0, 0, 0.005, 0.05)))
                # By a second statement: its transaction got its number before others that move the same job and
                # commit first, so that a later seq comes with an earlier transaction.
                await connection.execute(text("SET LOCAL lock_timeout = '15s'"))
                job_id = random.choice(self._shared)
                event = random.choice((Event.CLAIM, Event.RECLAIM))
                lease = timedelta(milliseconds=1)
                moved += (await advance(connection, [Move(job_id, event, lease=lease)])).values()
                await asyncio.sleep(random.choice((0, 0, 0.002, 0.02)))
                moved += (await advance(connection, [Move(moved[0].job.id, Event.CANCEL)])).values()
            updates = [JobUpdate.of_move(one) for one in moved]
            self.written += updates
            if random.random() < 0.7:
                self._resources.publisher.publish(updates)


class Subscriber:
    """Reads the stream, and is cut now and then: it goes on from the last cursor that it has."""

    def __init__(self, resources: Resources, start: str, *, cut: float) -> None:
        self._resources = resources
        self._cursor = start
        self._cut = cut
        self.found: list[Entry] = []

    async def run(self) -> None:
        while True:
            async with aclosing(self._resources.streams.world_updates(WORLD, ALL, self._cursor)) as stream:
                async for item in stream:
                    self._cursor = item.cursor
                    self.found.append((item.update.job.id, item.update.seq))
                    if random.random() < self._cut:
                        break


class Naive:
    """The control: polls for ids greater than the last one that it has seen."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._last = 0
        self.found: list[Entry] = []

    async def run(self) -> None:
        query = text("SELECT id, job_id, seq FROM transitions WHERE id > :last ORDER BY id")
        while True:
            async with self._database.connect() as connection:
                rows = (await connection.execute(query, {"last": self._last})).all()
            for row in rows:
                self._last = row.id
                self.found.append((row.job_id, row.seq))
            await asyncio.sleep(0.005)


@pytest.fixture
async def held_open(database_url: str) -> AsyncIterator[Database]:
    """A pool that is large enough for every writer to hold a transaction."""
    database = Database(database_url, timeout=timedelta(seconds=20), pool_size=WRITERS)
    yield database
    await database.close()


@pytest.mark.timeout(200)
async def test_no_cursor_passes_a_transaction_that_commits_late(services: Resources, held_open: Database) -> None:
    """Falls where `Snapshot.covers` forgets what was in progress, or `read_world` what precedes a chosen entry."""
    start = await present(services)
    async with services.database.connect() as connection:
        shared = await create(connection, [a_new_job(world_id=WORLD, max_attempts=100) for _ in range(3)])
    subscribers = [Subscriber(services, start, cut=cut) for cut in (0, 0, 0.01, 0.01, 0.05, 0.2)]
    naive = Naive(services)
    reading = [asyncio.create_task(subscriber.run()) for subscriber in subscribers]
    reading.append(asyncio.create_task(naive.run()))
    writers = [Writer(held_open, services, [moved.job.id for moved in shared]) for _ in range(WRITERS)]
    await asyncio.gather(*(writer.run() for writer in writers))

    async with services.database.connect() as connection:
        log = [tuple(row) for row in await connection.execute(text("SELECT job_id, seq FROM transitions"))]
        inverted = await connection.execute(text(_INVERTED))
    assert len(log) > 2000
    assert inverted.scalar_one() > 0, "no transaction got its number before one that committed first"
    late = Subscriber(services, start, cut=0.02)
    reading.append(asyncio.create_task(late.run()))
    subscribers.append(late)

    def have_all() -> bool:
        for task in reading:
            if task.done():
                task.result()  # why it has ended, which none does by itself
        return all(len(subscriber.found) >= len(log) for subscriber in subscribers)

    try:
        await until(have_all, within_s=100)
    except TimeoutError:
        lacking = [sorted(set(log) - set(subscriber.found))[:5] for subscriber in subscribers]
        pytest.fail(f"of {len(log)} entries these are lacking, the first five of each: {lacking}")
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)

    for subscriber in subscribers:
        assert len(subscriber.found) == len(set(subscriber.found)), "repeated"
        assert set(subscriber.found) == set(log), "missed"
        latest: dict[UUID, int] = {}
        for job_id, seq in subscriber.found:
            assert seq == latest.get(job_id, 0) + 1, "reordered"
            latest[job_id] = seq
    assert len(set(log) - set(naive.found)) > 0, "the control lost nothing: nothing committed out of order"
