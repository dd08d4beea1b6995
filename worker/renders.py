"""What becomes of a render when its job has ended: the service is told that nobody waits, and it is forgotten."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from services.database import Database
from services.errors import PassingError, PermanentError
from services.lifecycle import JobStatus
from services.renders import EndedRender, ended_renders, forget
from services.updates import StreamItem
from worker.providers.protocol import Cancellable, Provider

_MOST: Final = 50
_PATIENCE: Final = timedelta(days=1)
"""How long a service is asked to cancel something."""
_DEADLINE: Final = timedelta(seconds=30)
"""For one cancellation."""

log = structlog.get_logger(__name__)


class RenderSweep:
    """Any worker's share: to cancel twice does no harm. `run` must be kept running.

    It listens to the channel on which workers hear of cancellations.
    """

    def __init__(self, database: Database, providers: Mapping[str, Provider], *, interval: timedelta) -> None:
        self._database = database
        self._providers = {name: each for name, each in providers.items() if isinstance(each, Cancellable)}
        self._interval = interval
        self._rung = asyncio.Event()

    def push(self, _item: StreamItem) -> None:
        """Hear that a job was cancelled."""
        self._rung.set()

    def poke(self) -> None:
        """Hear that a cancellation may have been missed: the next round finds it."""

    async def run(self) -> None:
        """Do a round whenever a job was cancelled, and at each interval.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        while True:
            await self.round()
            try:
                async with asyncio.timeout(self._interval.total_seconds()):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()

    async def round(self) -> None:
        """Cancel and forget the renders of jobs that have ended."""
        async with self._database.connect() as connection:
            ended = await ended_renders(connection, [*self._providers], patience=_PATIENCE, most=_MOST)
        done = await asyncio.gather(*(self._is_done_with(render) for render in ended))
        over = [render for render, is_over in zip(ended, done, strict=True) if is_over]
        if over:
            async with self._database.connect() as connection:
                await forget(connection, over)

    async def _is_done_with(self, render: EndedRender) -> bool:
        """Cancel a render that nobody waits for; returns whether there is nothing left to do for it."""
        provider = self._providers.get(render.provider)
        if provider is None or render.status is JobStatus.SUCCEEDED:
            return True
        too_late = render.ended_s > _PATIENCE.total_seconds()
        told = {"job_id": str(render.job_id), "provider": render.provider, "handle": render.handle}
        try:
            async with asyncio.timeout(_DEADLINE.total_seconds()):
                await provider.cancel(render.handle)
        except (PassingError, TimeoutError) as error:
            log.warning("render.not_cancelled", error=str(error), gives_up=too_late, **told)
            return too_late
        except PermanentError as error:
            log.warning("render.not_cancelled", error=str(error), gives_up=True, **told)
            return True
        log.info("render.cancelled", **told)
        return True
