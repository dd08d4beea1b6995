"""The clients that are connected to a stream: how many each caller has, and which of them do not read."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, Final, Protocol

from starlette.types import Receive

from services.errors import TooManyConnections

_TICK: Final = timedelta(seconds=1)
PING_EVERY: Final = timedelta(seconds=15)
"""How often a WebSocket is sent a ping: proxies take a silent connection for a dead one."""
_MANY_LEFT: Final = 500
"""So many connections that have ended are worth a garbage collection."""


class Client(Protocol):
    """One connection."""

    @property
    def blocked_since(self) -> float | None:
        """Since when, by the monotonic clock, what is sent to it has been waiting; None while nothing is."""

    def ping(self) -> None:
        """Show the client that the server is there. Must not wait."""

    def drop(self) -> None:
        """Begin to close the connection of a client that does not read."""

    def leave(self) -> None:
        """Begin to close the connection so that the client resumes elsewhere."""


class Clients:
    """All connected clients of a process. `run` must be kept running.

    Args:
        most_a_caller: connections that one caller may have at once.
        idle: how long a client may let what is sent to it wait.
    """

    def __init__(self, *, most_a_caller: int, idle: timedelta) -> None:
        self._most_a_caller = most_a_caller
        self._idle = idle
        self._callers: Counter[str] = Counter()
        self._clients: dict[Client, float] = {}
        self._left = 0
        """Connections that have ended since what they left was collected."""
        self._leaving = False

    def admitted(self, caller: str) -> "Admission":
        """Count a connection of a caller inside the block.

        Raises:
            TooManyConnections: the caller has as many as it may.
        """
        admission = Admission(self._callers, self._most_a_caller)
        admission.give(caller)
        return admission

    def watched(self, client: Client) -> AbstractContextManager[None]:
        """Look after a client inside the block."""
        self._clients[client] = monotonic()
        if self._leaving:
            client.leave()
        return _Block(partial(self._forget, client))

    def _forget(self, client: Client) -> None:
        self._clients.pop(client, None)
        self._left += 1

    def leave(self) -> None:
        """Let every client resume elsewhere, and whoever still comes: this process ends."""
        self._leaving = True
        for client in tuple(self._clients):
            client.leave()

    async def run(self) -> None:
        """Ping the clients, drop those that do not read, and free the memory of those that have left, for ever."""
        while True:
            await asyncio.sleep(_TICK.total_seconds())
            # The protocols of servers refer to each other in circles, and the collector comes only after millions
            # of new objects. It takes as long as there are open ones: as many must have left, so that it pays.
            if self._left > max(_MANY_LEFT, len(self._clients)):
                self._left = 0
                gc.collect()
            now = monotonic()
            for client, pinged_at in tuple(self._clients.items()):
                blocked_since = client.blocked_since
                if blocked_since is not None:
                    if now - blocked_since > self._idle.total_seconds():
                        del self._clients[client]
                        client.drop()
                elif now - pinged_at >= PING_EVERY.total_seconds():
                    self._clients[client] = now
                    client.ping()


class Admission(AbstractContextManager["Admission"]):
    """One connection as it counts for a caller, who may say only later who it is, until the end of its block."""

    __slots__ = ("_caller", "_callers", "_most")

    def __init__(self, callers: Counter[str], most: int) -> None:
        self._callers = callers
        self._most = most
        self._caller: str | None = None

    def give(self, caller: str) -> None:
        """Count the connection for this caller from here on.

        Raises:
            TooManyConnections: the caller has as many as it may.
        """
        if self._callers[caller] >= self._most:
            raise TooManyConnections("Too many connections at once.")
        self.take_back()
        self._caller = caller
        self._callers[caller] += 1

    def take_back(self) -> None:
        """Count the connection no longer."""
        if self._caller is not None:
            self._callers[self._caller] -= 1
            if not self._callers[self._caller]:
                del self._callers[self._caller]
            self._caller = None

    def __exit__(self, *_: object) -> None:
        self.take_back()


def at(instant: datetime | None, act: Callable[[], None]) -> asyncio.TimerHandle | None:
    """Act at an instant, unless the returned handle is cancelled; never, where there is no such instant."""
    if instant is None:
        return None
    return asyncio.get_running_loop().call_later((instant - datetime.now(UTC)).total_seconds(), act)


class _Block(AbstractContextManager[None]):
    """A block that has begun. Thousands are open at once: a generator of `contextmanager` would take far more."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end

    def __exit__(self, *_: object) -> None:
        self._end()


class Sending:
    """Whether what is sent to a client goes out."""

    __slots__ = ("_under_way", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self._under_way = 0

    def __enter__(self) -> None:
        self._under_way += 1
        if self.since is None:
            self.since = monotonic()

    def __exit__(self, *_: object) -> None:
        self._under_way -= 1
        # One that went out shows that the client reads, whatever still waits.
        self.since = monotonic() if self._under_way else None


def abort(receive: Receive) -> bool:
    """Cut a connection at once, with what waits to be sent; returns whether it could be done.

    ASGI has no word for it: closing waits until the client has read everything, and this one does not read. The
    servers that we know (uvicorn's) give applications a method of an object that has the transport.
    """
    transport: Any = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
    return transport is not None
