"""Background loops that never stay dead: each is restarted after a delay, and shown by the health check."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

import structlog

from services.backoff import delay
from services.errors import Unavailable

_BASE: Final = timedelta(milliseconds=200)
_MOST: Final = timedelta(seconds=10)
_HEALTHY_AFTER: Final = timedelta(seconds=30)
"""A loop that ran this long is well again: its next failure starts with the shortest delay."""

_CANCEL_AGAIN_S: Final = 0.5

log = structlog.get_logger(__name__)


@dataclass
class LoopState:
    """How a supervised loop is doing."""

    running: bool = False
    restarts: int = 0
    last_error: str | None = None


def is_cancelled() -> bool:
    """Whether somebody cancels the task that runs this; else a CancelledError comes from what it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class Supervisor(AbstractAsyncContextManager["Supervisor"]):
    """Runs loops until the block ends, whatever happens to them."""

    def __init__(self) -> None:
        self._states: dict[str, LoopState] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def states(self) -> Mapping[str, LoopState]:
        """Each loop's state, by name."""
        return self._states

    def start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Keep a loop running; one that returns is restarted as well."""
        state = self._states[name] = LoopState()
        self._tasks.append(asyncio.create_task(self._keep(name, loop, state), name=name))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            # Once is not always enough: wait_for of Python 3.11, by which redis-py sends, can swallow one.
            _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)

    async def _keep(self, name: str, loop: Callable[[], Awaitable[None]], state: LoopState) -> None:
        failures = 0
        while True:
            started_at = datetime.now(UTC)
            state.running = True
            try:
                await loop()
                state.last_error = "returned"
            except asyncio.CancelledError as error:
                if is_cancelled():
                    raise
                # Nobody cancels us: the loop waited for something that was cancelled.
                state.last_error = type(error).__name__
                log.exception("loop.failed", loop=name)
            except Unavailable as error:
                state.last_error = str(error)
                log.warning("loop.unavailable", loop=name, error=str(error), cause=repr(error.__cause__))
            except Exception as error:
                state.last_error = type(error).__name__
                log.exception("loop.failed", loop=name)
            state.running = False
            state.restarts += 1
            failures = 1 if datetime.now(UTC) - started_at > _HEALTHY_AFTER else failures + 1
            await asyncio.sleep(delay(failures, base=_BASE, most=_MOST).total_seconds())
