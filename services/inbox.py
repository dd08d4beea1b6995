"""What waits for one reader of a stream: bounded, with progress conflated, honest about what it has lost."""

import asyncio
from collections import deque
from typing import Final
from uuid import UUID

from services.updates import StreamItem, UpdateKind

_BUFFER_BYTES: Final = 256 * 1024
"""Bytes of updates that wait for a slow reader; beyond, they are dropped and read from the log."""


class Inbox:
    """A buffer between whoever pushes and one reader."""

    __slots__ = ("_behind", "_bytes", "_progress", "_reader", "_slots")

    def __init__(self) -> None:
        self._slots: deque[list[StreamItem]] = deque()
        self._progress: dict[UUID, list[StreamItem]] = {}
        """The slot in which the latest progress of a job waits."""
        self._bytes = 0
        self._behind = False
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def behind(self) -> bool:
        """Whether updates were dropped that only the log still has."""
        return self._behind

    def push(self, item: StreamItem) -> None:
        """Take an update."""
        if self._behind:
            return
        update = item.update
        if update.kind is UpdateKind.PROGRESS:
            waiting = self._progress.get(update.job.id)
            if waiting is not None and waiting[0].update.seq == update.seq:
                # Its size differs by some characters at the most: the bound holds as well as it did.
                self._bytes += item.size - waiting[0].size
                waiting[0] = item
                return
        if self._bytes + item.size > _BUFFER_BYTES:
            self.poke()
            return
        slot = [item]
        self._slots.append(slot)
        self._bytes += item.size
        if update.kind is UpdateKind.PROGRESS:
            self._progress[update.job.id] = slot
        self._wake()

    def poke(self) -> None:
        """Learn that updates may be missing: the reader goes to the log, which has all that waits here."""
        self.clear()
        self._behind = True
        self._wake()

    def clear(self) -> None:
        """Forget what waits, and what was lost."""
        self._slots.clear()
        self._progress.clear()
        self._bytes = 0
        self._behind = False

    async def next(self) -> StreamItem | None:
        """Wait for an update; None tells to read the log."""
        while not self._slots and not self._behind:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if self._behind:
            self._behind = False
            return None
        return self.pop()

    def pop(self) -> StreamItem:
        """Return the update that waits longest."""
        slot = self._slots.popleft()
        item = slot[0]
        self._bytes -= item.size
        if item.update.kind is UpdateKind.PROGRESS and self._progress.get(item.update.job.id) is slot:
            del self._progress[item.update.job.id]
        return item

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
