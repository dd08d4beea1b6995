"""Queues as operators see them: the type, and the bounds of what they may ask for."""

from datetime import timedelta
from typing import Final

import strawberry

from services.errors import InvalidInput
from services.intake import check_name
from services.queue_watch import LONGEST, SHORTEST
from services.sqs import QueueDepth

_DEFAULT_MOST: Final = 100
_MOST_LETTERS: Final = 1000
"""Ten take three requests to SQS, so this many take some seconds: a client still waits for the answer."""
_DEFAULT_INTERVAL_S: Final = 2


@strawberry.type(description="One SQS queue as its own attributes report it (approximate, as SQS says).")
class QueueStats:
    """Built from what SQS reports."""

    name: str
    messages_available: int
    messages_in_flight: int
    messages_delayed: int
    dead_letters: int

    @classmethod
    def of(cls, depth: QueueDepth) -> "QueueStats":
        """Build the type from a depth."""
        return cls(
            name=depth.name,
            messages_available=depth.available,
            messages_in_flight=depth.in_flight,
            messages_delayed=depth.delayed,
            dead_letters=depth.dead_letters,
        )


def checked_queue(queue: str) -> str:
    """Return the name of a queue, be there one or not.

    Raises:
        InvalidInput: nothing can be called that.
    """
    return check_name(queue, ("queue",))


def checked_most(value: int | None) -> int:
    """Return how many letters to move at the most; null stands for the default.

    Raises:
        InvalidInput: it is out of bounds.
    """
    most = _DEFAULT_MOST if value is None else value
    if not 1 <= most <= _MOST_LETTERS:
        raise InvalidInput(["max"], f"must be from 1 to {_MOST_LETTERS}")
    return most


def checked_interval(seconds: float | None) -> timedelta:
    """Return how often to be told; null stands for the default.

    Raises:
        InvalidInput: it is out of bounds.
    """
    value = _DEFAULT_INTERVAL_S if seconds is None else seconds
    least, most = SHORTEST.total_seconds(), LONGEST.total_seconds()
    if not least <= value <= most:
        raise InvalidInput(["intervalSeconds"], f"must be from {least:g} to {most:g}")
    return timedelta(seconds=value)
