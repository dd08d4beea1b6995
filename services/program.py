"""How a program of ours begins and ends: settings, logs, an event loop, one line and an exit code."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvloop

from services.errors import ConfigurationError, LorekeeperError
from services.logs import configure_logs
from services.settings import Settings, load_settings

Program = Callable[[Settings], Coroutine[Any, Any, None]]


def run_program(name: str, program: Program) -> int:
    """Run a program to its end; returns its exit code.

    0 is a good end, 2 a setting that cannot work, 1 whatever else was foreseen. Only what was not foreseen leaves
    as an exception, with its traceback.
    """
    try:
        settings = load_settings()
        configure_logs(settings)
        uvloop.run(program(settings))
    except LorekeeperError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


@contextmanager
def told_to_end(leave: Callable[[], None], *, server: type) -> Iterator[None]:
    """Call `leave` when a server that handles the signals itself is told to end.

    Such a server waits for responses that never end, and tells the application when all is over. Only handlers
    that are methods of `server` are wrapped; where there are none, somebody else knows when to leave.
    """
    handlers: dict[int, Any] = {}
    loop = asyncio.get_running_loop()
    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        handler = signal.getsignal(number)
        if isinstance(getattr(handler, "__self__", None), server):
            handlers[number] = handler

    def end(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(leave)
        handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
