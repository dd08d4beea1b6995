"""The sending half of the fast path: whole updates published over Redis.

It is never trusted to be complete. What gets lost here, a stream reads from the log.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from services.errors import EventsUnavailable
from services.lifecycle import JobStatus
from services.updates import JobUpdate

_MOST_WAITING: Final = 10_000
"""Updates that wait for Redis at the most; beyond, the oldest are dropped and streams read the log."""
_PIPELINE: Final = 500

CANCELLED_CHANNEL: Final = "lorekeeper:cancelled"
"""Where workers hear that a job which they may be running was cancelled."""

_DROPPED: Final = Counter("lorekeeper_events_dropped", "Updates that did not reach Redis")

log = structlog.get_logger(__name__)


def job_channel(job_id: UUID) -> str:
    """Name the channel of one job."""
    return f"lorekeeper:job:{job_id}"


def world_channel(world_id: str) -> str:
    """Name the channel of one world."""
    return f"lorekeeper:world:{world_id}"


def open_redis(url: str, *, timeout: timedelta) -> Redis:
    """Open a client that never retries or reconnects behind the caller's back: a gap must be noticed."""
    seconds = timeout.total_seconds()
    return Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # one form of pub/sub messages, whatever the server
        # A feature of one vendor's cloud. Its handshake swallows cancellations and breaks on a cut connection.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


async def ping(redis: Redis) -> None:
    """Return when Redis answers.

    Raises:
        EventsUnavailable: it does not.
    """
    try:
        await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        raise EventsUnavailable("Redis does not answer.") from error


class Publisher:
    """Publishes updates in the order in which they were given, in pipelines.

    `run` must be kept running; until it does, and while Redis is away, updates wait or are dropped.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: deque[JobUpdate] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def publish(self, updates: Iterable[JobUpdate]) -> None:
        """Publish soon. Call it after the commit; it never waits and never fails."""
        for update in updates:
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                _DROPPED.inc()
            self._waiting.append(update)
        if self._waiting:
            self._emptied.clear()
            self._filled.set()

    async def drain(self) -> None:
        """Wait until all was handed to Redis."""
        await self._emptied.wait()

    async def run(self) -> None:
        """Hand updates to Redis for ever.

        Raises:
            EventsUnavailable: Redis does not answer; what was under way is dropped, for the log has it.
        """
        while True:
            if not self._waiting:
                self._filled.clear()
                self._emptied.set()
                await self._filled.wait()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _PIPELINE))]
            try:
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for update in batch:
                        payload = update.model_dump_json()
                        pipeline.publish(job_channel(update.job.id), payload)
                        pipeline.publish(world_channel(update.job.world_id), payload)
                        if update.status is JobStatus.CANCELLED:
                            pipeline.publish(CANCELLED_CHANNEL, payload)
                    await pipeline.execute()
            except (RedisError, OSError, TimeoutError) as error:
                _DROPPED.inc(len(batch))
                raise EventsUnavailable("Redis does not take updates.") from error
