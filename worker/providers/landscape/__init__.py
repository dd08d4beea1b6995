"""Owns the painting of landscapes: from a sentence to a picture, offline and always the same.

A height map is raised from fractal noise, looked at in perspective, lit, hazed and reflected in its water
under a sky of the asked-for hour; the modules of this package each own one of these.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from worker.providers.landscape.develop import bloom, develop, encode_png
from worker.providers.landscape.foreground import frame
from worker.providers.landscape.ground import Ground, lay_ground
from worker.providers.landscape.noise import Dice, Field, smoothstep
from worker.providers.landscape.palette import choose_light
from worker.providers.landscape.perspective import open_view
from worker.providers.landscape.setting import Setting
from worker.providers.landscape.sky import Sky, haze_of
from worker.providers.landscape.skylands import hang_islands
from worker.providers.landscape.structures import build
from worker.providers.landscape.terrain import build_terrain
from worker.providers.landscape.vocabulary import canonical, read_scene
from worker.providers.landscape.water import fill_water
from worker.providers.landscape.weather import fall, strike

__all__ = ["HORIZON", "LandscapeSpec", "Reporter", "compose", "map_size", "paint", "render_png"]

Reporter = Callable[[float, str], None]

SMALLEST: Final = 64
LARGEST: Final = 2048
# Longest side of a picture → side of the height map that is fine enough for it.
_MAPS: Final = ((192, 256), (640, 512), (LARGEST, 1024))
# Near the golden section, seen from the top.
HORIZON: Final = 0.6


@dataclass(frozen=True)
class LandscapeSpec:
    """What to paint.

    Attributes:
        description: a sentence; its words choose what is seen, all of it chooses the shapes.
        width, height: of the picture, 64 to 2048 pixels.
        seed: for another picture of the same description; None takes one from the description.

    Raises:
        ValueError: a side is out of range.
    """

    description: str
    width: int = 1024
    height: int = 640
    seed: int | None = None

    def __post_init__(self) -> None:
        for side in (self.width, self.height):
            if not SMALLEST <= side <= LARGEST:
                raise ValueError(f"a side of {side} pixels is outside {SMALLEST} to {LARGEST}")

    @property
    def seed_used(self) -> int:
        """The seed, or the 32-bit number that the description stands for."""
        if self.seed is not None:
            return self.seed
        digest = hashlib.sha256(canonical(self.description).encode()).digest()
        return int.from_bytes(digest[:4], "big")


def paint(spec: LandscapeSpec, report: Reporter) -> Image.Image:
    """Paint a landscape as an RGB image; equal specs give equal pixels in any process.

    Args:
        spec: what to paint.
        report: told the part done (0 to 1, rising) and what comes next; what it raises stops the painting.
    """
    report(0.0, "reading the description")
    dice = Dice(canonical(spec.description), spec.seed_used)
    scene = read_scene(spec.description, dice)
    light = choose_light(scene, dice)
    report(0.04, "terrain")
    terrain = build_terrain(scene, light, dice, map_size(spec.width, spec.height))
    view = open_view(spec.width, spec.height, terrain.eye, HORIZON)
    setting = Setting(scene, light, terrain, view, dice)
    picture, _ = compose(setting, report)
    frame(picture, setting)
    fall(picture, setting)
    report(0.88, "light and film")
    bloom(picture)
    image = develop(picture, light, dice)
    report(1.0, "painted")
    return image


def map_size(width: int, height: int) -> int:
    """Return the side of the height map that is fine enough for a picture."""
    return next(size for side, size in _MAPS if max(width, height) <= side)


def compose(setting: Setting, report: Reporter) -> tuple[Field, Field]:
    """Paint what is farther away than the viewer's own place.

    Returns:
        The picture, and the upper rows of it as they were before anything stood in the sky.
    """
    scene, view = setting.scene, setting.view
    report(0.25, "sky")
    sky = Sky(setting, min(view.height, int(view.horizon) + 3))
    sky.hang_lights()
    report(0.36, "clouds")
    sky.drift_clouds()
    bare = sky.colour.copy()
    sky.raise_smoke()
    haze = haze_of(view, setting.light, sky.colour)
    strike(sky.colour, setting)
    hang_islands(sky.colour, haze, setting)
    report(0.46, "land and forest")
    ground = lay_ground(setting)
    picture = np.empty((view.height, view.width, 3), dtype=np.float32)
    picture[: sky.colour.shape[0]] = sky.colour
    picture[sky.colour.shape[0] :] = haze
    _unveil(picture, ground, haze, setting)
    if scene.has("castle", "ruins", "tower", "city", "village"):
        report(0.64, "structures")
        build(picture, haze, ground, setting)
    report(0.7, "water")
    fill_water(picture, sky.colour, ground, setting)
    report(0.8, "foreground and weather")
    return picture, bare


def _unveil(picture: Field, ground: Ground, haze: Field, setting: Setting) -> None:
    """Put the ground into the picture, faded by the air in between."""
    fade = 1 - np.exp(-((ground.z / np.float32(setting.light.haze_distance)) ** np.float32(1.25)))
    # The land ends before the horizon; the air hides where.
    fade = np.maximum(fade, smoothstep(44, 90, ground.z))
    if setting.scene.has("mist"):
        low = np.exp(-np.maximum(ground.height, 0) / np.float32(0.8))
        fade = 1 - (1 - fade) * (1 - low * np.clip((ground.z - 5) / 14, 0, 0.92))
    colour = ground.colour + (haze[ground.column] - ground.colour) * fade[:, None]
    if ground.glow is not None:
        colour += ground.glow * (1 - fade * np.float32(0.6))[:, None]
    picture.reshape(-1, 3)[ground.pixels] = colour
    # The topmost pixel of each column covers its part of the pixel over it.
    crest = ground.hits.crest
    columns = np.flatnonzero((crest > 0) & (crest < setting.view.height))
    rim = ground.hits.edge[columns][:, None]
    above = picture[crest[columns] - 1, columns]
    picture[crest[columns] - 1, columns] = above + (picture[crest[columns], columns] - above) * rim


def render_png(spec: LandscapeSpec, report: Reporter) -> tuple[bytes, dict[str, object]]:
    """Paint a landscape and return the PNG file and what is worth knowing about it."""
    image = paint(spec, lambda done, stage: report(done * 0.94, stage))
    report(0.95, "encoding")
    data = encode_png(image)
    scene = read_scene(spec.description, Dice(canonical(spec.description), spec.seed_used))
    facts: dict[str, object] = {
        "width": spec.width,
        "height": spec.height,
        "seed": spec.seed_used,
        "time_of_day": scene.time,
        "terrain": scene.terrain,
        "water": scene.water,
        "features": sorted(scene.features),
        "recognised": {group: list(features) for group, features in scene.recognised.items()},
    }
    report(1.0, "finished")
    return data, facts
