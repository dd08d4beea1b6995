"""A pool of workshops: processes that make assets, each bounded in memory, and killed when its run is stopped.

A pool of the standard library cannot stop a call that runs, and one process that dies breaks all of it. What draws
and plays is imported there alone: a worker starts sooner and takes less memory.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from services.errors import PassingError, PermanentError
from services.models import AssetType, JsonObject
from worker.providers.protocol import Progress

_ROOT: Final = Path(__file__).resolve().parents[2]
_LONGEST: Final = 1024 * 1024
"""Bytes of an answer at the most: metadata, or a traceback."""
_KEPT: Final = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")
"""What a workshop sees of our environment: no key and no address."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a workshop tells of the file that it has written; the fields are those of `Content`."""

    format: str
    content_type: str
    metadata: JsonObject


class Workshops:
    """As many workshops as there are processors, started when they are needed.

    Args:
        memory_mib: what each may allocate; an order that takes more is refused.
        most: how many there are at the most.
    """

    def __init__(self, *, memory_mib: int, most: int | None = None) -> None:
        self._memory_mib = memory_mib
        self._free = asyncio.Semaphore(most or os.cpu_count() or 1)
        self._idle: list[_Workshop] = []

    async def make(self, asset_type: AssetType, prompt: Mapping[str, Any], path: Path, progress: Progress) -> Made:
        """Make an asset in a file.

        Raises:
            PassingError, PermanentError: what the making ended with.
            RuntimeError: it failed in a way that nobody expected; the message is the traceback.
        """
        async with self._lent() as workshop:
            return await workshop.make(asset_type, prompt, path, progress)

    async def close(self) -> None:
        """End every process."""
        while self._idle:
            await self._idle.pop().end()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator["_Workshop"]:
        async with self._free:
            workshop = self._idle.pop() if self._idle else await _Workshop.open(self._memory_mib)
            try:
                yield workshop
            finally:
                if workshop.is_at_rest:
                    self._idle.append(workshop)
                else:
                    await workshop.end()


class _Workshop:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._orders = process.stdin
        self._answers = process.stdout
        self.is_at_rest = True
        """Whether it has answered all that it was asked, and can be asked again."""

    @classmethod
    async def open(cls, memory_mib: int) -> Self:
        """Start one."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "worker.providers.workshop", str(memory_mib)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment | {"PYTHONPATH": str(_ROOT)},
                limit=_LONGEST,
                # A group of its own: Ctrl-C is for the worker, and what encodes films ends with the process.
                start_new_session=True,
            )
        )

    async def make(self, asset_type: AssetType, prompt: Mapping[str, Any], path: Path, progress: Progress) -> Made:
        """Make one asset; whoever stops this before its end must end the process."""
        self.is_at_rest = False
        order = {"asset_type": asset_type, "prompt": prompt, "path": str(path)}
        with suppress(ConnectionError):  # its answer, which does not come, says so too
            self._orders.write(json.dumps(order).encode() + b"\n")
            await self._orders.drain()
        while line := await self._answers.readline():
            answer = json.loads(line)
            if "fraction" in answer:
                progress(answer["fraction"], answer["stage"])
                continue
            self.is_at_rest = True
            if "made" in answer:
                return Made(**answer["made"])
            if "refused" in answer:
                refusal = answer["refused"]
                error = PassingError if refusal["retryable"] else PermanentError
                raise error(refusal["code"], refusal["message"])
            raise RuntimeError(answer["failed"])
        raise PassingError("PROCESS_DIED", "The process that was making the asset ended.")

    async def end(self) -> None:
        """Kill it, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # To its end even where the caller is cancelled again: nothing is left running.
        await asyncio.shield(self._process.wait())
