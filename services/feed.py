"""The receiving half of the fast path: the one Redis subscription of a process.

It is never trusted to be complete. Whenever it could have missed something, it says so.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Channel:
    """What one channel has come to on the present connection."""

    listeners: Counter[Listener] = field(default_factory=Counter)
    asked: bool = False
    """Whether SUBSCRIBE was sent."""
    told: asyncio.Future[None] | None = None
    """Done when Redis has acknowledged it, or cannot; None where nobody waits for it."""

    @property
    def is_new(self) -> bool:
        """Whether somebody listens, and Redis does not know."""
        return bool(self.listeners) and not self.asked

    @property
    def is_over(self) -> bool:
        """Whether nobody listens any more, and no acknowledgement is under way."""
        return not self.listeners and (not self.asked or self.told is None or self.told.done())

    def ask(self) -> None:
        """Begin to wait for the acknowledgement."""
        self.asked = True
        self.told = self.told or asyncio.get_running_loop().create_future()

    def tell(self) -> None:
        """Let go whoever waits for the acknowledgement."""
        if self.told is not None and not self.told.done():
            self.told.set_result(None)

    def forget(self) -> None:
        """Begin anew: the connection is gone."""
        self.tell()
        self.asked, self.told = False, None


class Feed:
    """The subscription, shared by its listeners through counted channels.

    `run` must be kept running. It uses a bare connection: redis-py's PubSub reconnects behind the caller's back,
    and what is published meanwhile would be missed without a word.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool: Any = redis.connection_pool
        self._connection: Any = None
        self._channels: dict[str, _Channel] = {}
        self._changed: set[str] = set()
        """Channels that somebody has joined or left, of which Redis has not been told."""
        self._telling: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether updates are coming in now."""
        return self._connection is not None

    @property
    def channels(self) -> int:
        """Channels that somebody listens to."""
        return sum(bool(channel.listeners) for channel in self._channels.values())

    def listen(self, channel: str, listener: Listener) -> AbstractAsyncContextManager[None]:
        """Deliver a channel to a listener inside the block.

        The block begins when Redis has acknowledged the subscription, so that whatever commits later arrives;
        or at once where Redis is away: then a poke follows when it is back.
        """
        return _Listening(self, channel, listener)

    async def join(self, name: str, listener: Listener) -> None:
        """Begin to deliver; whoever joins leaves, also where this is cancelled."""
        channel = self._channels.setdefault(name, _Channel())
        channel.listeners[listener] += 1
        if channel.told is None:
            channel.told = asyncio.get_running_loop().create_future()
            self._change(name)
        told = channel.told
        if not told.done():
            # Unlike wait_for it leaves the future alone, which others wait for too.
            await asyncio.wait((told,), timeout=_DEADLINE.total_seconds())
            if not told.done():
                log.warning("feed.not_acknowledged", channel=name)

    def leave(self, name: str, listener: Listener) -> None:
        """End what `join` began."""
        channel = self._channels[name]
        channel.listeners[listener] -= 1
        if not channel.listeners[listener]:
            del channel.listeners[listener]
        if not channel.listeners:
            self._change(name)

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
                self._connection = connection
                if not await self._subscribe([_PRESENCE, *self._channels]):
                    raise ConnectionResetError
            await self._receive(connection)
        except (RedisError, hiredis.HiredisError, OSError, TimeoutError) as error:
            raise EventsUnavailable("Redis delivers no updates.") from error
        finally:
            self._connection = None
            for name, channel in tuple(self._channels.items()):
                channel.forget()
                if not channel.listeners:
                    del self._channels[name]
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
        heard = self._channels.get(channel)
        if heard is None or not heard.listeners:
            return
        listeners = tuple(heard.listeners)
        try:
            update = JobUpdate.model_validate_json(payload)
        except ValueError:
            log.warning("feed.unreadable", channel=channel)
            for listener in listeners:
                listener.poke()
            return
        item = StreamItem(update, len(payload))
        for listener in listeners:
            listener.push(item)

    def _acknowledge(self, name: str) -> None:
        if name == _PRESENCE:
            # Whatever was published while we were away is in the log by now, and what follows will arrive.
            self._poke_all()
        channel = self._channels.get(name)
        if channel is not None:
            channel.tell()
            if not channel.listeners:
                self._change(name)

    def _change(self, name: str) -> None:
        """Let Redis be told of a channel, together with the others of this turn.

        By a task that is nobody's: whoever joins or leaves may be cancelled, and others rely on the same channel.
        """
        self._changed.add(name)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        async with self._sending:
            while self._changed:
                changed, self._changed = self._changed, set()
                known = {name: channel for name in changed if (channel := self._channels.get(name)) is not None}
                await self._subscribe([name for name, channel in known.items() if channel.is_new])
                # One that Redis has yet to acknowledge waits for that: an acknowledgement means one thing only.
                left = [name for name, channel in known.items() if channel.is_over]
                for name in left:
                    del self._channels[name]
                if left:
                    await self._send("UNSUBSCRIBE", *left)

    async def _subscribe(self, names: Sequence[str]) -> bool:
        """Ask for channels; returns whether the command left, for those that are not there then nobody waits."""
        channels = [channel for name in names if (channel := self._channels.get(name)) is not None]
        for channel in channels:
            channel.ask()
        if not names or await self._send("SUBSCRIBE", *names):
            return True
        for channel in channels:
            channel.forget()
        return False

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
        for channel in self._channels.values():
            for listener in tuple(channel.listeners):
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
            self._feed.leave(self._channel, self._listener)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._feed.leave(self._channel, self._listener)
