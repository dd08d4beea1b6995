"""The leases that this worker holds: who runs what, kept alive by heartbeats, given up together."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

import structlog

from services.database import Database
from services.errors import Unavailable
from services.job_store import Lease, extend
from services.models import JobRecord
from services.sqs import Queue
from services.updates import JobUpdate
from worker.progress import RunProgress

log = structlog.get_logger(__name__)


class StopReason(StrEnum):
    """Why a run is stopped from outside."""

    LOST = "LOST"  # the job is cancelled, or another run's by now
    RELEASED = "RELEASED"  # this worker shuts down


@dataclass(eq=False, slots=True)
class HeldLease:
    """One job that this worker runs, until it is settled."""

    job: JobRecord
    receipt_handle: str
    progress: RunProgress
    task: asyncio.Task[None] | None = None
    stop_reason: StopReason | None = None

    def stop(self, reason: StopReason) -> None:
        """Cancel the run, unless that was done before."""
        if self.stop_reason is None and self.task is not None:
            self.stop_reason = reason
            self.task.cancel()


class Leases:
    """The leases of one worker. `beat` must be called at the heartbeat's interval."""

    def __init__(self, database: Database, queue: Queue, *, lease: timedelta, heartbeat: timedelta) -> None:
        self._database = database
        self._queue = queue
        self._lease = lease
        self._heartbeat = heartbeat
        self._held: dict[UUID, HeldLease] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldLease]:
        return iter(tuple(self._held.values()))

    def add(self, held: HeldLease) -> None:
        """Keep a lease alive from now on."""
        self._held[held.job.id] = held

    def remove(self, held: HeldLease) -> None:
        """Let a lease go: its job is settled, or lost."""
        if self._held.get(held.job.id) is held:
            del self._held[held.job.id]

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await asyncio.sleep(self._heartbeat.total_seconds())
            try:
                await self.beat()
            except Unavailable as error:
                # The next beat is in time: a lease outlives one lost heartbeat.
                log.warning("heartbeat.missed", error=str(error), leases=len(self))

    async def beat(self) -> None:
        """Extend every lease and its message's visibility together; stop the runs whose lease is lost.

        Raises:
            Unavailable: PostgreSQL or SQS does not answer.
        """
        held = tuple(self)
        if not held:
            return
        wanted = [
            Lease(lease.job.id, lease.job.fencing_token, lease.progress.fraction, lease.progress.message)
            for lease in held
        ]
        async with self._database.connect() as connection:
            ours = await extend(connection, wanted, self._lease)
        for lease in held:
            if lease.job.id not in ours and self._held.get(lease.job.id) is lease:
                log.warning("lease.lost", job_id=str(lease.job.id))
                lease.stop(StopReason.LOST)
        await self._queue.change_visibility(
            [(lease.receipt_handle, self._lease) for lease in held if lease.job.id in ours]
        )

    def push(self, update: JobUpdate, size: int) -> None:  # noqa: ARG002 - a listener of the feed
        """Hear that a running job was cancelled."""
        held = self._held.get(update.job_id)
        if held is not None and update.seq > held.job.seq:
            held.stop(StopReason.LOST)

    def poke(self) -> None:
        """Hear that a cancellation may have been missed: the next heartbeat notices it."""
