"""A program of ours kept running as a child process: started again when it ends, stopped in its own time."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from services.backoff import delay
from services.local_home import LocalStackFailed
from services.local_process import Child, Command

ROOT: Final = Path(__file__).resolve().parents[1]
_BASE: Final = timedelta(milliseconds=500)
_MOST: Final = timedelta(seconds=10)

log = structlog.get_logger(__name__)


@asynccontextmanager
async def kept_running(*arguments: str, grace: timedelta) -> AsyncIterator[None]:
    """Keep `python ARGUMENTS` running inside the block, in our environment, writing where we write.

    Args:
        arguments: what comes after the name of the interpreter.
        grace: how long it may take to end after SIGTERM at the end of the block, before it is killed.
    """
    command = Command(
        (sys.executable, *arguments),
        ROOT,
        # Its services die with us: alone it could only wait for them.
        orphan_signal=signal.SIGKILL,
        environment=tuple(os.environ.items()),
    )
    keeping = asyncio.create_task(_keep(command, grace))
    try:
        yield
    finally:
        keeping.cancel()
        # Shielded by being awaited to its end: a second cancellation would kill what is just finishing its work.
        while not keeping.done():
            try:
                await asyncio.wait((keeping,))
            except asyncio.CancelledError:
                log.warning("program.still_stopping", program=" ".join(arguments))


async def _keep(command: Command, grace: timedelta) -> None:
    failures = 0
    while True:
        try:
            child = Child(command, sys.stderr.fileno())
        except LocalStackFailed as error:
            log.exception("program.not_started", error=str(error))
        else:
            try:
                status = await child.wait()
            except asyncio.CancelledError:
                await child.stop(grace)
                raise
            log.error("program.ended", program=" ".join(command.argv[1:]), status=status)
        failures += 1
        await asyncio.sleep(delay(failures, base=_BASE, most=_MOST).total_seconds())
