"""WebSocket clients that count: they speak `graphql-transport-ws` and decode no more frames than they must.

Two hundred thousand frames a second are counted by a part of one core, so that the server is what is measured.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit
from uuid import uuid4

_TEXT: Final = 0x81
_PING: Final = 0x89
_PONG: Final = 0x8A
_CLOSE: Final = 0x88
_MEDIUM: Final = 126
"""The length byte of frames of 126 bytes to 64 KiB. Every item is one of them, all other messages are shorter."""
_AT_ONCE: Final = 50
_DEADLINE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one client asks for: a field of the contract's `Subscription`, with its variables."""

    query: str
    variables: dict[str, str]


class Tally:
    """What a group of clients received."""

    def __init__(self) -> None:
        self.frames = 0
        self.first_at = 0.0
        self.last_at = 0.0
        self.surprise: object = None
        """The first message that is neither an item nor part of every connection."""
        self._awaited = 0
        self._arrived = asyncio.Event()

    def add(self, frames: int) -> None:
        """Count frames that arrived now."""
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at
        self.frames += frames
        if self.frames >= self._awaited:
            self._arrived.set()

    def fail(self, surprise: object) -> None:
        """Learn that a client got what it should not."""
        self.surprise = self.surprise or surprise
        self._arrived.set()

    @property
    def silence_s(self) -> float:
        """How long nothing has arrived."""
        return time.perf_counter() - self.last_at if self.last_at else 0

    def reset(self) -> None:
        """Count from zero."""
        self.frames, self.first_at, self.last_at = 0, 0.0, 0.0

    async def wait_for(self, frames: int, *, within_s: float = _DEADLINE_S) -> None:
        """Wait until so many frames have arrived.

        Raises:
            RuntimeError: they do not, or something else does.
        """
        self._awaited = frames
        self._arrived.clear()
        if self.frames < frames and self.surprise is None:
            try:
                async with asyncio.timeout(within_s):
                    await self._arrived.wait()
            except TimeoutError:
                raise RuntimeError(f"{self.frames} of {frames} frames arrived in {within_s:g} s") from None
        if self.surprise is not None:
            raise RuntimeError(f"a client got {self.surprise}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that was kept, and when it came by this process's monotonic clock."""

    at: float
    text: bytes

    def decode(self) -> dict[str, Any]:
        """Return the item that it carries."""
        message = json.loads(self.text)
        if message["type"] != "next" or "errors" in message["payload"]:
            raise RuntimeError(f"not an item: {message}")
        (item,) = message["payload"]["data"].values()
        return dict(item)


class Client(asyncio.Protocol):
    """One connection with one subscription.

    Args:
        address: host and port.
        wanted: the subscription.
        tally: where frames are counted.
        keep: whether to keep the frames, to look into them afterwards.
    """

    def __init__(self, address: str, wanted: Subscription, tally: Tally, *, keep: bool) -> None:
        self.frames = 0
        self.bytes = 0
        self.kept: list[Arrival] | None = [] if keep else None
        self.subscribed = asyncio.get_running_loop().create_future()
        self._address = address
        self.wanted = wanted
        self._tally = tally
        self._rest = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            f"GET /graphql HTTP/1.1\r\nHost: {self._address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for the subscription."""
        if not self.subscribed.done():
            self.subscribed.set_exception(exc or ConnectionError(f"closed: {self._rest!r}"))

    def data_received(self, data: bytes) -> None:
        """Count the frames in it."""
        if self._rest:
            data = self._rest + data
        if not self._upgraded:
            head, blank, data = data.partition(b"\r\n\r\n")
            if not blank or not head.startswith(b"HTTP/1.1 101"):
                self._rest = head + blank + data
                return
            self._upgraded = True
            self._send({"type": "connection_init"})
        at, end, frames = 0, len(data), 0
        while end - at > 3:  # noqa: PLR2004 - no message is shorter
            size, head_size = data[at + 1], 2
            if size == _MEDIUM:
                size, head_size = data[at + 2] << 8 | data[at + 3], 4
            start = at + head_size
            after = start + size
            if after > end:
                break
            if head_size == 4:  # noqa: PLR2004 - an item
                frames += 1
                self.bytes += size
                if self.kept is not None:
                    self.kept.append(Arrival(time.perf_counter(), data[start:after]))
            else:
                self._take(data[at], data[start:after])
            at = after
        self._rest = data[at:]
        if frames:
            self.frames += frames
            self._tally.add(frames)

    def close(self) -> None:
        """Leave without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, kind: int, payload: bytes) -> None:
        """Answer what is part of the protocol."""
        if kind == _PING:
            self._write(_PONG, payload)
        if kind != _TEXT:
            if kind == _CLOSE:
                self._tally.fail(f"close code {int.from_bytes(payload[:2])}: {payload[2:]!r}")
            return
        message = json.loads(payload)
        if message["type"] == "ping":
            self._send({"type": "pong"})
        elif message["type"] == "connection_ack":
            operation = {"query": self.wanted.query, "variables": self.wanted.variables}
            # Ids as graphql-ws's own client makes them: the whole frame is no subscriber's but one's.
            self._send({"type": "subscribe", "id": str(uuid4()), "payload": operation})
            self.subscribed.set_result(None)
        else:
            self._tally.fail(message)

    def _send(self, message: dict[str, Any]) -> None:
        self._write(_TEXT, json.dumps(message).encode())

    def _write(self, kind: int, payload: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - for the types
        size = len(payload)
        length = bytes((0x80 | size,)) if size < _MEDIUM else bytes((0x80 | _MEDIUM, size >> 8, size & 255))
        # Masked, as clients must, with a mask that changes nothing.
        self._transport.write(bytes((kind,)) + length + b"\0\0\0\0" + payload)


@dataclass(slots=True)
class Crowd:
    """Many clients of one server."""

    url: str
    tally: Tally = field(default_factory=Tally)
    clients: list[Client] = field(default_factory=list)

    async def join(self, wanted: Sequence[Subscription], *, keep: int = 0) -> None:
        """Connect and subscribe, some at a time; the first few keep their frames."""
        gate = asyncio.Semaphore(_AT_ONCE)
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or 0
        loop = asyncio.get_running_loop()

        async def one(number: int, subscription: Subscription) -> Client:
            async with gate, asyncio.timeout(_DEADLINE_S):
                _, client = await loop.create_connection(
                    lambda: Client(parts.netloc, subscription, self.tally, keep=number < keep),
                    host,
                    port,
                )
                await client.subscribed
                return client

        self.clients += await asyncio.gather(*(one(number, each) for number, each in enumerate(wanted)))

    def reset(self) -> None:
        """Forget what has been received so far."""
        self.tally.reset()
        for client in self.clients:
            client.frames = client.bytes = 0
            if client.kept:
                client.kept.clear()

    def leave(self) -> None:
        """Cut every connection."""
        for client in self.clients:
            client.close()
        self.clients.clear()


@contextmanager
def crowd(url: str) -> Iterator[Crowd]:
    """Make a crowd that leaves at the end."""
    made = Crowd(url)
    try:
        yield made
    finally:
        made.leave()
