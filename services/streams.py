"""Streams of updates: a cursor over the log, with Redis as its accelerator.

A stream subscribes first, reads the log then, and merges by `seq`: what arrives live and follows on is passed
on without any SQL; whatever else happens (a hole, a full buffer, Redis lost, a doubt) is answered by reading
the log. So nothing is missed, repeated or reordered, however badly Redis behaves.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from services.cursors import job_position
from services.database import Database
from services.errors import InvalidInput
from services.events import job_channel
from services.feed import Feed
from services.job_queries import LogPage, latest_seqs, read_log
from services.updates import JobUpdate, UpdateKind

_BUFFER_BYTES: Final = 256 * 1024
"""Bytes of updates that wait for a slow reader; beyond, they are dropped and read from the log."""
_LOG_PAGE: Final = 100
_CHECK: Final = timedelta(seconds=5)
"""How often the log is asked for what no message told of: a publisher may die between commit and publish."""
_CHECK_BLIND: Final = timedelta(seconds=1)
"""The same while Redis is away."""


class Inbox:
    """What waits for one reader: bounded, with progress conflated."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        self.seen = 0
        """The latest `seq` that the reader has passed on."""
        self.ended = False
        """Whether that was the final transition."""
        self._updates: deque[tuple[JobUpdate, int]] = deque()
        self._bytes = 0
        self._behind = False
        self._wake = asyncio.Event()

    def push(self, update: JobUpdate, size: int) -> None:
        """Take an update from the feed."""
        if self._behind:
            return
        if self._updates and update.kind is self._updates[-1][0].kind is UpdateKind.PROGRESS:
            self._bytes -= self._updates.pop()[1]
        if self._bytes + size > _BUFFER_BYTES:
            self.poke()
            return
        self._updates.append((update, size))
        self._bytes += size
        self._wake.set()

    def poke(self) -> None:
        """Learn that updates may be missing: the reader goes to the log, which has all that waits here."""
        self._behind = True
        self._updates.clear()
        self._bytes = 0
        self._wake.set()

    async def next(self) -> JobUpdate | None:
        """Wait for an update; None tells to read the log."""
        while not self._updates and not self._behind:
            self._wake.clear()
            await self._wake.wait()
        if self._behind:
            self._behind = False
            return None
        update, size = self._updates.popleft()
        self._bytes -= size
        return update


class Streams:
    """The streams of one process. `run` must be kept running."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._feed = feed
        self._inboxes: set[Inbox] = set()

    async def job_updates(self, job_id: UUID, after: str | None = None) -> AsyncGenerator[JobUpdate, None]:
        """Yield a job's updates until its final transition.

        Without `after` the first is a SNAPSHOT; with it, the first is what follows that cursor. Each
        transition comes once, in the order of `seq`, none skipped. Where history behind the cursor was pruned,
        a RESET says so and the stream goes on from the present.

        Raises:
            JobNotFound: no such job.
            InvalidInput: `after` is not a cursor of this job.
            DatabaseUnavailable: the log cannot be read.
        """
        position = None if after is None else job_position(after, job_id)
        inbox = Inbox(job_id)
        self._inboxes.add(inbox)
        try:
            async with self._feed.listen(job_channel(job_id), inbox):
                async for update in self._merged(inbox, position):
                    yield update
        finally:
            self._inboxes.discard(inbox)

    async def run(self) -> None:
        """Ask the log at an interval, in one statement for all streams, whether a message went missing.

        Raises:
            DatabaseUnavailable: the log cannot be read.
        """
        while True:
            await asyncio.sleep((_CHECK if self._feed.connected else _CHECK_BLIND).total_seconds())
            inboxes = tuple(self._inboxes)
            if not inboxes:
                continue
            async with self._database.connect() as connection:
                latest = await latest_seqs(connection, {inbox.job_id for inbox in inboxes})
            for inbox in inboxes:
                if latest.get(inbox.job_id, 0) > inbox.seen:
                    inbox.poke()

    async def _merged(self, inbox: Inbox, position: int | None) -> AsyncGenerator[JobUpdate, None]:
        if position is None:
            page = await self._read(inbox.job_id, after=0, limit=1)
            yield _present(UpdateKind.SNAPSHOT, page, inbox)
        else:
            inbox.seen = position
            inbox.poke()
        while not inbox.ended:
            live = await inbox.next()
            if live is None or (live.kind is UpdateKind.TRANSITION and live.seq > inbox.seen + 1):
                async for update in self._replayed(inbox):
                    yield update
            elif live.kind is UpdateKind.TRANSITION and live.seq == inbox.seen + 1:
                inbox.seen = live.seq
                inbox.ended = live.status.is_final
                yield live
            elif live.kind is UpdateKind.PROGRESS and live.seq == inbox.seen:
                # Progress of a run whose beginning the reader has not seen would come out of order.
                yield live

    async def _replayed(self, inbox: Inbox) -> AsyncGenerator[JobUpdate, None]:
        """Yield what the log holds behind the inbox's position."""
        while True:
            page = await self._read(inbox.job_id, after=inbox.seen, limit=_LOG_PAGE)
            job = page.state.job
            if inbox.seen > job.seq:
                raise InvalidInput(["after"], "lies ahead of the job")
            if inbox.seen < job.seq and (not page.transitions or page.transitions[0].seq != inbox.seen + 1):
                yield _present(UpdateKind.RESET, page, inbox)
                return
            for transition in page.transitions:
                inbox.seen = transition.seq
                yield JobUpdate.of_transition(transition, job, page.state.asset)
            inbox.ended = job.status.is_final and inbox.seen == job.seq
            if len(page.transitions) < _LOG_PAGE:
                return

    async def _read(self, job_id: UUID, *, after: int, limit: int) -> LogPage:
        async with self._database.connect() as connection:
            return await read_log(connection, job_id, after=after, limit=limit)


def _present(kind: UpdateKind, page: LogPage, inbox: Inbox) -> JobUpdate:
    """Return an update that shows the job as it stands, and move the inbox there."""
    job = page.state.job
    inbox.seen, inbox.ended = job.seq, job.status.is_final
    return JobUpdate.of_state(kind, job, datetime.now(UTC), page.state.asset)
