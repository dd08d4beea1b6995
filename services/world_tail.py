"""The end of a world's log as one process has it: one sequence for all of its subscribers.

What arrives by Redis and fits is appended at once; whatever does not (a hole, a job not known, a doubt) is
answered by reading the log up to the present, once for all. Every item carries the cursor of all that the tail has
passed on until then, so that subscribers who are level with the tail differ in nothing.

The items form a chain, of which each subscriber holds the link that it has come to: what all have passed is gone,
and what waits for many is kept once.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from math import inf
from typing import Final
from uuid import UUID

import structlog

from services.cursors import world_cursor
from services.database import Database, pause
from services.errors import DatabaseUnavailable, InvalidInput
from services.inbox import BUFFER_BYTES
from services.positions import Position
from services.updates import JobUpdate, StreamItem, UpdateKind
from services.world_log import PAGE, Chunk, add, covers, follow, read_present, read_world

_MOST_RANGES: Final = 32
"""Ranges of entries beyond the snapshot that a cursor may hold before the log is read to make it short again."""
_MOST_RANGES_EVER: Final = 1000
"""With so many, nothing more is passed on until the log is read: cursors stay below their bound."""
_BREATH: Final = timedelta(milliseconds=250)
"""The least time between two readings for the sake of short cursors."""
_MOST_KNOWN: Final = 50_000
"""Live jobs of a world whose progress is passed on."""
_MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes that may be kept for the sake of all subscribers that lag, where for each it is `BUFFER_BYTES`."""
_INSPECTED_EVERY: Final = BUFFER_BYTES // 8

log = structlog.get_logger(__name__)


class Link:
    """An item in the chain, and where it lies in it."""

    __slots__ = ("item", "next", "offset", "superseded")

    def __init__(self, item: StreamItem | None, offset: int) -> None:
        self.item = item
        self.offset = offset
        """Bytes of all items up to this one."""
        self.superseded = False
        """Whether it is progress that later progress has made worthless."""
        self.next: Link | None = None


class Follower:
    """A subscriber's place in the chain."""

    __slots__ = ("_waiters", "link", "waiting")

    def __init__(self, link: Link, waiters: set[asyncio.Future[None]]) -> None:
        self.link: Link | None = link
        """The link that it has come to; None where it lagged too far, and has to read the log."""
        self.waiting = False
        """Whether it has come to the end."""
        self._waiters = waiters

    @property
    def lost(self) -> bool:
        """Whether it has to read the log."""
        return self.link is None

    @property
    def offset(self) -> float:
        """Bytes of all items up to where it is; infinite where it is lost."""
        return inf if self.link is None else self.link.offset

    async def next(self) -> StreamItem | None:
        """Wait for the next item; None tells to read the log."""
        while True:
            item = self.pop()
            if item is not None or self.lost:
                return item
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            self.waiting = True
            try:
                await waiter
            finally:
                self.waiting = False
                self._waiters.discard(waiter)

    def pop(self) -> StreamItem | None:
        """Return the next item that is there."""
        link = self.link
        while link is not None and link.next is not None:
            self.link = link = link.next
            if not link.superseded:
                return link.item
        return None


class WorldTail:
    """The tail of one world, while somebody subscribes to it."""

    def __init__(self, world_id: str, database: Database) -> None:
        self.world_id = world_id
        self.followers: set[Follower] = set()
        self.end = Link(None, 0)
        """The last link of the chain."""
        self.waiters: set[asyncio.Future[None]] = set()
        """Followers that wait for the next one."""
        self.cursor = ""
        """The cursor behind all that was passed on."""
        self._database = database
        self._position: Position | None = None
        self._seqs: dict[UUID, int] = {}
        """How far live jobs have come. What is not known here is not passed on but read."""
        self._progress: dict[UUID, Link] = {}
        """The latest progress of each live job."""
        self._inspected = 0
        self._stale = False
        self._refreshing: list[asyncio.Future[None]] = []
        self._reading: asyncio.Task[None] | None = None
        self._read_at = 0.0
        self._meanwhile: list[JobUpdate] = []
        """What arrived while the log was being read: the snapshot that comes back need not cover it."""

    def push(self, item: StreamItem) -> None:
        """Take an update from the feed."""
        update = item.update
        if self._position is None:
            self._stale = True
        elif update.kind is UpdateKind.PROGRESS:
            # Progress of a run whose beginning was not passed on would come out of order.
            if self._seqs.get(update.job.id) == update.seq:
                self._append(StreamItem(update, item.size, self.cursor))
        elif update.xid is None or self._position.pieces >= _MOST_RANGES_EVER:
            self.poke()
        elif not covers(self._position, update):
            if update.seq == 1 or self._seqs.get(update.job.id) == update.seq - 1:
                self._take(update, item.size)
                if self._reading is not None:
                    self._meanwhile.append(update)
            else:
                self.poke()

    def poke(self) -> None:
        """Learn that updates may be missing: the log is read soon."""
        self._stale = True
        if self._reading is None:
            self._reading = asyncio.create_task(self._keep_up(), name=f"tail of world {self.world_id}")

    async def begin(self) -> None:
        """Return when the tail stands somewhere, and passes on whatever commits after that.

        Raises:
            DatabaseUnavailable: the log cannot be read.
        """
        if self._position is None:
            await self.refresh()

    async def refresh(self) -> None:
        """Return when all that had committed before the call was passed on.

        Raises:
            DatabaseUnavailable: the log cannot be read.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._refreshing.append(waiter)
        self.poke()
        await waiter

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    async def _keep_up(self) -> None:
        """Read the log until nobody doubts that all was passed on."""
        failures = 0
        try:
            while self._stale:
                self._stale = False
                waiters, self._refreshing = self._refreshing, []
                try:
                    await self._read()
                except Exception as error:
                    if not isinstance(error, DatabaseUnavailable):
                        log.exception("tail.failed", world=self.world_id)
                    self._meanwhile.clear()
                    if isinstance(error, InvalidInput):
                        self._begin_anew()
                    self._stale = True
                    for waiter in waiters:
                        if not waiter.done():
                            waiter.set_exception(error)
                    failures += 1
                    await pause(failures)
                else:
                    failures = 0
                    _answer(waiters)
        finally:
            self._reading = None

    async def _read(self) -> None:
        """Pass on what the log has beyond the position; begin at the present where there is none."""
        async with self._database.connect() as connection:
            if self._position is None:
                present = await read_present(connection, self.world_id)
                self._seqs = present.seqs
                self._stand(present.position)
                return
            complete = False
            while not complete:
                self._meanwhile.clear()
                chunk = await read_world(connection, self.world_id, self._position.copy(), most=PAGE)
                for update in chunk.updates:
                    if not covers(self._position, update):
                        self._take(update, len(update.model_dump_json()), chunk)
                for update in self._meanwhile:
                    if not covers(chunk.position, update):
                        add(chunk.position, update)
                self._stand(chunk.position)
                complete = chunk.complete

    def _begin_anew(self) -> None:
        """Send everybody to the log: the database went back in time, to before what was passed on."""
        self._position = None
        self._seqs.clear()
        for follower in self.followers:
            follower.link = None
        self._wake()

    def _stand(self, position: Position) -> None:
        self._position = position
        self.cursor = world_cursor(self.world_id, position)
        self._read_at = asyncio.get_running_loop().time()

    def _take(self, update: JobUpdate, size: int, chunk: Chunk | None = None) -> None:
        """Pass a transition on, the next of its job, and perhaps of a chunk of the log."""
        assert self._position is not None  # noqa: S101 - before there is one, nothing is taken
        if chunk is None:
            add(self._position, update)
        else:
            follow(self._position, update, chunk)
        self._seqs.pop(update.job.id, None)
        if not update.status.is_final:
            self._seqs[update.job.id] = update.seq
            if len(self._seqs) > _MOST_KNOWN:
                del self._seqs[next(iter(self._seqs))]
        self.cursor = world_cursor(self.world_id, self._position)
        self._append(StreamItem(update, size, self.cursor))
        if self._position.pieces > _MOST_RANGES and self._rested():
            self.poke()

    def _rested(self) -> bool:
        return asyncio.get_running_loop().time() - self._read_at > _BREATH.total_seconds()

    def _append(self, item: StreamItem) -> None:
        link = Link(item, self.end.offset + max(item.size, 1))
        job_id = item.update.job.id
        before = self._progress.pop(job_id, None)
        if item.update.kind is UpdateKind.PROGRESS:
            if before is not None:
                before.superseded = True
            self._progress[job_id] = link
        self.end.next = link
        self.end = link
        if link.offset - self._inspected > _INSPECTED_EVERY:
            self._inspect()
        self._wake()

    def _wake(self) -> None:
        _answer(self.waiters)

    def _inspect(self) -> None:
        """Let go of followers for whose sake too much is kept: for many who lag as far, more may be."""
        self._inspected = self.end.offset
        lags = [(self.end.offset - follower.offset, follower) for follower in self.followers]
        lagging = sorted(lags, key=lambda pair: pair[0], reverse=True)
        for number, (lag, _) in reversed(tuple(enumerate(lagging, 1))):
            if lag > min(number * BUFFER_BYTES, _MOST_KEPT):
                for _, follower in lagging[:number]:
                    follower.link = None
                return


def _answer(waiters: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
