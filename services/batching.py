"""What comes together travels together: many single calls become few that take many items, some of which fail."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Waiting = list[tuple[Item, asyncio.Future[Outcome]]]


class Batcher(Generic[Item, Outcome]):
    """Collects items and hands them over together.

    A batch leaves when it is full, or when its first item has waited for the linger. Several batches may be
    under way at once; where their number is bounded, what comes meanwhile waits and leaves together.

    Args:
        flush: takes a batch; returns one outcome an item, in the same order. If it raises, every `put` of the
            batch raises the same.
        most: the size of a full batch.
        linger: the longest that an item waits for company.
        at_once: the most batches that are under way at once; None for any number.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]],
        *,
        most: int,
        linger: timedelta,
        at_once: int | None = None,
    ) -> None:
        self._flush = flush
        self._most = most
        self._at_once = at_once
        self._linger_s = linger.total_seconds()
        self._waiting: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._pending = 0

    @property
    def pending(self) -> int:
        """Items that were put and have no outcome yet."""
        return self._pending

    def put_nowait(self, item: Item) -> asyncio.Future[Outcome]:
        """Add an item; the future holds its outcome once its batch was taken."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, future))
        self._pending += 1
        future.add_done_callback(self._count_down)
        if len(self._waiting) >= self._most:
            self.leave()
        elif self._timer is None:
            self._timer = loop.call_later(self._linger_s, self.leave)
        return future

    def _count_down(self, _: object) -> None:
        self._pending -= 1

    async def put(self, item: Item) -> Outcome:
        """Add an item and wait for its outcome."""
        return await self.put_nowait(item)

    def leave(self) -> None:
        """Send off what waits, without more company."""
        while self._waiting and (self._at_once is None or len(self._under_way) < self._at_once):
            waiting = self.take()
            batch, self._waiting = waiting[: self._most], waiting[self._most :]
            task = asyncio.get_running_loop().create_task(self._hand_over(batch))
            self._under_way.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._at_once is not None:
            self.leave()

    def take(self) -> "Waiting[Item, Outcome]":
        """Withdraw what waits, for a caller that hands it over along with something else.

        The caller owes each future its outcome.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        return batch

    async def drain(self) -> None:
        """Let everything leave that waits, and wait until it was taken."""
        self.leave()
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def close(self) -> None:
        """Drop what waits and break off what is under way; whoever waits for an outcome is cancelled."""
        for _, future in self.take():
            future.cancel()
        for task in self._under_way:
            task.cancel()
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _hand_over(self, batch: "Waiting[Item, Outcome]") -> None:
        with suppress(Exception):  # whoever waits has been told
            await self._answer(batch)

    async def _answer(self, batch: "Waiting[Item, Outcome]") -> None:
        async with answering(batch):
            outcomes = await self._flush([item for item, _ in batch])
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)


@asynccontextmanager
async def answering(batch: "Waiting[Item, Outcome]") -> AsyncIterator[None]:
    """Let whoever waits for an item of the batch see the error with which the block ends, if it does."""
    try:
        yield
    except BaseException as error:
        for _, future in batch:
            if future.done():
                continue
            if isinstance(error, asyncio.CancelledError):
                future.cancel()  # a future cannot hold a CancelledError as its exception
            else:
                future.set_exception(error)
                future.exception()  # whoever put the item without waiting for it has nobody to be told
        raise


async def in_parts(parts: Sequence[tuple[Sequence[int], Awaitable[Sequence[bool]]]], number: int) -> list[bool]:
    """Await calls that each do a part of some entries; returns for each entry whether it was done.

    Args:
        parts: the places of a part's entries, and the call, which returns for each of them whether it was done.
            One that fails leaves its own entries undone.
        number: of all entries.

    Raises:
        Exception: what the first call raised, where every one failed.
    """
    outcomes = await asyncio.gather(*(call for _, call in parts), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures and len(failures) == len(parts):
        raise failures[0]
    done = [False] * number
    for (places, _), flags in zip(parts, outcomes, strict=True):
        if not isinstance(flags, BaseException):
            for place, flag in zip(places, flags, strict=True):
                done[place] = flag
    return done
