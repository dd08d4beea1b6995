"""The receiving half of the fast path: the one Redis subscription of a process.

It is never trusted to be complete. Whenever it could have missed something, it says so.
"""

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final, Protocol

import hiredis
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.errors import EventsUnavailable
from services.updates import JobUpdate, StreamItem

_SILENCE: Final = timedelta(seconds=5)
"""A subscription that hears nothing for so long asks Redis whether it is still there."""
_DEADLINE: Final = timedelta(seconds=2)
"""For connecting, for sending a command, and for Redis to acknowledge it."""
_CHUNK: Final = 64 * 1024
"""Bytes that are read at once. Their messages are passed on before anything else runs: a millisecond of work."""
_PRESENCE: Final = "lorekeeper:presence"
"""A channel that nobody publishes on: the connection is in subscribed mode from its beginning."""

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Whoever listens to a channel."""

    def push(self, item: StreamItem) -> None:
        """Take an update, the same object for all listeners. Must not wait."""

    def poke(self) -> None:
        """Learn that updates may have been missed."""


class Feed:
    """The subscription, shared by its listeners through counted channels.

    `run` must be kept running. It uses a bare connection: redis-py's PubSub reconnects behind the caller's back,
    and what is published meanwhile would be missed without a word.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool: Any = redis.connection_pool
        self._connection: Any = None
        self._listeners: dict[str, Counter[Listener]] = {}
        self._acknowledged: dict[str, asyncio.Future[None]] = {}
        self._sending = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether updates are coming in now."""
        return self._connection is not None

    @property
    def channels(self) -> int:
        """Channels that somebody listens to."""
        return len(self._listeners)

    def listen(self, channel: str, listener: Listener) -> AbstractAsyncContextManager[None]:
        """Deliver a channel to a listener inside the block.

        The block begins when Redis has acknowledged the subscription, so that whatever commits later arrives;
        or at once where Redis is away: then a poke follows when it is back.
        """
        return _Listening(self, channel, listener)

    async def join(self, channel: str, listener: Listener) -> None:
        """Begin to deliver; whoever joins leaves, also where this is cancelled."""
        self._listeners.setdefault(channel, Counter())[listener] += 1
        await self._subscribe(channel)

    async def leave(self, channel: str, listener: Listener) -> None:
        """End what `join` began."""
        listeners = self._listeners[channel]
        listeners[listener] -= 1
        if not listeners[listener]:
            del listeners[listener]
        if not listeners:
            del self._listeners[channel]
            acknowledged = self._acknowledged.pop(channel, None)
            if acknowledged is not None:
                acknowledged.cancel()
            await self._unsubscribe(channel)

    async def run(self) -> None:
        """Receive for ever.

        Raises:
            EventsUnavailable: Redis is away.
        """
        # No timeout of its own: the deadlines here are ours, and do not swallow cancellations as wait_for does.
        connection = self._pool.connection_class(**self._pool.connection_kwargs | {"socket_timeout": None})
        try:
            async with self._sending, asyncio.timeout(_DEADLINE.total_seconds()):
                await connection.connect()
                await connection.send_command("SUBSCRIBE", _PRESENCE, *self._listeners, check_health=False)
                self._connection = connection
            await self._receive(connection)
        except (RedisError, hiredis.HiredisError, OSError, TimeoutError) as error:
            raise EventsUnavailable("Redis delivers no updates.") from error
        finally:
            self._connection = None
            for acknowledged in self._acknowledged.values():
                acknowledged.cancel()
            self._acknowledged.clear()
            await connection.disconnect(nowait=True)

    async def _receive(self, connection: Any) -> None:  # noqa: ANN401 - redis-py leaves it untyped
        # A chunk of messages at a time: redis-py reads each with a deadline of its own, which takes as long as all
        # else that is done with it. Between two commands nothing waits in its own parser.
        stream: asyncio.StreamReader = connection._reader  # noqa: SLF001 - it offers no other way
        replies = hiredis.Reader()
        asked = False
        while True:
            try:
                async with asyncio.timeout(_SILENCE.total_seconds()):
                    chunk = await stream.read(_CHUNK)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                await self._send("PING")
                continue
            if not chunk:
                raise ConnectionResetError
            asked = False
            replies.feed(chunk)
            while (reply := replies.gets()) is not False:
                self._take(reply)

    def _take(self, reply: Any) -> None:  # noqa: ANN401 - whatever Redis says
        if not isinstance(reply, list):
            raise RedisError(f"Redis answered a subscription with {reply!r}")
        kind, channel, payload = reply[0], reply[1].decode(), reply[-1]
        if kind == b"message":
            self._deliver(channel, payload)
        elif kind == b"subscribe":
            self._acknowledge(channel)

    def _deliver(self, channel: str, payload: bytes) -> None:
        listeners = self._listeners.get(channel)
        if not listeners:
            return
        try:
            update = JobUpdate.model_validate_json(payload)
        except ValueError:
            log.warning("feed.unreadable", channel=channel)
            for listener in tuple(listeners):
                listener.poke()
            return
        item = StreamItem(update, len(payload))
        for listener in tuple(listeners):
            listener.push(item)

    def _acknowledge(self, channel: str) -> None:
        if channel == _PRESENCE:
            # Whatever was published while we were away is in the log by now, and what follows will arrive.
            self._poke_all()
        acknowledged = self._acknowledged.get(channel)
        if acknowledged is not None and not acknowledged.done():
            acknowledged.set_result(None)

    async def _subscribe(self, channel: str) -> None:
        acknowledged = self._acknowledged.get(channel)
        if acknowledged is None:
            acknowledged = self._acknowledged[channel] = asyncio.get_running_loop().create_future()
            async with self._sending:
                sent = await self._send("SUBSCRIBE", channel)
            if not sent:
                self._acknowledged.pop(channel, None)
                acknowledged.cancel()
                return
        try:
            async with asyncio.timeout(_DEADLINE.total_seconds()):
                await asyncio.shield(acknowledged)
        except TimeoutError:
            log.warning("feed.not_acknowledged", channel=channel)
        except asyncio.CancelledError:
            # Either we are cancelled, or the connection broke and `run` cancelled the acknowledgement.
            if not acknowledged.cancelled():
                raise

    async def _unsubscribe(self, channel: str) -> None:
        async with self._sending:
            if channel not in self._listeners:  # nobody came while we waited for the lock
                await self._send("UNSUBSCRIBE", channel)

    async def _send(self, *command: str) -> bool:
        """Send a command on the subscription; returns whether it left."""
        connection = self._connection
        if connection is None or not connection.is_connected:
            return False
        try:
            async with asyncio.timeout(_DEADLINE.total_seconds()):
                await connection.send_command(*command, check_health=False)
        except (RedisError, OSError, TimeoutError, AttributeError, RuntimeError):
            # It was cut between the check and the write: redis-py then has no writer any more (AttributeError), or
            # uvloop a transport that is closed (RuntimeError). `run` notices and begins anew.
            await connection.disconnect(nowait=True)
            return False
        return True

    def _poke_all(self) -> None:
        for listeners in self._listeners.values():
            for listener in tuple(listeners):
                listener.poke()


class _Listening(AbstractAsyncContextManager[None]):
    """A block in which a channel is delivered. Thousands are open at once: a generator would take far more."""

    __slots__ = ("_channel", "_feed", "_listener")

    def __init__(self, feed: Feed, channel: str, listener: Listener) -> None:
        self._feed = feed
        self._channel = channel
        self._listener = listener

    async def __aenter__(self) -> None:
        try:
            await self._feed.join(self._channel, self._listener)
        except BaseException:
            await self._feed.leave(self._channel, self._listener)
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._feed.leave(self._channel, self._listener)
