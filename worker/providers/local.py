"""The provider `local`: pictures, maps, music, films and lore sheets, made by this machine's processors."""

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from services.catalog import LOCAL, ProviderSpec
from services.models import AssetType, JsonObject
from worker.providers.landscape import LandscapeSpec, render_png
from worker.providers.map import MapSpec, draw_map
from worker.providers.music import MusicSpec, play
from worker.providers.protocol import Content, Order, Progress
from worker.providers.sheet import SheetSpec, typeset
from worker.providers.video import VideoSpec, shoot

_CHUNK: Final = 64 * 1024

Report = Callable[[float, str], None]


class _Stopped(Exception):
    """The work was stopped from outside."""


@dataclass(frozen=True, slots=True)
class _Craft:
    """How to make one type of asset.

    Attributes:
        format: of what is made.
        content_type: likewise.
        make: writes to a file what a promptSpec asks for, and returns the metadata.
    """

    format: str
    content_type: str
    make: Callable[[Mapping[str, Any], Path, Report], JsonObject]


class LocalProvider:
    """Works in threads, off the event loop: one a processor, so that a few jobs finish soon."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="local")

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""
        return LOCAL

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Make a picture, a map, a piece of music, a film or a lore sheet."""
        craft = _CRAFTS[order.asset_type]
        stopped = threading.Event()

        def report(fraction: float, message: str) -> None:
            if stopped.is_set():
                raise _Stopped
            progress(fraction, message)

        loop = asyncio.get_running_loop()
        try:
            file, metadata = await loop.run_in_executor(self._threads, _made, craft, order.prompt_spec, report)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: it stops at its next report.
            stopped.set()
            raise
        return Content(craft.format, craft.content_type, _chunks(file), metadata, metadata.get("duration_seconds"))


def _made(craft: _Craft, wanted: Mapping[str, Any], report: Report) -> tuple[IO[bytes], JsonObject]:
    """Make an asset in a file that has no name any more: it is gone when it is closed, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="lorekeeper-") as folder:
        path = Path(folder) / f"asset.{craft.format}"
        metadata = craft.make(wanted, path, report)
        return path.open("rb"), metadata


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk


def _paint(wanted: Mapping[str, Any], path: Path, report: Report) -> JsonObject:
    png, metadata = render_png(LandscapeSpec(**wanted), report)
    path.write_bytes(png)
    return metadata


def _draw(wanted: Mapping[str, Any], path: Path, report: Report) -> JsonObject:
    png, metadata = draw_map(MapSpec(**wanted), report)
    path.write_bytes(png)
    return metadata


def _play(wanted: Mapping[str, Any], path: Path, report: Report) -> JsonObject:
    return play(MusicSpec(**wanted), path, report)


def _film(wanted: Mapping[str, Any], path: Path, report: Report) -> JsonObject:
    return shoot(VideoSpec(**wanted), path, report)


def _typeset(wanted: Mapping[str, Any], path: Path, report: Report) -> JsonObject:
    picture = wanted.get("picture", {"kind": "none"})
    shown = picture["kind"] == "landscape"
    spec = SheetSpec(
        **{name: value for name, value in wanted.items() if name not in {"picture", "facts"}},
        facts=tuple((fact["name"], fact["value"]) for fact in wanted.get("facts", ())),
        picture=picture["description"] if shown else None,
        seed=picture.get("seed") if shown else None,
    )
    return typeset(spec, path, report)


_CRAFTS: Final[Mapping[AssetType, _Craft]] = {
    AssetType.IMAGE: _Craft("png", "image/png", _paint),
    AssetType.MAP: _Craft("png", "image/png", _draw),
    AssetType.AUDIO: _Craft("wav", "audio/wav", _play),
    AssetType.VIDEO: _Craft("mp4", "video/mp4", _film),
    AssetType.PDF: _Craft("pdf", "application/pdf", _typeset),
}
