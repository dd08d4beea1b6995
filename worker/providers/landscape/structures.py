"""Owns what people built: castles, towers, ruins, villages and cities standing in the landscape."""

# ruff: noqa: PLR2004 - a builder's proportions

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from worker.providers.landscape.ground import Ground
from worker.providers.landscape.noise import Field
from worker.providers.landscape.palette import LUMA, linear
from worker.providers.landscape.setting import Setting

# Drawn this many times too large and reduced, for smooth edges.
_FINE: Final = 3
_STRIPS: Final = 7
_LEFT: Final = 3.4
_UP: Final = 2.6


@dataclass
class _Sheet:
    """Four drawings of the same thing: where it is, how lit, where roof, where lamps; in world units."""

    scale: float
    sun_side: float
    rng: np.random.Generator
    lamps_lit: bool

    def __post_init__(self) -> None:
        size = (int(2 * _LEFT * self.scale) + 1, int((_UP + 0.7) * self.scale) + 1)
        self.layers = [Image.new("L", size) for _ in range(4)]
        self.mask, self.shade, self.roof, self.lamp = (ImageDraw.Draw(layer) for layer in self.layers)

    def _at(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((x + _LEFT) * self.scale, (_UP - y) * self.scale) for x, y in points]

    def shape(self, points: list[tuple[float, float]], shade: float, roof: float = 0.0) -> None:
        """Fill a polygon with a brightness from 0 to 1."""
        place = self._at(points)
        self.mask.polygon(place, fill=255)
        self.shade.polygon(place, fill=round(255 * min(max(shade, 0), 1)))
        self.roof.polygon(place, fill=round(255 * roof))
        self.lamp.polygon(place, fill=0)

    def box(self, x: float, y: float, width: float, tall: float, shade: float) -> None:
        """Fill an upright rectangle that stands on `y` around `x`."""
        half = width / 2
        self.shape([(x - half, y), (x - half, y + tall), (x + half, y + tall), (x + half, y)], shade)

    def drum(self, x: float, y: float, width: float, tall: float) -> None:
        """Fill a round tower's body: strips that turn away from the light."""
        for strip in range(_STRIPS):
            across = (strip + 0.5) / _STRIPS * 2 - 1
            shade = 0.42 + 0.5 * across * self.sun_side + 0.1 * (1 - across * across)
            self.box(x + across * width / 2, y, width / _STRIPS * 1.25, tall, shade)

    def cone(self, x: float, y: float, width: float, tall: float) -> None:
        """Fill a pointed roof, its sunny half brighter."""
        half = width / 2
        for side in (-1.0, 1.0):
            shade = 0.5 + 0.4 * side * self.sun_side
            self.shape([(x, y + tall), (x + side * half, y), (x, y - width * 0.06)], shade, roof=1.0)

    def merlons(self, x0: float, x1: float, y: float) -> None:
        """Set a battlement's teeth along the top of a wall."""
        for x in np.arange(x0 + 0.02, x1, 0.075):
            self.box(float(x), y, 0.04, 0.045, 0.55)

    def window(self, x: float, y: float, size: float, chance: float = 0.75) -> None:
        """Cut a window; it is lit by `chance` when lamps are."""
        place = self._at([(x - size / 2, y + size * 1.5), (x + size / 2, y)])
        box = (*place[0], *place[1])
        self.shade.rectangle(box, fill=10)
        if self.lamps_lit and self.rng.random() < chance:
            self.lamp.rectangle(box, fill=int(self.rng.integers(140, 256)))

    def break_off(self, x: float, y: float, width: float, depth: float) -> None:
        """Bite a jagged piece off the top of a wall or tower."""
        count = 6
        low = [
            (x - width * 0.62 + width * 1.24 * i / count, y - float(self.rng.uniform(0.05, 1)) * depth)
            for i in range(count + 1)
        ]
        place = self._at([*low, (x + width, y + 2), (x - width, y + 2)])
        for layer in (self.mask, self.lamp):
            layer.polygon(place, fill=0)


def build(picture: Field, haze: Field, ground: Ground, setting: Setting) -> None:
    """Put the scene's structures into `picture` and raise the skyline in `ground` where they stand out."""
    scene, view, light = setting.scene, setting.view, setting.light
    rng = setting.dice.stream("structures")
    dim = scene.time != "noon" or scene.has("storm", "snowfall")
    site = setting.terrain.site
    # A building is drawn to the width of its site; the sheet's scale is pixels of the sheet per world unit.
    sheet = _Sheet(view.focal / site.z * _FINE, float(np.sign(light.direction[0])), rng, dim)
    if scene.has("city"):
        _city(sheet)
    elif scene.has("village"):
        _village(sheet)
    if scene.has("castle"):
        _castle(sheet, ruined=scene.has("ruins"))
    elif scene.has("ruins"):
        _ruins(sheet)
    elif scene.has("tower"):
        _tower(sheet)
    _place(picture, sheet, haze, ground, setting)


def _castle(sheet: _Sheet, *, ruined: bool) -> None:
    rng = sheet.rng
    towers = [
        (-0.15, 0.46, 0.95, 0.0),
        (0.28, 0.2, 1.3, 0.45),
        (-0.52, 0.2, 0.92, 0.36),
        (0.03, 0.13, 1.5, 0.42),
    ]
    towers += [(0.62, 0.26, 0.72, 0.34), (-0.92, 0.26, 0.55, 0.34), (0.98, 0.24, 0.48, 0.3)]
    for x, width, height, roof in towers:
        tall = height * float(rng.uniform(0.88, 1.12))
        sheet.drum(x, -0.6, width, tall + 0.6)
        sheet.box(x, tall - 0.06, width * 1.16, 0.08, 0.55 + 0.2 * sheet.sun_side)
        for level in np.arange(0.3, tall - 0.12, 0.19):
            sheet.window(x + float(rng.uniform(-0.25, 0.25)) * width, float(level), 0.03)
        broken = ruined and rng.random() < 0.65
        if broken:
            sheet.break_off(x, tall + 0.04, width * 1.1, tall * 0.45)
        elif roof:
            sheet.cone(x, tall, width * 1.3, roof * float(rng.uniform(0.9, 1.2)))
        else:
            sheet.merlons(x - width / 2, x + width / 2, tall)
    sheet.box(0.02, -0.6, 1.9, 0.86, 0.45)
    sheet.merlons(-0.93, 0.97, 0.26)
    sheet.shape([(-0.08, -0.1), (-0.08, 0.1), (0, 0.17), (0.08, 0.1), (0.08, -0.1)], 0.05)
    for x in np.arange(-0.75, 0.8, 0.21):
        sheet.window(float(x), 0.1, 0.025, 0.4)
    if ruined:
        sheet.break_off(-0.55, 0.28, 0.5, 0.3)
        sheet.break_off(0.62, 0.28, 0.3, 0.24)


def _tower(sheet: _Sheet) -> None:
    sheet.drum(0, -0.6, 0.36, 1.0)
    sheet.drum(0, 0.2, 0.3, 1.1)
    sheet.box(0, 1.28, 0.42, 0.07, 0.6)
    sheet.merlons(-0.2, 0.2, 1.35)
    sheet.drum(0, 1.35, 0.22, 0.2)
    sheet.cone(0, 1.55, 0.32, 0.5)
    for level in (0.15, 0.5, 0.85):
        sheet.window(float(sheet.rng.uniform(-0.06, 0.06)), level, 0.035)
    for x in (-0.06, 0.0, 0.06):
        sheet.window(x, 1.4, 0.05, 1.0)
    sheet.box(0.36, -0.6, 0.34, 0.86, 0.4)
    sheet.cone(0.36, 0.26, 0.42, 0.2)


def _ruins(sheet: _Sheet) -> None:
    rng = sheet.rng
    for index in range(9):
        x = -1.2 + index * 0.3
        tall = float(rng.uniform(0.35, 0.85))
        sheet.drum(x, -0.6, 0.1, tall + 0.6)
        if rng.random() < 0.5:
            sheet.box(x, tall, 0.15, 0.05, 0.6)
        else:
            sheet.break_off(x, tall + 0.01, 0.14, 0.2)
        if index and rng.random() < 0.45:
            sheet.box(x - 0.15, min(tall, 0.55), 0.36, 0.08, 0.5)
    sheet.box(0.5, -0.6, 0.9, 1.25, 0.42)
    sheet.shape([(0.38, -0.6), (0.38, 0.3), (0.5, 0.42), (0.62, 0.3), (0.62, -0.6)], 0.06)
    sheet.break_off(0.5, 0.68, 0.95, 0.5)


def _city(sheet: _Sheet) -> None:
    rng = sheet.rng
    for depth, count in enumerate((30, 36, 40)):
        for _ in range(count):
            x = float(np.clip(rng.normal(0, 1.3), -3.1, 3.1))
            width = float(rng.uniform(0.09, 0.24))
            crowd = float(np.exp(-(x * x) / 1.4))
            tall = float(rng.uniform(0.16, 0.5) + crowd * rng.uniform(0.0, 1.7)) * (1.0, 0.72, 0.42)[depth]
            if rng.random() < 0.5:
                sheet.drum(x, -0.5, width, tall + 0.5)
            else:
                sheet.box(x, -0.5, width, tall + 0.5, 0.3)
                sheet.box(x + sheet.sun_side * width * 0.27, -0.5, width * 0.46, tall + 0.5, 0.72)
            if rng.random() < 0.62:
                sheet.cone(x, tall, width * 1.12, float(rng.uniform(0.08, 0.42)) * (0.4 + crowd))
            for level in np.arange(0.03, tall - 0.04, 0.062):
                for column in np.arange(-width * 0.34, width * 0.36, 0.05):
                    if rng.random() < 0.62:
                        sheet.window(x + float(column), float(level), 0.02, 0.62)


def _village(sheet: _Sheet) -> None:
    rng = sheet.rng
    houses = sorted((float(rng.uniform(-0.12, 0.22)), float(rng.uniform(-2.6, 2.6))) for _ in range(22))
    for raised, x in reversed(houses):
        wide = float(rng.uniform(0.24, 0.4))
        tall = float(rng.uniform(0.13, 0.2))
        base = raised * 0.5
        sheet.box(x, base - 0.3, wide, tall + 0.3, 0.62)
        sheet.box(x - sheet.sun_side * wide * 0.3, base - 0.3, wide * 0.4, tall + 0.3, 0.3)
        eave = wide * 0.6
        top = base + tall + wide * 0.5
        sheet.shape(
            [
                (x - eave, base + tall),
                (x - eave * 0.45, top),
                (x + eave * 0.45, top),
                (x + eave, base + tall),
            ],
            0.55,
            roof=1,
        )
        sheet.box(x + wide * 0.2, top - 0.06, 0.05, 0.12, 0.5)
        for column in (-0.28, 0.02, 0.28):
            sheet.window(x + column * wide, base + 0.05, 0.045, 0.8)
    sheet.box(0.3, -0.3, 0.2, 0.85, 0.5)
    sheet.cone(0.3, 0.55, 0.26, 0.55)


def _place(picture: Field, sheet: _Sheet, haze: Field, ground: Ground, setting: Setting) -> None:
    scene, view, light, site = setting.scene, setting.view, setting.light, setting.terrain.site
    small = [layer.reduce(_FINE) for layer in sheet.layers]
    left = round(view.column(site.x, site.z) - _LEFT * view.focal / site.z)
    top = round(float(view.row(site.height, site.z)) - _UP * view.focal / site.z)
    x0, x1 = max(left, 0), min(left + small[0].width, view.width)
    y0, y1 = max(top, 0), min(top + small[0].height, view.height)
    if x0 >= x1 or y0 >= y1:
        return
    cut = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    mask, shade, roof, lamp = (np.asarray(layer, dtype=np.float32)[cut] / np.float32(255) for layer in small)
    distance = np.full(view.height * view.width, np.inf, dtype=np.float32)
    distance[ground.pixels] = ground.z
    hidden = distance.reshape(view.height, view.width)[y0:y1, x0:x1] < site.z - (
        1.4 if scene.has("city", "village") else 0.35
    )
    mask = np.where(hidden, 0, mask)

    whole = np.maximum(mask, np.float32(1e-3))
    stone = linear("8d8579") if scene.terrain != "canyon" else linear("b08462")
    tiles = (
        linear("f0f5fb") if scene.has("snow") else linear("6a4a48") if scene.has("village") else linear("46506a")
    )
    albedo = stone + (tiles - stone) * (roof / whole)[..., None]
    lit = (shade / whole)[..., None]
    colour = albedo * (
        lit * light.sun * np.float32(0.75) + (np.float32(0.3) + np.float32(0.5) * lit) * light.ambient
    )
    fade = np.float32(1 - np.exp(-((site.z / light.haze_distance) ** 1.25)))
    colour += (haze[x0:x1][None] - colour) * fade
    # Lamps look as bright as the eye, used to the hour, finds them.
    power = np.float32(np.clip(1.4 + 2.2 * float(light.sun @ LUMA), 1.2, 3.0))
    colour += (lamp / whole)[..., None] * linear("ffb24d") * power
    part = picture[y0:y1, x0:x1]
    part += (colour - part) * mask[..., None]
    if sheet.lamps_lit and scene.has("city", "village"):
        # The lamps of a town light its streets and the air over them.
        rows = (np.arange(view.height, dtype=np.float32)[:, None] - np.float32(y1)) / np.float32(view.height)
        columns = (np.arange(view.width, dtype=np.float32)[None, :] - np.float32((x0 + x1) / 2)) / np.float32(
            x1 - x0
        )
        pool = np.exp(-((columns * np.float32(2.6)) ** 2) - ((rows + np.float32(0.06)) * 9) ** 2)
        picture += pool[..., None] * linear("ff9c40") * (power * np.float32(0.045))
    solid = mask > 0.5
    tops = np.where(solid.any(axis=0), y0 + solid.argmax(axis=0), view.height)
    ground.hits.crest[x0:x1] = np.minimum(ground.hits.crest[x0:x1], tops)
