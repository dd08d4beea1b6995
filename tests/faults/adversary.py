"""An adversary between Redis and the API: what is published arrives late, out of order, repeatedly or never."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.relay import Relay

_CHUNK: Final = 64 * 1024
_MESSAGE: Final = b"*3\r\n$7\r\nmessage\r\n"
"""How a message of pub/sub begins in RESP2; whatever else Redis says passes untouched."""
_LATEST_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Mischief:
    """What is done to the messages of pub/sub, one by one."""

    fate: Callable[[], Sequence[float]]
    """Asked for each message: the delays, in seconds, after which a copy of it is delivered. None, no copy."""
    in_order: bool = False
    """Whether a message waits for those before it, however short its own delay."""


def _late() -> float:
    return random.uniform(0, _LATEST_S)


PASS: Final = Mischief(lambda: (0,))
LOSE_ALL: Final = Mischief(lambda: ())
LOSE_SOME: Final = Mischief(lambda: () if random.random() < 0.3 else (0,))
DELAY: Final = Mischief(lambda: (_late(),), in_order=True)
REORDER: Final = Mischief(lambda: (_late(),))
REPEAT: Final = Mischief(lambda: (0, *(_late() for _ in range(random.randint(0, 2)))))


ALL_TOGETHER: Final = Mischief(lambda: [_late() for _ in range(random.randint(0, 3))])


class Adversary(Relay):
    """A relay to Redis that treats the messages of pub/sub one by one.

    Args:
        port: of Redis.
        mischief: what is done to each.
    """

    def __init__(self, port: int, mischief: Mischief = PASS) -> None:
        super().__init__(port)
        self._mischief = mischief
        self.messages = 0
        """Messages that Redis sent so far."""
        self.harmed = 0
        """Those of them that were not delivered once and at once."""

    async def _forward(self, connection: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer is not connection.writers[0]:  # what the client sends, it gets through
            await super()._forward(connection, reader, writer)
            return
        mischief, loop = self._mischief, asyncio.get_running_loop()
        waiting, latest = bytearray(), 0.0
        while chunk := await reader.read(_CHUNK):
            waiting += chunk
            for reply in _replies(waiting):
                if not reply.startswith(_MESSAGE):
                    _deliver(writer, reply)
                    continue
                delays = mischief.fate()
                self.messages += 1
                self.harmed += tuple(delays) != (0,)
                for delay in delays:
                    latest = max(latest, loop.time() + delay) if mischief.in_order else loop.time() + delay
                    loop.call_at(latest, _deliver, writer, reply)
            await writer.drain()


def _deliver(writer: asyncio.StreamWriter, reply: bytes) -> None:
    if not writer.is_closing():
        writer.write(reply)


def _replies(waiting: bytearray) -> Sequence[bytes]:
    """Take the replies that are complete."""
    replies, start = [], 0
    while (end := _end(waiting, start)) is not None:
        replies.append(bytes(waiting[start:end]))
        start = end
    del waiting[:start]
    return replies


def _end(waiting: bytearray, start: int) -> int | None:
    """Return where the reply that begins at `start` ends, or None if the rest of it is still to come."""
    line = waiting.find(b"\r\n", start)
    if line < 0:
        return None
    kind, end = waiting[start], line + 2
    if kind == ord("$"):
        size = int(waiting[start + 1 : line])
        end += size + 2 if size >= 0 else 0
    elif kind == ord("*"):
        for _ in range(int(waiting[start + 1 : line])):
            inner = _end(waiting, end)
            if inner is None:
                return None
            end = inner
    return end if end <= len(waiting) else None
