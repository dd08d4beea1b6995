"""uvicorn's WebSocket, which writes together what was sent together, and takes less while it is idle.

A burst of updates is many frames for each of many clients. A system call for each of them takes as long as all the
rest; so what is sent within one turn of the event loop goes out by one call at its end.
"""

import asyncio
from asyncio.transports import BaseTransport
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent

_PATIENCE: Final = timedelta(seconds=10)
_MOST: Final = 64 * 1024
"""Bytes that wait for the end of the turn; with more, the transport should have its say about a slow reader."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """For uvicorn's setting `ws`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        super().__init__(*arguments, **options)
        # asyncio's own take 4 KiB while nothing is in them.
        self.queue = cast("asyncio.Queue[ASGIReceiveEvent]", _Messages())
        self.writable = cast("asyncio.Event", _Writable())

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin."""
        self._collecting = _Collecting(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("BaseTransport", self._collecting))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._collecting.forget()

    def start_keepalive(self) -> None:
        """Go on from the handshake, which nobody needs any more: thousands of connections would keep it."""
        super().start_keepalive()
        self.request.headers.clear()  # the parser of websockets holds on to the request
        del self.request, self.response
        self.__dict__ = dict(self.__dict__)  # as large as it must be, where growing it has doubled it


class _Messages:
    """What a client has sent and the application has not taken: the part of a queue that uvicorn uses."""

    __slots__ = ("_reader", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[ASGIReceiveEvent] = []  # a few: uvicorn stops reading while there is one
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, message: "ASGIReceiveEvent") -> None:
        """Add a message."""
        self._waiting.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def empty(self) -> bool:
        """Whether all was taken."""
        return not self._waiting

    async def get(self) -> "ASGIReceiveEvent":
        """Wait for the next message; one reader at a time."""
        while not self._waiting:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._waiting.pop(0)


class _Writable:
    """Whether the client reads: an event that is mostly set, and made when it is not."""

    __slots__ = ("_unblocked",)

    def __init__(self) -> None:
        self._unblocked: asyncio.Event | None = None

    def set(self) -> None:
        """Let whoever waits go on."""
        if self._unblocked is not None:
            self._unblocked.set()
            self._unblocked = None

    def clear(self) -> None:
        """Let whoever comes wait."""
        if self._unblocked is None:
            self._unblocked = asyncio.Event()

    async def wait(self) -> None:
        """Return when the client reads."""
        if self._unblocked is not None:
            await self._unblocked.wait()


class _Collecting:
    """A transport that collects what is written until the end of a turn of the event loop."""

    __slots__ = ("_closing", "_loop", "_size", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._size = 0
        self._closing: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Write, soon."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)
        self._size += len(data)
        if self._size > _MOST:
            self.flush()

    def flush(self) -> None:
        """Write now what waits."""
        if self._waiting:
            data = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._transport.write(data)

    def close(self) -> None:
        """Close when all is written; cut after a while, for a client that does not read never lets that be."""
        self.flush()
        self._transport.close()
        if self._closing is None:
            self._closing = self._loop.call_later(_PATIENCE.total_seconds(), self._transport.abort)

    def forget(self) -> None:
        """Learn that the connection is gone."""
        if self._closing is not None:
            self._closing.cancel()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)
