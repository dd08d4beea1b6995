"""Renders of external services: asked for once, kept, and followed until they end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

import structlog

from services.errors import GenerationError, PassingError, PermanentError
from worker.providers.protocol import Order, Progress
from worker.providers.refusals import RenderNotFound

_LONGEST_WAIT: Final = timedelta(seconds=10)
_SLOWER: Final = 1.5
_MOST_FAILURES: Final = 5
"""Looks that may fail one after the other before the attempt does. The render goes on meanwhile."""
_LAST_WORDS: Final = timedelta(seconds=5)
MOST_BYTES: Final = 2 * 1024**3
"""Of one asset: what is larger is no asset of ours, and would fill the disk."""

log = structlog.get_logger(__name__)


class Stage(StrEnum):
    """How far a render is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """What a service says of a render.

    Attributes:
        stage: how far it is.
        state: in the service's own word.
        fraction: of it that is done, 0 to 1, where the service tells.
        result: what it made, in the service's form.
        error: why it failed.
    """

    stage: Stage
    state: str
    fraction: float | None = None
    result: Any = None
    error: GenerationError | None = None


class RenderService(Protocol):
    """A service that is asked for something, and then how far it is."""

    name: str

    async def begin(self, order: Order) -> str:
        """Ask for a render, once; returns the service's id of it."""

    async def look(self, handle: str) -> Look:
        """Ask how far a render is.

        Raises:
            RenderNotFound: the service does not know it (any more).
        """

    async def cancel(self, handle: str) -> None:
        """Say that nobody waits for a render any more."""


async def render(order: Order, progress: Progress, service: RenderService, wait: timedelta) -> tuple[str, Any]:
    """Ask for a render, or go on with the one that an earlier attempt has asked for, until it is done.

    One that the service has begun, but whose id was lost on the way, is begun again by the next attempt: the
    services take no key by which they would know it.

    Args:
        order: what is wanted.
        progress: where to report.
        service: whom to ask.
        wait: before the second look; the waits grow from there.

    Returns:
        The service's id of it, and its result.

    Raises:
        PassingError: it failed, or the service does not tell how it is.
        PermanentError: it will not be made.
    """
    handle = order.handle or await _begin(order, service)
    log.info("render.followed", service=service.name, job_id=str(order.job_id), handle=handle)
    async with still_there(order, service.name), aclosing(_looks(service, handle, wait)) as looks:
        async for found in looks:
            if found.stage is Stage.DONE:
                return handle, found.result
            if found.stage is Stage.FAILED:
                await order.keep(None)
                raise found.error or PassingError("RENDER_FAILED", f"{service.name} could not make this.")
            if found.stage is Stage.UNKNOWN:
                # It is kept: the job ends, and what the handle stands for is cancelled then.
                raise PermanentError("PROVIDER_UNKNOWN_STATE", f"{service.name} says {found.state[:50]!r}.")
            if found.fraction is not None:
                progress(found.fraction, found.state)
    raise AssertionError("looks have no end")


async def _begin(order: Order, service: RenderService) -> str:
    """Ask for a render and keep it; what cannot be kept is cancelled, for nobody would find it again."""
    handle = await service.begin(order)
    try:
        await order.keep(handle)
    except BaseException:
        with suppress(GenerationError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS.total_seconds()):
                await service.cancel(handle)
        raise
    return handle


async def _looks(service: RenderService, handle: str, wait: timedelta) -> AsyncGenerator[Look, None]:
    """Look again and again, ever less often."""
    failures = 0
    while True:
        pause = wait
        try:
            found = await service.look(handle)
        except PassingError as error:
            failures += 1
            if failures >= _MOST_FAILURES:
                raise
            pause = max(wait, min(error.retry_after, _LONGEST_WAIT))
        else:
            failures = 0
            yield found
        await asyncio.sleep(pause.total_seconds())
        wait = min(wait * _SLOWER, _LONGEST_WAIT)


@asynccontextmanager
async def still_there(order: Order, service: str) -> AsyncIterator[None]:
    """Let the next attempt begin anew where the service does not know the render that the block asks about.

    Raises:
        PassingError: it does not.
    """
    try:
        yield
    except RenderNotFound:
        await order.keep(None)
        raise PassingError("RENDER_EXPIRED", f"{service} does not know the render any more.") from None


async def bounded(chunks: AsyncIterator[bytes], service: str) -> AsyncIterator[bytes]:
    """Yield a download; one that is larger than any asset ends in an error."""
    left = MOST_BYTES
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise PermanentError("ASSET_TOO_LARGE", f"{service} made more than {MOST_BYTES} bytes.")
        yield chunk
