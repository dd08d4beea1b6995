"""A network between two parts of the system that breaks when a test wants it to."""

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from typing import Final, Self

_CHUNK: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST
_HOST: Final = "127.0.0.1"


class _Connection:
    """The two sockets of one connection, and how many more bytes may pass."""

    def __init__(self, client: asyncio.StreamWriter, lifetime: int | None) -> None:
        self.writers = [client]
        self.left = lifetime

    def cut(self) -> None:
        """End both sides at once, by RST or by FIN: a network does either."""
        reset = random.random() < 0.5
        for writer in self.writers:
            if reset and not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Relay:
    """Listens on a free port of this machine and forwards to one address.

    Args:
        port: of the address; `host` is this machine unless told. `target` may move to another.
        lifetime: asked at each new connection for the bytes, both ways together, after which it is cut; None
            lets it live. The cut falls wherever that byte lies, mostly in the middle of a message.
    """

    def __init__(self, port: int, host: str = _HOST, *, lifetime: Callable[[], int | None] = lambda: None) -> None:
        self.target = (host, port)
        self._lifetime = lifetime
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.cuts = 0
        """Connections that were cut so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, _HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cut()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    def cut(self) -> None:
        """Cut every open connection now."""
        for connection in tuple(self._connections):
            self._cut(connection)

    def cut_after(self, size: int) -> None:
        """Cut every open connection once so many more of its bytes have passed."""
        for connection in self._connections:
            connection.left = size

    def spare(self) -> None:
        """Cut no connection any more, be it open or yet to come."""
        self._lifetime = lambda: None
        for connection in self._connections:
            connection.left = None

    def _cut(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self.cuts += 1
            connection.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        connection = _Connection(writer, self._lifetime())
        self._connections.add(connection)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            connection.writers.append(far_writer)
            if connection not in self._connections:  # cut while it was being opened
                connection.cut()
            await asyncio.gather(
                self._forward(connection, reader, far_writer), self._forward(connection, far_reader, writer)
            )
        except OSError:
            pass  # refused, or broken by one of the ends: to the other it ends as it does on a network
        finally:
            self._connections.discard(connection)
            for each in connection.writers:
                each.transport.abort()

    async def _forward(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            if connection.left is not None:
                if len(chunk) >= connection.left:
                    writer.write(chunk[: connection.left])
                    self._cut(connection)
                    return
                connection.left -= len(chunk)
            writer.write(chunk)
            await writer.drain()
        if not writer.is_closing():
            writer.write_eof()
