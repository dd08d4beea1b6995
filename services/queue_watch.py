"""Watching the queues: one poller of SQS a process, however many watch."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.queue_operations import QueueOperations
from services.sqs import QueueDepth

SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(hours=1)
"""Between these lies how often one may want to be told."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What SQS said, and when it was asked, by the loop's clock."""

    depths: Sequence[QueueDepth]
    at: float


class QueueWatch:
    """Asks SQS for all who watch, no more often than the most eager of them wants. `run` must be kept running."""

    def __init__(self, operations: QueueOperations) -> None:
        self._operations = operations
        self._watchers: set[_Watcher] = set()
        self._joined = asyncio.Event()
        self._latest: _Reading | None = None

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return len(self._watchers)

    async def depths(self, every: timedelta) -> AsyncGenerator[Sequence[QueueDepth], None]:
        """Yield how much the queues hold: at once, then at an interval of SHORTEST or more, for ever.

        While SQS is away nothing comes. Who is slow gets the latest reading, not each.
        """
        watcher = _Watcher(every.total_seconds())
        self._watchers.add(watcher)
        self._joined.set()
        try:
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    async def run(self) -> None:
        """Ask as often as somebody wants to know; while nobody watches, never.

        Raises:
            QueueUnavailable: SQS does not answer.
        """
        while True:
            await self._until_due()
            at = asyncio.get_running_loop().time()
            self._latest = _Reading(await self._operations.depths(), at)

    async def _until_due(self) -> None:
        """Hand the latest reading to those who joined, and return when it is too old for somebody."""
        while True:
            self._joined.clear()
            if not self._watchers:
                await self._joined.wait()
                continue
            shortest = min(watcher.every for watcher in self._watchers)
            if self._latest is None:
                return
            left = self._latest.at + shortest - asyncio.get_running_loop().time()
            if left <= 0:
                return
            for watcher in self._watchers:
                watcher.offer(self._latest, slack=shortest / 2)
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._joined.wait()


class _Watcher:
    """One who watches: holds the latest reading that it was due for until it is taken."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._due = float("-inf")
        self._taken: _Reading | None = None
        self._came = asyncio.Event()

    def offer(self, reading: _Reading, *, slack: float) -> None:
        """Take a reading if it is new and the one nearest to when the next is due."""
        if reading is self._taken or reading.at + slack <= self._due:
            return
        self._taken = reading
        # Counted from when it was due, so that the mean is right where polls come at another interval; anew
        # where it is the first, or SQS was away for long.
        self._due += self.every
        if self._due <= reading.at:
            self._due = reading.at + self.every
        self._came.set()

    async def next(self) -> Sequence[QueueDepth]:
        """Wait for a reading."""
        await self._came.wait()
        self._came.clear()
        assert self._taken is not None  # noqa: S101 - it came
        return self._taken.depths
