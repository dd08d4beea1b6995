"""Owns the frames: a land that is painted at some hours of its day, and a sky that is painted for each frame."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.providers.landscape import HORIZON, compose, map_size
from worker.providers.landscape.develop import bloom, develop
from worker.providers.landscape.foreground import frame
from worker.providers.landscape.noise import Dice, Field
from worker.providers.landscape.palette import Light
from worker.providers.landscape.perspective import open_view
from worker.providers.landscape.setting import Setting
from worker.providers.landscape.sky import Sky
from worker.providers.landscape.terrain import build_terrain, cast_shadow
from worker.providers.landscape.vocabulary import read_scene
from worker.providers.video.day import Day

KEYS: Final = 12
"""Hours at which the land is painted; between two it is a mixture of both."""
_KEPT: Final = 4
"""Hours in memory: frames that are painted at the same time lie between two or three."""
_WIND: Final = 0.22
"""How far clouds drift in a film, in widths of their pattern."""
_COARSE: Final = 2
"""The sky has no fine lines: it is painted with so much fewer rows and columns."""


@dataclass(frozen=True)
class _Hour:
    """The land at one hour.

    Attributes:
        picture: linear RGB.
        sky: which pixels of the upper rows show nothing but sky.
    """

    picture: Field
    sky: NDArray[np.bool_]


class Film:
    """A landscape over which day passes. Frames may be painted by several threads, in about their order.

    Args:
        description: what to show; its hour does not count.
        size: width and height in pixels.
        dice: the lots of the landscape.
    """

    def __init__(self, description: str, size: tuple[int, int], dice: Dice) -> None:
        width, height = size
        self._scene = read_scene(description, dice)
        self._dice = dice
        self._day = Day(self._scene, dice)
        self._terrain = build_terrain(self._scene, self._day.first, dice, map_size(width, height))
        self._view = open_view(width, height, self._terrain.eye, HORIZON)
        self._coarse = open_view(width // _COARSE, height // _COARSE, self._terrain.eye, HORIZON)
        self._hours: OrderedDict[int, _Hour] = OrderedDict()
        self._painting = Lock()

    @property
    def facts(self) -> dict[str, object]:
        """What is worth knowing about it."""
        return {
            "terrain": self._scene.terrain,
            "water": self._scene.water,
            "features": sorted(self._scene.features),
        }

    def paint(self, instant: float) -> bytes:
        """Return a frame: rows from the top, three bytes RGB a pixel.

        Args:
            instant: of the film, 0 to 1.
        """
        place = instant * (KEYS - 1)
        before = min(int(place), KEYS - 2)
        part = np.float32(place - before)
        first, second = self._hour(before), self._hour(before + 1)
        picture = first.picture * (1 - part)
        picture += second.picture * part
        light = self._day.light(instant)
        sky = self._sky(instant, light)
        # What one of the hours has over the sky stays: a thin line of mist or leaves.
        open_sky = first.sky & second.sky
        upper = picture[: open_sky.shape[0]]
        np.copyto(upper, sky, where=open_sky[..., None])
        return develop(picture, light, self._dice).tobytes()

    def _hour(self, number: int) -> _Hour:
        with self._painting:
            found = self._hours.get(number)
            if found is None:
                found = self._hours[number] = self._land(number / (KEYS - 1))
                while len(self._hours) > _KEPT:
                    self._hours.popitem(last=False)
        return found

    def _land(self, instant: float) -> _Hour:
        light = self._day.light(instant)
        terrain = replace(self._terrain, shadow=cast_shadow(self._terrain.height, light))
        setting = Setting(self._day.scene(instant), light, terrain, self._view, self._dice)
        picture, bare = compose(setting, _silent)
        # What stands near the viewer does not change sides with the sun.
        near = replace(light, sun_x=self._day.first.sun_x)
        frame(picture, replace(setting, light=near))
        rows = bare.shape[0]
        sky = np.all(picture[:rows] == bare, axis=-1)
        bloom(picture)
        return _Hour(picture, sky)

    def _sky(self, instant: float, light: Light) -> Field:
        setting = Setting(self._day.scene(instant), light, self._terrain, self._coarse, self._dice)
        rows = min(self._view.height, int(self._view.horizon) + 3)
        sky = Sky(setting, -(-rows // _COARSE), wind=instant * _WIND, stars=self._day.stars(instant))
        sky.hang_lights()
        sky.drift_clouds()
        bloom(sky.colour)
        enlarge = partial(_enlarged, size=(self._view.width, sky.colour.shape[0] * _COARSE))
        return np.stack([enlarge(sky.colour[..., channel]) for channel in range(3)], axis=-1)[:rows]


def _enlarged(layer: Field, size: tuple[int, int]) -> Field:
    image = Image.fromarray(np.ascontiguousarray(layer))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def _silent(_fraction: float, _message: str) -> None:
    """Say nothing: the film reports by its frames."""
