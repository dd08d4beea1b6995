"""The leases that this worker holds: who runs what, kept alive by heartbeats, given up together."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

import structlog

from services.database import Database
from services.errors import Unavailable
from services.job_store import extend
from services.messages import Delivery
from services.models import JobRecord
from services.moves import Lease
from services.queues import Queues
from services.updates import StreamItem
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
    delivery: Delivery
    progress: RunProgress
    task: asyncio.Task[None] | None = None
    stop_reason: StopReason | None = None
    started: bool = False
    """Whether the task has taken its first step; before that a cancellation would leave no trace of it."""
    settling: bool = False
    """Whether the run has ended and its result is on its way to the store, which will judge it."""

    def stop(self, reason: StopReason) -> None:
        """Cancel the run, unless it has ended or that was done before."""
        if self.stop_reason is None and not self.settling:
            self.stop_reason = reason
            if self.started and self.task is not None:
                self.task.cancel()


class Leases:
    """The leases of one worker. `run` must be kept running."""

    def __init__(self, database: Database, queues: Queues, *, lease: timedelta, heartbeat: timedelta) -> None:
        self._database = database
        self._queues = queues
        self._lease = lease
        self._heartbeat = heartbeat
        self._held: dict[UUID, HeldLease] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldLease]:
        return iter(tuple(self._held.values()))

    def add(self, held: HeldLease) -> None:
        """Keep a lease alive from now on. One that this worker held of the same job before is lost."""
        before = self._held.get(held.job.id)
        if before is not None:
            before.stop(StopReason.LOST)
        self._held[held.job.id] = held

    def remove(self, held: HeldLease) -> None:
        """Let a lease go: its job is settled, or lost."""
        if self._held.get(held.job.id) is held:
            del self._held[held.job.id]

    async def run(self) -> None:
        """Beat for ever, on a fixed schedule."""
        extending: asyncio.Task[None] | None = None
        every_s = self._heartbeat.total_seconds()
        loop = asyncio.get_running_loop()
        due = loop.time() + every_s
        try:
            while True:
                await asyncio.sleep(max(due - loop.time(), 0))
                due = max(due, loop.time() - every_s) + every_s
                try:
                    # A beat that takes longer than its interval is given up: the next one is in time, for a lease
                    # outlives one lost heartbeat.
                    async with asyncio.timeout(every_s):
                        ours = await self.beat()
                except (Unavailable, TimeoutError) as error:
                    log.warning("heartbeat.missed", error=str(error), leases=len(self))
                    continue
                # On its own: an SQS that does not answer must not keep the rows from being extended.
                if extending is None or extending.done():
                    extending = asyncio.create_task(self._extend_visibility(ours))
        finally:
            if extending is not None:
                extending.cancel()

    async def beat(self) -> list[HeldLease]:
        """Extend every lease, stop the runs whose lease is lost, and return those that are still ours.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        held = tuple(self)
        if not held:
            return []
        wanted = [
            Lease(lease.job.id, lease.job.fencing_token, lease.progress.fraction, lease.progress.message)
            for lease in held
        ]
        async with self._database.connect() as connection:
            ours = await extend(connection, wanted, self._lease)
        for lease in held:
            if lease.job.id not in ours and self._held.get(lease.job.id) is lease and not lease.settling:
                log.warning("lease.lost", job_id=str(lease.job.id))
                lease.stop(StopReason.LOST)
        return [lease for lease in held if lease.job.id in ours]

    async def _extend_visibility(self, held: Sequence[HeldLease]) -> None:
        """Hide the messages of leases for as long as the leases last."""
        if not held:
            return
        try:
            # The row first, the message second: so a message never comes back before its lease has run out.
            async with asyncio.timeout(self._lease.total_seconds() / 2):
                await self._queues.change_visibility([(lease.delivery, self._lease) for lease in held])
        except (Unavailable, TimeoutError) as error:
            log.warning("heartbeat.visibility_missed", error=str(error), leases=len(held))

    def push(self, item: StreamItem) -> None:
        """Hear that a running job was cancelled."""
        held = self._held.get(item.update.job_id)
        if held is not None and item.update.seq > held.job.seq:
            held.stop(StopReason.LOST)

    def poke(self) -> None:
        """Hear that a cancellation may have been missed: the next heartbeat notices it."""
