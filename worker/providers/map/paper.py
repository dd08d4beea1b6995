"""Owns parchment and colour: the sheet under the drawing, the washes over it, and the picture of both."""

# ruff: noqa: PLR2004 - a colourist's proportions

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.providers.landscape.noise import Dice, Field, smoothstep, spectral
from worker.providers.map.board import distance
from worker.providers.map.pen import Point

_Colour = tuple[int, int, int]
_Cover = NDArray[np.floating]


@dataclass(frozen=True)
class Inks:
    """The colours of one map."""

    paper: _Colour
    land: _Colour
    sea: _Colour
    leaf: _Colour
    shade: _Colour = (140, 104, 66)
    water: _Colour = (74, 101, 110)
    ink: _Colour = (56, 38, 24)


INKS: Final[Mapping[str, Inks]] = MappingProxyType(
    {
        "mild": Inks((237, 221, 185), (240, 225, 186), (168, 187, 178), (128, 140, 84)),
        "north": Inks((226, 221, 206), (236, 233, 224), (150, 171, 182), (100, 122, 108), shade=(104, 104, 110)),
        "desert": Inks((238, 215, 170), (242, 208, 148), (160, 187, 180), (124, 136, 74), shade=(168, 104, 56)),
        "tropical": Inks((238, 223, 184), (233, 222, 168), (140, 187, 180), (96, 140, 80)),
    }
)
# Map units from the shore to each line along it, and its strength.
_RIPPLES: Final = ((3.4, 0.62), (7.2, 0.50), (11.6, 0.40), (16.8, 0.31), (23.0, 0.23), (30.5, 0.15))
_FADE: Final = 70.0


class Painting:
    """A map on its parchment.

    Args:
        unit: pixels to the map unit.
        inks: its colours.
        prints: the layers of the drawing, of the picture's size.
        land: coverage of land, likewise.
        dice: the lots of the map.
    """

    def __init__(
        self, unit: float, inks: Inks, prints: Mapping[str, Image.Image], land: Image.Image, dice: Dice
    ) -> None:
        self._size = land.size
        self._unit = unit
        self._inks = inks
        self._prints = prints
        self._land = land
        width, height = land.size
        self._grain = _tile(spectral(dice.stream("grain"), 512, 0.55), land.size)
        self._clouds = self._enlarged(spectral(dice.stream("stains"), 256, 1.75))
        self._pixels = np.empty((height, width, 3), dtype=np.float32)
        self._pixels[...] = np.array(inks.paper, dtype=np.float32)

    def wash_sea(self, frame: float) -> None:
        """Lay the colour of water inside of the frame, darker along the shores, with ripples."""
        sea = self._inside(self._sea(), frame)
        off = self._off(np.asarray(self._land.reduce(2)) > 127)
        deep = 0.50 + 0.42 * np.exp(-off / 16) + 0.05 * self._clouds
        self._blend(self._inks.sea, sea * np.clip(deep, 0, 0.95))
        del deep
        off *= 1 + 0.10 * self._clouds
        lines = np.zeros_like(sea)
        thick = np.float32(max(0.55, 0.62 * self._unit))
        for at, strength in _RIPPLES:
            gap = np.abs(off - np.float32(at)) * np.float32(self._unit)
            np.maximum(lines, np.float32(strength) * np.clip(thick + 0.5 - gap, 0, 1), out=lines)
        lines *= sea
        self._blend(self._inks.water, lines)

    def wash_land(self, relief: Field, frame: float) -> None:
        """Lay the colour of land, with a darker rim that lifts it off the sea, and shade its slopes."""
        ground = self._inside(np.asarray(self._land, dtype=np.float32) / 255, frame)
        self._blend(self._inks.land, ground * np.float32(0.75))
        inner = self._off(np.asarray(self._land.reduce(2)) <= 127)
        self._blend(self._inks.shade, ground * (0.30 * np.exp(-inner / 7) + 0.10 * np.exp(-inner / 40)))
        del inner
        down, across = np.gradient(relief)
        slope = np.clip((across * 3.0 + down * 1.5) * np.float32(-1.1 * self._unit), 0, 0.3)
        self._blend(self._inks.shade, ground * slope)

    def bear(self, lines: list[tuple[Point, Point]], frame: float) -> None:
        """Draw faint lines of bearing over the sea."""
        mask = Image.new("L", (self._size[0] * 2, self._size[1] * 2))
        pen = ImageDraw.Draw(mask)
        for start, end in lines:
            pen.line([(x * self._unit * 2, y * self._unit * 2) for x, y in (start, end)], fill=255, width=1)
        drawn = np.asarray(mask.reduce(2), dtype=np.float32) / 255
        self._blend(self._inks.shade, self._inside(drawn * self._sea(), frame) * np.float32(0.55))

    def print_drawing(self) -> None:
        """Print the drawing: colours of plants, shadows, rivers, lines and letters."""
        self._blend(self._inks.leaf, self._layer("leaf") * 0.62 * (1 + 0.12 * self._clouds))
        self._blend(self._inks.shade, self._layer("shade") * np.float32(0.72))
        self._blend(self._inks.water, self._layer("water") * (np.asarray(self._land, dtype=np.float32) / 255))
        rough = 0.90 - 0.10 * np.clip(self._grain * 0.6 + self._clouds * 0.4, -1, 1)
        self._blend(self._inks.ink, self._layer("ink") * rough)
        self._blend(self._inks.ink, self._layer("text") * np.float32(0.96))

    def aged(self) -> Image.Image:
        """Return the picture with the marks of its years: mottles, folds, fingered edges."""
        height, width = self._pixels.shape[:2]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        rim = np.maximum(np.abs(x), np.abs(y)) + 0.02 * self._clouds
        corner = np.hypot(x, y)
        light = 1 + 0.022 * self._clouds + 0.016 * self._grain
        light -= 0.13 * smoothstep(0.86, 1.04, rim) + 0.10 * smoothstep(0.9, 1.5, corner)
        light += self._folds(x, y)
        stain = smoothstep(1.1, 2.4, np.abs(self._clouds)) * 0.06
        for channel, warmth in enumerate((0.55, 0.85, 1.25)):
            self._pixels[..., channel] *= (
                1 - (1 - light) * np.float32(warmth if channel else 0.8) - stain * np.float32(warmth)
            )
        return Image.fromarray(np.clip(self._pixels + 0.5, 0, 255).astype(np.uint8))

    def _folds(self, x: Field, y: Field) -> Field:
        """Return light and shade of the creases of a sheet that was carried folded."""
        total = np.zeros((y.shape[0], x.shape[1]), dtype=np.float32)
        bend = 0.0016 * self._clouds
        px = np.float32(1.1 / max(total.shape))
        for place, axis in ((-1 / 3, x), (1 / 3, x), (0.0, y)):
            off = axis - np.float32(place) + bend
            total += 0.035 * np.exp(-((off / (3 * px)) ** 2)) - 0.055 * np.exp(-(((off - 4 * px) / (5 * px)) ** 2))
            total -= 0.018 * np.exp(-np.abs(off) / 0.05) * np.sign(off)
        return total

    def _layer(self, name: str) -> Field:
        return np.asarray(np.asarray(self._prints[name], dtype=np.float32) / 255, dtype=np.float32)

    def _sea(self) -> _Cover:
        """Return where water is seen: neither land nor what stands before the sea."""
        return np.asarray((1 - np.asarray(self._land, dtype=np.float32) / 255) * (1 - self._layer("solid")))

    def _inside(self, cover: _Cover, frame: float) -> _Cover:
        """Return a coverage without what lies under the frame."""
        edge = round(frame * self._unit)
        cover[:edge] = cover[-edge:] = cover[:, :edge] = cover[:, -edge:] = 0
        return cover

    def _off(self, sources: NDArray[np.bool_]) -> Field:
        """Return the distance from `sources`, a mask of half the picture's size, in map units."""
        reach = int(_FADE * self._unit / 2) + 2
        return np.asarray(self._enlarged(distance(sources, reach)) * np.float32(2 / self._unit), dtype=np.float32)

    def _enlarged(self, cells: Field) -> Field:
        return np.asarray(Image.fromarray(cells).resize(self._size, Image.Resampling.BICUBIC))

    def _blend(self, colour: _Colour, part: _Cover) -> None:
        """Move every pixel towards a colour by a part of 0 to 1."""
        for channel in range(3):
            plane = self._pixels[..., channel]
            plane += (np.float32(colour[channel]) - plane) * part


def _tile(tile: Field, size: tuple[int, int]) -> Field:
    """Repeat a tile over a picture."""
    width, height = size
    down, across = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    return np.tile(tile, (down, across))[:height, :width]
