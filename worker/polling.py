"""Receiving from the queues: what is urgent first, and a share for the rest that never dries up."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import cycle
from typing import Final

from services.errors import Unavailable
from services.messages import Delivery
from services.queues import Queues, Urgency
from services.sqs import BATCH, LONG_POLL

_HIGH_FIRST: Final = (Urgency.HIGH, Urgency.NORMAL, Urgency.LOW)
_NORMAL_FIRST: Final = (Urgency.NORMAL, Urgency.HIGH, Urgency.LOW)
_LOW_FIRST: Final = (Urgency.LOW, Urgency.NORMAL, Urgency.HIGH)
_TURNS: Final = (
    *(_HIGH_FIRST,) * 3,
    _NORMAL_FIRST,
    *(_HIGH_FIRST,) * 3,
    _NORMAL_FIRST,
    _HIGH_FIRST,
    _LOW_FIRST,
)
"""Who comes first, turn by turn: of ten turns one is for the low, two for the normal. Who has nothing passes."""


class Poller:
    """What one worker has asked the queues for, and what has come of it.

    A queue that seems empty is listened to by one long poll, whether or not there is room: that takes three
    requests a minute, and what comes by it is the first to get room. One that has more than a receive brings is
    asked when there is room, by turns.

    Args:
        queues: the queues.
        give_back: lets others have a delivery.
        keep: how long a delivery waits for room before it is given back; well within its visibility.
    """

    def __init__(self, queues: Queues, give_back: Callable[[Delivery], None], *, keep: timedelta) -> None:
        self._queues = queues
        self._give_back = give_back
        self._keep_s = keep.total_seconds()
        # What a FIFO queue delivers together is in order, but would run side by side.
        self._most = 1 if queues.keeps_order else BATCH
        self._polls: dict[Urgency, asyncio.Task[None]] = {}
        self._ready: dict[Urgency, deque[Delivery]] = {urgency: deque() for urgency in Urgency}
        self._rich: set[Urgency] = set()
        """Queues that probably have more: the last receive was full, or something was given back."""
        self._turns: Iterator[Sequence[Urgency]] = cycle(_TURNS)

    async def receive(self, room: int) -> list[Delivery]:
        """Return up to so many deliveries; waits for the first.

        Raises:
            QueueUnavailable: SQS does not answer. What has come is kept for the next call.
        """
        while True:
            self._collect()
            taken = await self._taken(room)
            self._listen(room)
            if taken:
                return taken
            await asyncio.wait(self._polls.values(), return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Receive no more, and let others have what nobody has taken."""
        polls = [*self._polls.values()]
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
        self._polls.clear()
        for urgency, ready in self._ready.items():
            self._drop(urgency, list(ready))

    def _collect(self) -> None:
        """Look at the long polls that have ended."""
        ended = {urgency: poll for urgency, poll in self._polls.items() if poll.done()}
        for urgency in ended:
            del self._polls[urgency]
        failures = [error for poll in ended.values() if (error := poll.exception()) is not None]
        if failures and not any(self._ready.values()):
            raise failures[0]

    def _drop(self, urgency: Urgency, deliveries: list[Delivery]) -> None:
        """Give back what still waits of some deliveries."""
        ready = self._ready[urgency]
        for delivery in deliveries:
            with suppress(ValueError):
                ready.remove(delivery)
                self._give_back(delivery)
                self._rich.add(urgency)

    async def _taken(self, room: int) -> list[Delivery]:
        """Take what is ready and ask the rich, turn by turn, until the room is full."""
        asked = self._asked(room)
        if not asked and not any(self._ready.values()):
            return []
        takes: list[Urgency] = []
        calls: list[tuple[Urgency, int]] = []
        left = {urgency: len(ready) for urgency, ready in self._ready.items()}
        while room:
            turn = next(self._turns)
            urgency = next((each for each in turn if left[each] or each in asked), None)
            if urgency is None:
                break
            if left[urgency]:
                takes.append(urgency)
                left[urgency] -= 1
                room -= 1
            else:
                calls.append((urgency, min(room, self._most)))
                room -= calls[-1][1]
        found: list[Delivery] = []
        try:
            found = await self._fetched(calls)
        except Unavailable:
            if not takes:
                raise
        # Only now: whoever is cancelled while it asks has taken nothing.
        return [self._ready[urgency].popleft() for urgency in takes if self._ready[urgency]] + found

    def _asked(self, room: int) -> set[Urgency]:
        """Return the queues to ask by receives that do not wait: two and more, or one by several at once.

        A single one has a long poll like those that seem empty: it answers as soon, and from all servers of SQS.
        """
        rich = self._rich - self._polls.keys()
        return rich if len(rich) > 1 or room >= 2 * self._most else set()

    async def _fetched(self, calls: Sequence[tuple[Urgency, int]]) -> list[Delivery]:
        """Make receives that do not wait."""
        answers = await asyncio.gather(
            *(self._queues.receive(urgency, most=most, wait=timedelta()) for urgency, most in calls),
            return_exceptions=True,
        )
        found: list[Delivery] = []
        short: set[Urgency] = set()
        for (urgency, most), answer in zip(calls, answers, strict=True):
            if isinstance(answer, list):
                found += answer
            if not isinstance(answer, list) or len(answer) < most:
                short.add(urgency)
        self._rich -= short
        failed = next((answer for answer in answers if isinstance(answer, BaseException)), None)
        if failed is not None and not found:
            raise failed
        return found

    def _listen(self, room: int) -> None:
        """Begin long polls of the queues that are not asked otherwise."""
        asked = self._asked(room)
        for urgency in Urgency:
            if urgency not in self._polls and not self._ready[urgency] and urgency not in asked:
                self._polls[urgency] = asyncio.create_task(self._poll(urgency, min(room, self._most)))

    async def _poll(self, urgency: Urgency, most: int) -> None:
        deliveries = await self._queues.receive(urgency, most=most, wait=LONG_POLL)
        self._rich.discard(urgency)
        if len(deliveries) == most:
            self._rich.add(urgency)
        if deliveries:
            self._ready[urgency].extend(deliveries)
            asyncio.get_running_loop().call_later(self._keep_s, self._drop, urgency, deliveries)
