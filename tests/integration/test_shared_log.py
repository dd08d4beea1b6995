"""The log read for many: who asks together shares statements, and whoever leaves disturbs nobody."""

import asyncio
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from services.access import ANONYMOUS
from services.database import Database
from services.errors import InvalidInput, JobNotFound
from services.positions import Position, Snapshot
from services.resources import Resources
from services.shared_log import SharedLog
from services.world_log import read_present
from tests.conftest import recorded_statements
from tests.factories import a_request

WORLD = "eldoria"


@pytest.fixture
def log(database: Database) -> SharedLog:
    return SharedLog(database)


@pytest.fixture
def invalidated() -> Iterator[list[object]]:
    """Return the connections that had to be thrown away."""
    found: list[object] = []

    def note(connection: object, *_: object) -> None:
        found.append(connection)

    event.listen(Pool, "invalidate", note)
    yield found
    event.remove(Pool, "invalidate", note)


async def a_job(services: Resources) -> UUID:
    """Create a job of the world; nobody has anything to do with it any more."""
    creation = await services.jobs.create(a_request(world_id=WORLD), ANONYMOUS)
    await services.dispatcher.drain()
    return creation.state.job.id


async def test_jobs_asked_for_together_take_one_statement(services: Resources, log: SharedLog) -> None:
    jobs = [await a_job(services) for _ in range(20)]
    with recorded_statements() as statements:
        pages = await asyncio.gather(*(log.job(job_id, after=0, most=9) for job_id in jobs))
    assert len(statements) == 1
    assert [(page.state.job.id, len(page.transitions)) for page in pages] == [(job_id, 1) for job_id in jobs]


async def test_however_many_ask_two_connections_serve_them(services: Resources, log: SharedLog) -> None:
    """Falls where the number of batches under way is not bounded."""
    job = await a_job(services)
    lent = most = 0

    def count(change: int) -> None:
        nonlocal lent, most
        lent += change
        most = max(most, lent)

    def lend(*_: object) -> None:
        count(1)

    def take_back(*_: object) -> None:
        count(-1)

    event.listen(Pool, "checkout", lend)
    event.listen(Pool, "checkin", take_back)
    try:
        await asyncio.gather(*(log.job(job, after=0, most=9) for _ in range(500)))
    finally:
        event.remove(Pool, "checkout", lend)
        event.remove(Pool, "checkin", take_back)
    assert most == 2


async def test_a_job_that_does_not_exist_is_told_to_whom_asked_for_it_alone(
    services: Resources, log: SharedLog
) -> None:
    job = await a_job(services)
    found, missing = await asyncio.gather(
        log.job(job, after=0, most=9), log.job(uuid4(), after=0, most=9), return_exceptions=True
    )
    assert not isinstance(found, BaseException)
    assert isinstance(missing, JobNotFound)


async def test_equal_positions_of_a_world_are_read_once(services: Resources, log: SharedLog) -> None:
    async with services.database.connect() as connection:
        position = (await read_present(connection, WORLD)).position
    await a_job(services)
    with recorded_statements() as statements:
        chunks = await asyncio.gather(*(log.world(WORLD, position.copy()) for _ in range(10)))
    assert len(statements) == 1
    assert [len(chunk.updates) for chunk in chunks] == [1] * 10
    assert len({id(chunk.position) for chunk in chunks}) == 10, "each goes on from its own"


async def test_a_position_that_cannot_be_is_told_to_whom_it_belongs_alone(
    services: Resources, log: SharedLog
) -> None:
    async with services.database.connect() as connection:
        position = (await read_present(connection, WORLD)).position
    ahead = Position(Snapshot(2**40 + 5, 2**40 + 5))
    found, refused = await asyncio.gather(
        log.world(WORLD, position), log.world(WORLD, ahead), return_exceptions=True
    )
    assert not isinstance(found, BaseException)
    assert isinstance(refused, InvalidInput)


async def test_streams_that_are_cut_while_they_read_cost_no_connection(
    services: Resources, invalidated: list[object]
) -> None:
    """Falls where a stream reads the log by itself: a statement that is cancelled costs its connection."""
    jobs = [await a_job(services) for _ in range(10)]
    async with services.database.connect() as connection:
        position = (await read_present(connection, WORLD)).position
    log = SharedLog(services.database)

    async def cut(turns: int) -> None:
        reading: list[asyncio.Task[object]] = [
            asyncio.create_task(log.job(job_id, after=0, most=9)) for job_id in jobs
        ]
        reading += [asyncio.create_task(log.world(WORLD, position)) for _ in range(2)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)

    for turns in range(60):
        await cut(turns)
    assert (await log.job(jobs[0], after=0, most=9)).state.job.id == jobs[0]
    assert invalidated == []
