"""The way of committed jobs into SQS.

What a process commits it sends at once, lingering milliseconds to fill a batch. What a crash or an outage left
behind, a sweep of the outbox finds; it may send a message twice, which is harmless, because only one delivery can
claim the job.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import orjson
import structlog
from sqlalchemy import text

from services.batching import Batcher
from services.database import Database
from services.errors import QueueUnavailable, Unavailable
from services.messages import MOST_DELAY, Message
from services.models import JobRecord
from services.outbox import mark_sent, unsent
from services.queues import Queues, Urgency

_LINGER: Final = timedelta(milliseconds=3)
_MOST: Final = 100
_MOST_PENDING: Final = 5000
_SWEEP_EVERY: Final = timedelta(seconds=1)
_SWEEP_AGE: Final = timedelta(seconds=5)
"""A job this old was not sent by the process that committed it: that takes milliseconds, or it failed."""
_SWEEP_LOCK: Final = 0x6C6F7265  # "lore"; one sweep at a time among all processes

log = structlog.get_logger(__name__)


def message_of(job: JobRecord) -> Message:
    """Return the message that hands a job over: its id and what routes it, not its inputs."""
    wait = timedelta()
    if job.run_at is not None:
        # SQS counts whole seconds. A worker waits for the rest, so that no job begins up to a second late.
        wait = timedelta(seconds=max(math.floor((job.run_at - datetime.now(UTC)).total_seconds()), 0))
    return Message(
        body=orjson.dumps({"job_id": str(job.id), "type": job.type}).decode(),
        attributes={
            "type": job.type,
            "world_id": job.world_id,
            "asset_type": job.asset_type,
            "priority": str(job.priority),
        },
        wait=wait,
        group=job.world_id,
        deduplication_id=f"{job.id}-{job.send_count}",
    )


def job_of(body: str) -> UUID:
    """Return the job that a message hands over.

    Raises:
        ValueError: the body is not one of ours.
    """
    try:
        return UUID(orjson.loads(body)["job_id"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("the body is not a JSON object with the job_id of a job") from error


class Dispatcher:
    """Sends what was committed. `run` must be kept running: it is the sweep."""

    def __init__(self, database: Database, queues: Queues) -> None:
        self._database = database
        self._queues = queues
        self._most_delay = timedelta() if queues.keeps_order else MOST_DELAY
        self._under_way: set[UUID] = set()
        """Jobs that this process is about to send, which a sweep leaves alone."""
        self._batcher: Batcher[JobRecord, None] = Batcher(self._send_logged, most=_MOST, linger=_LINGER)

    def submit(self, jobs: Iterable[JobRecord]) -> None:
        """Send jobs soon. Call it after the commit; it never waits and never fails."""
        now = datetime.now(UTC)
        for job in jobs:
            # What is not due for longer than SQS can hold it back stays in the outbox for the sweep.
            # So does what comes faster than SQS takes it.
            if self._batcher.pending < _MOST_PENDING and (
                job.run_at is None or job.run_at - now < self._most_delay
            ):
                self._under_way.add(job.id)
                self._batcher.put_nowait(job)

    async def drain(self) -> None:
        """Wait until everything submitted was given to SQS, or failed."""
        await self._batcher.drain()

    async def close(self) -> None:
        """Leave what is not yet sent to the sweep of whoever runs next."""
        await self._batcher.close()

    async def run(self) -> None:
        """Sweep the outbox for ever.

        Raises:
            Unavailable: PostgreSQL or SQS does not answer.
        """
        while True:
            while await self.sweep() == _MOST:
                pass
            await asyncio.sleep(_SWEEP_EVERY.total_seconds())

    async def sweep(self) -> int:
        """Send what was left behind, what is due first in front; returns how many jobs."""
        async with self._database.transaction() as connection:
            # Held for the transaction, so that two sweeps never send the same job.
            if not (await connection.execute(text(f"SELECT pg_try_advisory_xact_lock({_SWEEP_LOCK})"))).scalar():
                return 0
            found = await unsent(connection, older_than=_SWEEP_AGE, horizon=self._most_delay, most=_MOST)
            jobs = [job for job in found if job.id not in self._under_way]
            if jobs:
                log.info("dispatch.swept", jobs=len(jobs))
                await self._send(jobs)
        return len(jobs)

    async def send_again(self, jobs: Sequence[JobRecord]) -> None:
        """Send jobs whose message seems to be gone. A second message does no harm.

        Raises:
            Unavailable: PostgreSQL or SQS does not answer.
        """
        for start in range(0, len(jobs), _MOST):
            await self._send(jobs[start : start + _MOST])

    async def _send_logged(self, jobs: Sequence[JobRecord]) -> Sequence[None]:
        try:
            await self._send(jobs)
        except Unavailable as error:
            log.warning("dispatch.deferred", jobs=len(jobs), error=str(error), cause=repr(error.__cause__))
        finally:
            self._under_way.difference_update(job.id for job in jobs)
        return [None] * len(jobs)

    async def _send(self, jobs: Sequence[JobRecord]) -> None:
        sent = await self._queues.send([(Urgency.of(job.priority), message_of(job)) for job in jobs])
        ids = [job.id for job, done in zip(jobs, sent, strict=True) if done]
        if ids:
            async with self._database.connect() as connection:
                await mark_sent(connection, ids)
        if len(ids) < len(jobs):
            raise QueueUnavailable(f"SQS refused {len(jobs) - len(ids)} of {len(jobs)} messages.")
