"""What comes together travels together: a batcher turns many single calls into few that take many items."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Batcher(Generic[Item, Outcome]):
    """Collects items and hands them over together.

    A batch leaves when it is full, or when its first item has waited for the linger. Several batches may be
    under way at once.

    Args:
        flush: takes a batch; returns one outcome an item, in the same order. If it raises, every `put` of the
            batch raises the same.
        most: the size of a full batch.
        linger: the longest that an item waits for company.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]],
        *,
        most: int,
        linger: timedelta,
    ) -> None:
        self._flush = flush
        self._most = most
        self._linger_s = linger.total_seconds()
        self._waiting: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def put_nowait(self, item: Item) -> asyncio.Future[Outcome]:
        """Add an item; the future holds its outcome once its batch was taken."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._most:
            self._leave()
        elif self._timer is None:
            self._timer = loop.call_later(self._linger_s, self._leave)
        return future

    async def put(self, item: Item) -> Outcome:
        """Add an item and wait for its outcome."""
        return await self.put_nowait(item)

    async def drain(self) -> None:
        """Let everything leave that waits, and wait until it was taken."""
        self._leave()
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._hand_over(batch))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _hand_over(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._flush([item for item, _ in batch])
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    # A future cannot hold a CancelledError as its exception.
                    if isinstance(error, asyncio.CancelledError):
                        future.cancel()
                    else:
                        future.set_exception(error)
                        # Whoever put the item without waiting for it has nobody to be told.
                        future.exception()
            if not isinstance(error, Exception):
                raise
