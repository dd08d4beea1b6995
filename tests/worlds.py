"""A world whose jobs a test drives, and readers of its stream."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from uuid import UUID

from services.cursors import world_cursor
from services.job_store import advance, create
from services.lifecycle import Event
from services.moves import Move, Moved
from services.positions import Position, Snapshot
from services.resources import Resources
from services.streams import WorldFilter
from services.updates import JobUpdate, StreamItem, UpdateKind
from services.world_log import read_present
from tests.conftest import until
from tests.factories import a_new_job, an_asset

WORLD = "eldoria"
LEASE = timedelta(seconds=30)
ALL = WorldFilter()
Entry = tuple[UUID, int]


class World:
    """Jobs whose lives the test drives, publishing or not."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.log: list[JobUpdate] = []
        self._latest: dict[UUID, Moved] = {}

    async def create(self, *, publish: bool = True, **changes: object) -> UUID:
        async with self.resources.database.connect() as connection:
            (moved,) = await create(connection, [a_new_job(world_id=WORLD, **changes)])
        return self._made(moved, publish=publish)

    async def take(self, job_id: UUID, event: Event, *, publish: bool = True) -> None:
        async with self.resources.database.connect() as connection:
            moved = (await advance(connection, [self.move(job_id, event)]))[job_id]
        self._made(moved, publish=publish)

    async def live(self, job_id: UUID, *, rounds: int = 1, publish: bool = True) -> None:
        """Claim and release so many times, then claim and succeed."""
        for event in (Event.CLAIM, Event.RELEASE) * rounds + (Event.CLAIM, Event.SUCCEED):
            await self.take(job_id, event, publish=publish)

    def move(self, job_id: UUID, event: Event) -> Move:
        job = self._latest[job_id].job
        asset = an_asset(job) if event is Event.SUCCEED else None
        return Move(job_id, event, held_token=job.fencing_token, lease=LEASE, asset=asset)

    def _made(self, moved: Moved, *, publish: bool) -> UUID:
        self._latest[moved.job.id] = moved
        update = JobUpdate.of_move(moved)
        self.log.append(update)
        if publish:
            self.resources.publisher.publish([update])
        return moved.job.id


@asynccontextmanager
async def watching(
    resources: Resources, after: str | None = None, wanted: WorldFilter = ALL
) -> AsyncIterator[AsyncGenerator[StreamItem, None]]:
    async with aclosing(resources.streams.world_updates(WORLD, wanted, after)) as stream:
        yield stream


@asynccontextmanager
async def begun(
    resources: Resources, after: str | None = None, wanted: WorldFilter = ALL, *, readers: int = 1
) -> AsyncIterator[AsyncGenerator[StreamItem, None]]:
    """Subscribe and read all the time; inside the block the stream has caught up and gets what comes live."""
    arrived: asyncio.Queue[StreamItem] = asyncio.Queue()

    async def read() -> None:
        async with watching(resources, after, wanted) as stream:
            async for item in stream:
                arrived.put_nowait(item)

    async def items() -> AsyncGenerator[StreamItem, None]:
        while True:
            yield await arrived.get()

    reading = asyncio.create_task(read())
    try:
        await level(resources, readers)
        yield items()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def present(resources: Resources) -> str:
    """Return the cursor of this moment."""
    return world_cursor(WORLD, Position(await snapshot(resources)))


async def snapshot(resources: Resources) -> Snapshot:
    """Return this moment."""
    async with resources.database.connect() as connection:
        return (await read_present(connection, WORLD)).position.snapshot


async def level(resources: Resources, readers: int = 1) -> None:
    """Wait until readers have caught up and wait for what comes live."""

    def waiting() -> bool:
        tail = resources.streams._tails.get(WORLD)  # noqa: SLF001 - nothing outside tells
        return tail is not None and [follower.waiting for follower in tail.followers] == [True] * readers

    await until(waiting)


async def take(stream: AsyncGenerator[StreamItem, None], number: int, *, within_s: float = 15) -> list[StreamItem]:
    async with asyncio.timeout(within_s):
        return [await anext(stream) for _ in range(number)]


def entries(items: list[StreamItem]) -> list[Entry]:
    return [(item.update.job.id, item.update.seq) for item in items if item.update.kind is UpdateKind.TRANSITION]


def in_order(found: list[Entry], begin: dict[UUID, int] | None = None) -> dict[UUID, int]:
    """Check that each job's seqs follow each other; returns the latest."""
    latest = defaultdict(int, begin or {})
    for job_id, seq in found:
        assert seq == latest[job_id] + 1, f"{job_id}: {seq} after {latest[job_id]}"
        latest[job_id] = seq
    return latest
