"""The provider `local`: pictures, maps, music, films and lore sheets, made by this machine's processors."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from services.catalog import LOCAL, ProviderSpec
from worker.providers.protocol import Content, Order, Progress
from worker.providers.workshops import Workshops

_CHUNK: Final = 64 * 1024


class LocalProvider:
    """Works in processes of its own: one a processor, so that a few jobs finish soon.

    Args:
        memory_mib: what one job may allocate.
    """

    def __init__(self, *, memory_mib: int) -> None:
        self._workshops = Workshops(memory_mib=memory_mib)

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""
        return LOCAL

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Make a picture, a map, a piece of music, a film or a lore sheet."""
        with tempfile.TemporaryDirectory(prefix="lorekeeper-") as folder:
            path = Path(folder) / "asset"
            made = await self._workshops.make(order.asset_type, order.prompt_spec, path, progress)
            # It has no name any more: it is gone when it is closed, whatever happens.
            file = await asyncio.to_thread(path.open, "rb")
        duration = made.metadata.get("duration_seconds")
        return Content(made.format, made.content_type, _chunks(file), made.metadata, duration)

    async def close(self) -> None:
        """End the processes."""
        await self._workshops.close()


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
