"""Maintenance: what no delivery will bring back by itself. Any worker does it, one at a time.

A message may be gone although its job still waits: the queue was purged, the message expired after 14 days or went
to the dead letters, the SQS server lost its state. SQS cannot be asked for one message, only how many it holds, so
that is compared with how many it should hold. Where some are missing twice in a row, jobs that were sent and due
for long are sent again, longest first. Messages that nobody needs any more can hide those that are missing from
the count, so a job that was due for very long is sent again whatever the count. Either may send a job which still
has its message: harmless, because only one delivery can claim it, and the other is deleted.

Content of deleted assets that storage did not let go of is removed here too.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import text

from services.job_store import advance, expired, lost
from services.models import JobRecord
from services.outbox import expected_messages, overdue
from services.resources import Resources
from services.retention import prune
from services.updates import JobUpdate
from services.webhooks import prune_deliveries

LOCK: Final = 0x75706B65  # "upke"; the advisory lock that lets one worker at a time do it
_MOST: Final = 1000
_ANYWAY: Final = 40
"""Intervals after which an overdue job is sent again whatever SQS reports: by default ten minutes, doubling with
every time that it was sent, so that a backlog which is merely long is not drowned in duplicates."""
_MOST_BATCHES: Final = 20
_MOST_CONTENT: Final = 100
_CONTENT_WAIT: Final = timedelta(seconds=5)
"""How long a storage that hangs may hold up the next round."""

log = structlog.get_logger(__name__)


class Maintenance:
    """One worker's share. `run` must be kept running."""

    def __init__(self, resources: Resources) -> None:
        settings = resources.settings
        self._database = resources.database
        self._queues = resources.queues
        self._dispatcher = resources.dispatcher
        self._publisher = resources.publisher
        self._webhook_bell = resources.webhook_bell
        self._assets = resources.assets
        self._interval = timedelta(seconds=settings.maintenance_s)
        self._grace = settings.lease * 0.1
        self._retention = timedelta(days=settings.history_days)
        self._missing_before = False

    async def run(self) -> None:
        """Do a round at each interval, for ever.

        Raises:
            Unavailable: PostgreSQL or SQS does not answer.
        """
        while True:
            await asyncio.sleep(self._interval.total_seconds())
            await self.round()

    async def round(self) -> None:
        """Do what there is to do, unless another worker is at it.

        Raises:
            Unavailable: PostgreSQL or SQS does not answer.
        """
        async with self._database.transaction() as guard:
            # Held for the transaction, whose connection does nothing else.
            if not (await guard.execute(text(f"SELECT pg_try_advisory_xact_lock({LOCK})"))).scalar():
                return
            await self._prune()
            await self._send_what_is_gone([*await self._end_lost_runs(), *await self._overdue(self._interval)])
            await self._dispatcher.send_again(await self._overdue(self._interval * _ANYWAY, doubling=True))
            await self._remove_content()

    async def _end_lost_runs(self) -> list[JobRecord]:
        """End runs whose last lease ran out; returns those that may run again but have not."""
        async with self._database.connect() as connection:
            jobs = await expired(connection, grace=self._grace, most=_MOST)
            ended = await advance(connection, [lost(job.id) for job in jobs])
        if ended:
            log.info("maintenance.ended", jobs=len(ended))
        self._publisher.publish(map(JobUpdate.of_move, ended.values()))
        self._webhook_bell.ring(ended.values())
        return [job for job in jobs if job.id not in ended]

    async def _overdue(self, patience: timedelta, *, doubling: bool = False) -> list[JobRecord]:
        async with self._database.connect() as connection:
            return await overdue(connection, patience=patience, doubling=doubling, most=_MOST)

    async def _send_what_is_gone(self, suspects: Sequence[JobRecord]) -> None:
        missing = 0
        if suspects:
            async with self._database.connect() as connection:
                expected = await expected_messages(connection)
            missing = expected - await self._queues.messages()
        if missing > 0 and self._missing_before:
            log.warning("maintenance.sent_again", jobs=len(suspects), missing=missing)
            await self._dispatcher.send_again(suspects)
        # What SQS reports is approximate for about a minute: one look proves nothing.
        self._missing_before = missing > 0

    async def _prune(self) -> None:
        for _ in range(_MOST_BATCHES if self._retention else 0):
            async with self._database.connect() as connection:
                history = await prune(connection, older_than=self._retention, most=_MOST)
                deliveries = await prune_deliveries(connection, older_than=self._retention, most=_MOST)
            if max(history, deliveries) < _MOST:
                return

    async def _remove_content(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONTENT_WAIT.total_seconds()):
                if removed := await self._assets.sweep(most=_MOST_CONTENT):
                    log.info("maintenance.content_removed", assets=removed)
