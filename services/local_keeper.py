"""Keeps one embedded service running: starts it, waits until it answers, and starts it again when it dies."""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from services.local_home import Endpoint, LocalHome, LocalStackFailed, Part
from services.local_parts import LocalPart, NotReady
from services.local_process import Child, Command, stop_leftovers

_log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 5
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 5.0
# One that died sooner than this after its start counts as an attempt that failed.
_LASTING_S: Final = 1.0
# PostgreSQL may have to replay its log first.
_START_DEADLINE_S: Final = 60.0
# Between two questions whether it answers: short at first, then sparing its log, where each leaves a line.
_PROBE_INTERVAL_S: Final = 0.01
_PROBE_INTERVAL_GROWTH: Final = 1.2
_LONGEST_PROBE_INTERVAL_S: Final = 0.25
_STOP_GRACE: Final = timedelta(seconds=10)
_LEFTOVER_GRACE: Final = timedelta(seconds=5)


class Keeper:
    """One part and the process that is it at the moment."""

    def __init__(self, part: LocalPart, home: LocalHome) -> None:
        self._part = part
        self._home = home
        self._child: Child | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def part(self) -> Part:
        """Which service this is."""
        return self._part.part

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, and the process that did last."""
        if self._child is None:
            raise RuntimeError(f"{self.part} was never started")
        return Endpoint(self._part.url, self._child.pid)

    async def start(self) -> None:
        """Start it, with what a former life left behind stopped before.

        Raises:
            LocalStackFailed: it did not answer after several attempts.
        """
        await self._clear()
        self._part.choose_port()
        for failures in range(1, _ATTEMPTS):
            try:
                return await self._attempt()
            except LocalStackFailed as error:
                _log.info("embedded service did not start", part=self.part, failures=failures, error=str(error))
            await asyncio.sleep(_delay_s(failures))
            await self._clear()
            # Somebody else may have taken it in the meantime. From the first success on the port stays.
            self._part.choose_port()
        return await self._attempt()

    def keep(self, on_restart: Callable[[], None]) -> None:
        """Start it again whenever it dies, from now until `stop`; told after each new start."""
        self._keeping = asyncio.create_task(self._keep(on_restart), name=f"keep-{self.part}")

    async def stop(self) -> None:
        """Stop it, with a grace for writing its data."""
        try:
            if self._keeping is not None:
                self._keeping.cancel()
                await asyncio.gather(self._keeping, return_exceptions=True)
        finally:
            if self._child is not None:
                await self._child.stop(_STOP_GRACE)

    async def _keep(self, on_restart: Callable[[], None]) -> None:
        failures = 0
        while self._child is not None:
            began = time.monotonic()
            status = await self._child.wait()
            _log.warning("embedded service died", part=self.part, pid=self._child.pid, status=status)
            failures = 0 if time.monotonic() - began > _LASTING_S else failures + 1
            while not await self._start_again(failures):
                failures += 1
            try:
                on_restart()
            except OSError as error:
                _log.error("restart could not be published", part=self.part, error=str(error))

    async def _start_again(self, failures: int) -> bool:
        await asyncio.sleep(_delay_s(failures))
        try:
            await self._clear()
            await self._attempt()
        except Exception as error:  # noqa: BLE001 - a full disk, a bug: the part is still wanted and may come back
            tell = _log.error if failures % _ATTEMPTS == _ATTEMPTS - 1 else _log.info
            tell("embedded service does not start", part=self.part, failures=failures + 1, error=str(error))
            return False
        return True

    async def _attempt(self) -> None:
        began = time.monotonic()
        child: Child | None = None
        try:
            async with asyncio.timeout(_START_DEADLINE_S):
                child = self._spawn(await self._part.prepare())
                interval_s = _PROBE_INTERVAL_S
                while not await self._answers():
                    self._require_alive(child)
                    await asyncio.sleep(interval_s)
                    interval_s = min(interval_s * _PROBE_INTERVAL_GROWTH, _LONGEST_PROBE_INTERVAL_S)
                self._require_alive(child)  # otherwise it was somebody else who answered
        except BaseException as error:
            if child is not None:
                await child.stop(_STOP_GRACE)
            if isinstance(error, TimeoutError):
                raise self._failed(f"did not answer within {_START_DEADLINE_S:.0f} s") from error
            raise
        self._child = child
        _log.info(
            "embedded service started",
            part=self.part,
            pid=child.pid,
            took_ms=round((time.monotonic() - began) * 1000),
        )

    def _spawn(self, command: Command) -> Child:
        log = self._home.open_log(self.part)
        try:
            return Child(command, log)
        finally:
            os.close(log)

    async def _answers(self) -> bool:
        try:
            await self._part.probe()
        except NotReady:
            return False
        return True

    def _require_alive(self, child: Child) -> None:
        if child.has_ended:
            raise self._failed("ended while it started")

    def _failed(self, what: str) -> LocalStackFailed:
        return LocalStackFailed(
            f"the embedded {self.part} {what}; its log ends with:\n{self._home.log_tail(self.part)}"
        )

    async def _clear(self) -> None:
        found = await stop_leftovers(self._part.owns, self._part.leftover_signal, _LEFTOVER_GRACE)
        if found:
            _log.info("processes of an earlier run stopped", part=self.part, processes=found)


def _delay_s(failures: int) -> float:
    return min(_FIRST_DELAY_S * 2 ** (failures - 1), _LONGEST_DELAY_S) if failures else 0.0
