"""The fast path of streams: whole updates over Redis pub/sub.

It is never trusted to be complete. What gets lost here, a stream reads from the log.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.errors import EventsUnavailable
from services.lifecycle import JobStatus
from services.updates import JobUpdate

_MOST_WAITING: Final = 10_000
"""Updates that wait for Redis at the most; beyond, the oldest are dropped and streams read the log."""
_PIPELINE: Final = 500
_SILENCE: Final = timedelta(seconds=5)
"""A subscription that hears nothing for so long asks Redis whether it is still there."""
_ACKNOWLEDGE: Final = timedelta(seconds=2)
_PRESENCE: Final = "lorekeeper:presence"
"""A channel that nobody publishes on: it keeps the connection in subscribed mode."""

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
    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0))


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


class Listener(Protocol):
    """Whoever listens to a channel."""

    def push(self, update: JobUpdate, size: int) -> None:
        """Take an update; `size` is that of its message in bytes. Must not wait."""

    def poke(self) -> None:
        """Learn that updates may have been missed."""


class Feed:
    """The one Redis subscription of a process, shared by its listeners through counted channels.

    `run` must be kept running. Whenever it could have missed something (it reconnected), it pokes everybody.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: dict[str, set[Listener]] = {}
        self._acknowledged: dict[str, asyncio.Future[None]] = {}
        self._pubsub: Any = None
        self._changing = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether updates are coming in now."""
        return self._pubsub is not None

    @property
    def channels(self) -> int:
        """Channels that somebody listens to."""
        return len(self._listeners)

    @asynccontextmanager
    async def listen(self, channel: str, listener: Listener) -> AsyncIterator[None]:
        """Deliver a channel to a listener inside the block.

        The block begins when Redis has acknowledged the subscription, so that whatever commits later arrives;
        or at once where Redis is away: then a poke follows when it is back.
        """
        listeners = self._listeners.setdefault(channel, set())
        listeners.add(listener)
        try:
            await self._subscribe(channel)
            yield
        finally:
            listeners.discard(listener)
            if not listeners and self._listeners.get(channel) is listeners:
                del self._listeners[channel]
                acknowledged = self._acknowledged.pop(channel, None)
                if acknowledged is not None:
                    acknowledged.cancel()
                await self._command("unsubscribe", channel)

    async def run(self) -> None:
        """Receive for ever.

        Raises:
            EventsUnavailable: Redis is away. Everybody was poked.
        """
        pubsub = self._redis.pubsub()
        try:
            async with self._changing:
                await pubsub.subscribe(_PRESENCE, *self._listeners)
                self._pubsub = pubsub
            # Not yet acknowledged, but sent before whatever a reader of the log asks next.
            self._poke_all()
            await self._receive(pubsub)
        except (RedisError, OSError, TimeoutError) as error:
            raise EventsUnavailable("Redis delivers no updates.") from error
        finally:
            self._pubsub = None
            for acknowledged in self._acknowledged.values():
                acknowledged.cancel()
            self._acknowledged.clear()
            self._poke_all()
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _receive(self, pubsub: Any) -> None:  # noqa: ANN401 - redis-py leaves it untyped
        asked = False
        while True:
            message = await pubsub.get_message(timeout=_SILENCE.total_seconds())
            if message is None:
                if asked:
                    raise TimeoutError
                asked = True
                await pubsub.ping()
                continue
            asked = False
            if message["type"] == "message":
                self._deliver(message["channel"].decode(), message["data"])
            elif message["type"] == "subscribe":
                acknowledged = self._acknowledged.get(message["channel"].decode())
                if acknowledged is not None and not acknowledged.done():
                    acknowledged.set_result(None)

    def _deliver(self, channel: str, payload: bytes) -> None:
        listeners = self._listeners.get(channel)
        if not listeners:
            return
        try:
            update = JobUpdate.model_validate_json(payload)
        except ValueError:
            log.warning("events.unreadable", channel=channel)
            for listener in tuple(listeners):
                listener.poke()
            return
        for listener in tuple(listeners):
            listener.push(update, len(payload))

    async def _subscribe(self, channel: str) -> None:
        acknowledged = self._acknowledged.get(channel)
        if acknowledged is None:
            acknowledged = self._acknowledged[channel] = asyncio.get_running_loop().create_future()
            if not await self._command("subscribe", channel):
                self._acknowledged.pop(channel, None)
                return
        try:
            await asyncio.wait_for(asyncio.shield(acknowledged), _ACKNOWLEDGE.total_seconds())
        except TimeoutError:
            log.warning("events.not_acknowledged", channel=channel)
        except asyncio.CancelledError:
            # Either we are cancelled, or the connection broke and `run` cancelled the acknowledgement.
            if not acknowledged.cancelled():
                raise

    async def _command(self, command: str, channel: str) -> bool:
        """Send a command on the subscription; returns whether it left."""
        async with self._changing:
            if self._pubsub is None:
                return False
            if command == "unsubscribe" and channel in self._listeners:
                return False  # somebody came while we waited for the lock
            try:
                await getattr(self._pubsub, command)(channel)
            except (RedisError, OSError, TimeoutError):
                return False  # `run` notices the same and starts anew
            return True

    def _poke_all(self) -> None:
        for listeners in self._listeners.values():
            for listener in tuple(listeners):
                listener.poke()
