"""Streams of updates: a cursor over the log, with Redis as its accelerator.

A stream subscribes first, reads the log then, and merges: what arrives live and follows on is passed on without
any SQL; whatever else happens (a hole, a full buffer, Redis lost, a doubt) is answered by reading the log. So
nothing is missed, repeated or reordered, however badly Redis behaves.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from services.cursors import job_position, world_cursor, world_position
from services.database import Database, pause
from services.errors import DatabaseUnavailable, InvalidInput
from services.events import job_channel, world_channel
from services.feed import Feed
from services.inbox import Inbox
from services.job_queries import LogPage, latest_seqs
from services.lifecycle import JobStatus
from services.models import AssetType
from services.positions import Position
from services.shared_log import SharedLog
from services.updates import JobUpdate, StreamItem, UpdateKind
from services.world_log import PAGE, Chunk, add, covers, follow
from services.world_tail import Follower, WorldTail

_CHECK: Final = timedelta(seconds=5)
"""How often the log is asked for what no message told of: a publisher may die between commit and publish."""
_CHECK_BLIND: Final = timedelta(seconds=1)
"""The same while Redis is away."""
_UNDER_WAY: Final = timedelta(milliseconds=500)
"""How long a message may take that tells of what the log has already."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class WorldFilter:
    """Which updates of a world to receive; a field that is None does not limit."""

    status: Collection[JobStatus] | None = None
    asset_type: Collection[AssetType] | None = None
    requested_by: str | None = None
    include_progress: bool = True

    def admits(self, update: JobUpdate) -> bool:
        """Whether an update is wanted."""
        return (
            (self.include_progress or update.kind is not UpdateKind.PROGRESS)
            # What was pruned may have had any status.
            and (self.status is None or update.kind is UpdateKind.RESET or update.status in self.status)
            and (self.asset_type is None or update.job.asset_type in self.asset_type)
            and (self.requested_by is None or update.job.requested_by == self.requested_by)
        )


class Streams:
    """The streams of one process. `run` must be kept running."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._feed = feed
        self._log = SharedLog(database)
        self._jobs: set[_JobReader] = set()
        self._tails: dict[str, WorldTail] = {}

    def job_updates(self, job_id: UUID, after: str | None = None) -> AsyncGenerator[StreamItem, None]:
        """Yield a job's updates until its final transition.

        Without `after` the first is a SNAPSHOT; with it, the first is what follows that cursor. Each
        transition comes once, in the order of `seq`, none skipped. Where history behind the cursor was pruned,
        a RESET says so and the stream goes on from the present.

        Raises:
            JobNotFound: no such job.
            InvalidInput: `after` is not a cursor of this job.
            DatabaseUnavailable: the log cannot be read at the beginning. Later the stream waits for it.
        """
        # Its own generator: every one between an update and its subscriber takes memory for each of them.
        return _JobReader(job_id, self._log).items(after, self._feed, self._jobs)

    async def world_updates(
        self, world_id: str, wanted: WorldFilter, after: str | None = None
    ) -> AsyncGenerator[StreamItem, None]:
        """Yield the updates of every job of a world, for ever: from now, or from behind a cursor.

        Each job's transitions come once, in the order of `seq`, none skipped but those that the filter does not
        admit. A cursor stands behind all that came before it and nothing else, whatever commits late. Where
        history behind it was pruned, a RESET takes the place of what is gone.

        Raises:
            InvalidInput: `after` is not a cursor of this world.
            DatabaseUnavailable: the log cannot be read at the beginning. Later the stream waits for it.
        """
        position = None if after is None else world_position(after, world_id)
        async with self._tail(world_id) as (tail, follower):
            async for item in _WorldReader(tail, follower, self._log).items(position):
                if wanted.admits(item.update):
                    yield item

    async def run(self) -> None:
        """Ask the log at an interval whether a message went missing: one statement for all jobs, one a world.

        Raises:
            DatabaseUnavailable: the log cannot be read.
        """
        while True:
            await asyncio.sleep((_CHECK if self._feed.connected else _CHECK_BLIND).total_seconds())
            for tail in self._tails.values():
                tail.poke()
            if not self._jobs:
                continue
            async with self._database.connect() as connection:
                latest = await latest_seqs(connection, {reader.job_id for reader in self._jobs})
            lagging = self._lagging(latest)
            if lagging:
                # Most of it is under way. What is not there after a moment is missing.
                await asyncio.sleep(_UNDER_WAY.total_seconds())
                for reader in lagging & self._lagging(latest):
                    reader.inbox.poke()

    def _lagging(self, latest: Mapping[UUID, int]) -> "set[_JobReader]":
        return {reader for reader in self._jobs if latest.get(reader.job_id, 0) > reader.seen}

    @asynccontextmanager
    async def _tail(self, world_id: str) -> AsyncIterator[tuple[WorldTail, Follower]]:
        """Lend the tail of a world, with a place in what it passes on."""
        tail = self._tails.get(world_id)
        if tail is None:
            tail = self._tails[world_id] = WorldTail(world_id, self._database)
        follower = Follower(tail.end, tail.waiters)
        tail.followers.add(follower)
        try:
            async with self._feed.listen(world_channel(world_id), tail):
                yield tail, follower
        finally:
            tail.followers.discard(follower)
            if not tail.followers:
                del self._tails[world_id]
                await tail.close()


class _JobReader:
    """One subscriber of one job: its position is a `seq`."""

    def __init__(self, job_id: UUID, log: SharedLog) -> None:
        self.job_id = job_id
        self.inbox = Inbox()
        self.seen = 0
        """The latest `seq` that was passed on."""
        self._ended = False
        self._log = log

    async def items(
        self, after: str | None, feed: Feed, readers: "set[_JobReader]"
    ) -> AsyncGenerator[StreamItem, None]:
        """Yield what the job becomes until the end, and be one of the readers meanwhile."""
        position = None if after is None else job_position(after, self.job_id)
        item: StreamItem | None
        readers.add(self)
        try:
            async with feed.listen(job_channel(self.job_id), self.inbox):
                if position is None:
                    yield self._present(UpdateKind.SNAPSHOT, await self._read(most=1))
                else:
                    self.seen = position
                    async for item in self._replayed(await self._read()):
                        yield item
                while not self._ended:
                    item = None  # the last one is not kept, for it may be long until the next
                    item = await self.inbox.next()
                    if item is None or (_is_transition(item.update) and item.update.seq > self.seen + 1):
                        async for item in self._replayed(await _patiently(self._read)):
                            yield item
                    elif _is_transition(item.update) and item.update.seq == self.seen + 1:
                        self._pass(item.update)
                        yield item
                    elif not _is_transition(item.update) and item.update.seq == self.seen:
                        # Progress of a run whose beginning the reader has not seen would come out of order.
                        yield item
        finally:
            readers.discard(self)

    async def _replayed(self, page: LogPage) -> AsyncGenerator[StreamItem, None]:
        """Yield what the log holds behind the position, which begins with a page of it."""
        while True:
            job = page.state.job
            if self.seen > job.seq:
                raise InvalidInput(["after"], "lies ahead of the job")
            if self.seen < job.seq and (not page.transitions or page.transitions[0].seq != self.seen + 1):
                yield self._present(UpdateKind.RESET, page)
                return
            for transition in page.transitions:
                update = JobUpdate.of_transition(transition, job, page.state.asset)
                self._pass(update)
                yield StreamItem(update)
            self._ended = job.status.is_final and self.seen == job.seq
            if len(page.transitions) < PAGE:
                return
            page = await _patiently(self._read)

    def _pass(self, update: JobUpdate) -> None:
        self.seen = update.seq
        self._ended = update.status.is_final

    def _present(self, kind: UpdateKind, page: LogPage) -> StreamItem:
        """Return an item that shows the job as it stands, which is where the reader then is."""
        update = JobUpdate.of_state(kind, page.state.job, datetime.now(UTC), page.state.asset)
        self._pass(update)
        return StreamItem(update)

    async def _read(self, *, most: int = PAGE) -> LogPage:
        return await self._log.job(self.job_id, after=self.seen, most=most)


class _WorldReader:
    """One subscriber of one world: level with its tail, or catching up."""

    def __init__(self, tail: WorldTail, follower: Follower, log: SharedLog) -> None:
        self._tail = tail
        self._follower = follower
        self._log = log
        self._position: Position

    async def items(self, position: Position | None) -> AsyncGenerator[StreamItem, None]:
        """Yield what the world becomes, from now or from behind a position, for ever."""
        if position is None:
            await self._tail.refresh()
            self._follower.link = self._tail.end
            cursor = self._tail.cursor
        else:
            async for missed in self._missed(position, patient=False):
                yield missed
            cursor = self._cursor()
        while True:
            item = await self._follower.next()
            if item is not None:
                cursor = item.cursor
                yield item
                continue
            async for missed in self._missed(world_position(cursor, self._tail.world_id), patient=True):
                yield missed
            cursor = self._cursor()

    async def _missed(self, position: Position, *, patient: bool) -> AsyncGenerator[StreamItem, None]:
        """Yield what a position has not been given; ends level with the tail."""
        insist = _patiently if patient else _once
        self._position = position
        # From here on the tail passes everything on: nothing falls between what is read and what it begins with.
        await insist(self._tail.begin)
        level = False
        while not level:
            self._follower.link = self._tail.end
            complete = False
            while not complete:
                chunk = await insist(self._read)
                for update in chunk.updates:
                    follow(self._position, update, chunk)
                    yield self._given(update)
                self._position, complete = chunk.position, chunk.complete
            await insist(self._tail.refresh)
            # The tail has passed on all that was read, and what is missing still. Behind that the two are level.
            end = self._tail.end.offset
            while self._follower.offset < end:
                item = self._follower.pop()
                if item is None or item.update.kind is UpdateKind.PROGRESS:
                    continue
                if not covers(self._position, item.update):
                    add(self._position, item.update)
                    yield self._given(item.update)
            level = not self._follower.lost

    def _given(self, update: JobUpdate) -> StreamItem:
        return StreamItem(update, cursor=self._cursor())

    def _cursor(self) -> str:
        return world_cursor(self._tail.world_id, self._position)

    async def _read(self) -> Chunk:
        return await self._log.world(self._tail.world_id, self._position)


def _is_transition(update: JobUpdate) -> bool:
    return update.kind is UpdateKind.TRANSITION


async def _once(read: Callable[[], Awaitable[_Result]]) -> _Result:
    return await read()


async def _patiently(read: Callable[[], Awaitable[_Result]]) -> _Result:
    """Read, however long PostgreSQL is away: who has subscribed has nothing better to do than to wait."""
    failures = 0
    while True:
        try:
            return await read()
        except DatabaseUnavailable:
            failures += 1
            await pause(failures)
