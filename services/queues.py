"""The queues of an installation: one for each urgency, used as one."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self, TypeVar

from services.batching import in_parts
from services.messages import Delivery, Message
from services.sqs import BATCH, LONG_POLL, Queue

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

_HIGH_FROM: Final = 7
_NORMAL_FROM: Final = 3

_Entry = TypeVar("_Entry")


class Urgency(StrEnum):
    """How soon a job wants to begin."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @staticmethod
    def of(priority: int) -> "Urgency":
        """Return the urgency of a priority: 7 to 9, 3 to 6, 0 to 2."""
        if priority >= _HIGH_FROM:
            return Urgency.HIGH
        return Urgency.NORMAL if priority >= _NORMAL_FROM else Urgency.LOW


class Queues:
    """Three queues, which raise what a `Queue` raises.

    Args:
        by_urgency: the queues.
    """

    def __init__(self, by_urgency: Mapping[Urgency, Queue]) -> None:
        self._by_urgency = by_urgency
        self._by_name = {queue.name: queue for queue in by_urgency.values()}

    @classmethod
    def named(
        cls, name: str, client: "SQSClient", receiver: "SQSClient", *, visibility: timedelta, fifo: bool
    ) -> Self:
        """Return the queues of an installation: of NORMAL urgency is the one that has the name alone."""
        names = {Urgency.NORMAL: name, Urgency.HIGH: f"{name}-high", Urgency.LOW: f"{name}-low"}
        return cls(
            {
                urgency: Queue(client, receiver, each, visibility=visibility, fifo=fifo)
                for urgency, each in names.items()
            }
        )

    def __iter__(self) -> Iterator[Queue]:
        return iter(self._by_urgency.values())

    @property
    def normal(self) -> Queue:
        """The queue of the jobs that say nothing of their priority."""
        return self._by_urgency[Urgency.NORMAL]

    @property
    def keeps_order(self) -> bool:
        """Whether the queues are FIFO: the jobs of a world then run one after the other, and none is held back."""
        return self.normal.fifo

    async def initialize(self) -> None:
        """Find the queues, creating what is missing."""
        await asyncio.gather(*(queue.initialize() for queue in self._by_urgency.values()))

    async def ping(self) -> None:
        """Return when SQS answers."""
        await self.normal.ping()

    async def send(self, messages: Sequence[tuple[Urgency, Message]]) -> list[bool]:
        """Send messages; returns for each whether SQS has it."""
        return await self._each(
            [(self._by_urgency[urgency], message) for urgency, message in messages],
            lambda queue, some: queue.send(some),
        )

    async def receive(self, urgency: Urgency, *, most: int = BATCH, wait: timedelta = LONG_POLL) -> list[Delivery]:
        """Receive from one of the queues."""
        return await self._by_urgency[urgency].receive(most=most, wait=wait)

    async def delete(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Delete delivered messages; returns for each whether it is gone."""
        return await self._each(
            [(self._by_name[delivery.queue], delivery.receipt_handle) for delivery in deliveries],
            lambda queue, some: queue.delete(some),
        )

    async def change_visibility(self, changes: Sequence[tuple[Delivery, timedelta]]) -> list[bool]:
        """Hide deliveries for so much longer from now, 0 s to 12 h; returns for each whether SQS did."""
        return await self._each(
            [(self._by_name[delivery.queue], (delivery.receipt_handle, wait)) for delivery, wait in changes],
            lambda queue, some: queue.change_visibility(some),
        )

    async def bury(self, deliveries: Sequence[tuple[Delivery, str]]) -> None:
        """Move deliveries that cannot be read to the dead letters of their queue, each with its reason."""
        own = _by_queue([self._by_name[delivery.queue] for delivery, _ in deliveries])
        await asyncio.gather(
            *(queue.bury([deliveries[place] for place in places]) for queue, places in own.items())
        )

    async def messages(self) -> int:
        """Return how many messages there are, waiting, held back or delivered."""
        depths = await asyncio.gather(*(queue.depth() for queue in self._by_urgency.values()))
        return sum(depth.available + depth.in_flight + depth.delayed for depth in depths)

    async def _each(
        self,
        entries: Sequence[tuple[Queue, _Entry]],
        call: Callable[[Queue, list[_Entry]], Awaitable[list[bool]]],
    ) -> list[bool]:
        """Call each queue with its own entries; where one fails and another does not, its entries are undone.

        Raises:
            QueueUnavailable: every call failed.
        """
        return await in_parts(
            [
                (places, call(queue, [entries[place][1] for place in places]))
                for queue, places in _by_queue([queue for queue, _ in entries]).items()
            ],
            len(entries),
        )


def _by_queue(queues: Sequence[Queue]) -> Mapping[Queue, list[int]]:
    """Return at which places each queue stands."""
    places = defaultdict[Queue, list[int]](list)
    for place, queue in enumerate(queues):
        places[queue].append(place)
    return places
