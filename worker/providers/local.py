"""The provider `local`: pictures without any service, painted on this machine's processors."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.catalog import LOCAL, ProviderSpec
from worker.providers.landscape import LandscapeSpec, render_png
from worker.providers.protocol import Content, Order, Progress

_CHUNK: Final = 64 * 1024


class _Stopped(Exception):
    """The painting was stopped from outside."""


class LocalProvider:
    """Paints landscapes in threads, off the event loop: one a processor, so that a few finish soon."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="painter")

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""
        return LOCAL

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Paint a picture."""
        wanted = order.prompt_spec
        spec = LandscapeSpec(
            description=wanted["description"],
            width=wanted.get("width", 1024),
            height=wanted.get("height", 640),
            seed=wanted.get("seed"),
        )
        stopped = threading.Event()

        def report(fraction: float, message: str) -> None:
            if stopped.is_set():
                raise _Stopped
            progress(fraction, message)

        painting = asyncio.get_running_loop().run_in_executor(self._threads, render_png, spec, report)
        try:
            png, metadata = await painting
        except asyncio.CancelledError:
            # A thread cannot be cancelled: it stops at its next report.
            stopped.set()
            raise
        return Content("png", "image/png", _chunks(png), metadata)


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
