"""The progress of one run: kept for the heartbeat, published a few times a second at the most."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from services.events import Publisher
from services.models import JobRecord
from services.updates import JobUpdate, UpdateKind

_INTERVAL: Final = timedelta(milliseconds=250)


class RunProgress:
    """Takes reports from any thread; the latest of an interval is published at its end."""

    def __init__(self, job: JobRecord, publisher: Publisher) -> None:
        self._job = job
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fresh = False
        self._closed = False

    @property
    def fraction(self) -> float | None:
        """The latest report, 0.0 to 1.0."""
        return self._job.progress

    @property
    def message(self) -> str | None:
        """What was being done then."""
        return self._job.progress_message

    def __call__(self, fraction: float, message: str | None = None) -> None:
        """Report a fraction from 0.0 to 1.0, and what is being done."""
        self._loop.call_soon_threadsafe(self._take, round(min(max(fraction, 0.0), 1.0), 4), message)

    def close(self) -> None:
        """Publish nothing more: the run is over."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, fraction: float, message: str | None) -> None:
        if self._closed:
            return
        self._job = self._job.model_copy(update={"progress": fraction, "progress_message": message})
        self._fresh = True
        if self._timer is None:
            self._publish()

    def _publish(self) -> None:
        self._timer = None
        if not self._fresh or self._closed:
            return
        self._fresh = False
        update = JobUpdate.of_state(UpdateKind.PROGRESS, self._job, datetime.now(UTC))
        self._publisher.publish([update])
        self._timer = self._loop.call_later(_INTERVAL.total_seconds(), self._publish)
