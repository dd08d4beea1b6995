"""What waits for one reader of a job's stream: bounded, with progress conflated, honest about what it has lost."""

import asyncio
from typing import Final

from services.updates import StreamItem, UpdateKind

BUFFER_BYTES: Final = 256 * 1024
"""Bytes of updates that wait for a slow reader; beyond, they are dropped and read from the log."""


class Inbox:
    """A buffer between whoever pushes the updates of a job and one reader."""

    __slots__ = ("_bytes", "_items", "_reader", "behind")

    def __init__(self) -> None:
        self.behind = False
        """Whether updates were dropped that only the log still has."""
        self._items: list[StreamItem] = []  # mostly empty; a deque takes a kilobyte then
        self._bytes = 0
        self._reader: asyncio.Future[None] | None = None

    def push(self, item: StreamItem) -> None:
        """Take an update."""
        if self.behind:
            return
        if self._items and item.update.kind is self._items[-1].update.kind is UpdateKind.PROGRESS:
            self._bytes -= self._items.pop().size
        if self._bytes + item.size > BUFFER_BYTES:
            self.poke()
            return
        self._items.append(item)
        self._bytes += item.size
        self._wake()

    def poke(self) -> None:
        """Learn that updates may be missing: the reader goes to the log, which has all that waits here."""
        self.behind = True
        self._items.clear()
        self._bytes = 0
        self._wake()

    async def next(self) -> StreamItem | None:
        """Wait for an update; None tells to read the log."""
        while not self._items and not self.behind:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if self.behind:
            self.behind = False
            return None
        item = self._items.pop(0)
        self._bytes -= item.size
        return item

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
