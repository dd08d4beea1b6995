"""The provider `simulator`: a run that behaves as told, for load, fault and demonstration runs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from services.catalog import SIMULATOR, ProviderSpec
from services.errors import PassingError, PermanentError
from worker.providers.protocol import Content, Order, Progress

_CHUNK: Final = bytes(range(256)) * 256


class SimulatorProvider:
    """Takes the time, reports the steps, fails the attempts and returns the bytes that promptSpec asks for."""

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""
        return SIMULATOR

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Do what the promptSpec says."""
        wanted = order.prompt_spec
        duration_s = wanted.get("duration_ms", 0) / 1000
        steps = wanted.get("steps", 0)
        for step in range(1, steps + 1):
            await asyncio.sleep(duration_s / steps)
            progress(step / steps, f"step {step} of {steps}")
        if not steps and duration_s:
            await asyncio.sleep(duration_s)
        if order.attempt <= wanted.get("fail_attempts", 0):
            error = PermanentError if wanted.get("permanent", False) else PassingError
            raise error(wanted.get("error_code", "SIMULATED"), f"Attempt {order.attempt} was told to fail.")
        size = wanted.get("size_bytes", 64)
        return Content("bin", "application/octet-stream", _pattern(size), {"simulated": True})


async def _pattern(size: int) -> AsyncIterator[bytes]:
    while size > 0:
        chunk = _CHUNK[:size]
        size -= len(chunk)
        yield chunk
