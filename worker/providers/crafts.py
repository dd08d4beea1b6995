"""How each type of asset is made on this machine: from a promptSpec to a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.models import AssetType, JsonObject
from worker.providers.landscape import LandscapeSpec, render_png
from worker.providers.map import MapSpec, draw_map
from worker.providers.music import MusicSpec, play
from worker.providers.sheet import SheetSpec, typeset
from worker.providers.video import VideoSpec, shoot

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Craft:
    """How to make one type of asset.

    Attributes:
        format: of what is made.
        content_type: likewise.
        make: writes to a file what a promptSpec asks for, and returns the metadata.
    """

    format: str
    content_type: str
    make: Callable[[Mapping[str, Any], Path, Report], JsonObject]


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


CRAFTS: Final[Mapping[AssetType, Craft]] = {
    AssetType.IMAGE: Craft("png", "image/png", _paint),
    AssetType.MAP: Craft("png", "image/png", _draw),
    AssetType.AUDIO: Craft("wav", "audio/wav", _play),
    AssetType.VIDEO: Craft("mp4", "video/mp4", _film),
    AssetType.PDF: Craft("pdf", "application/pdf", _typeset),
}
