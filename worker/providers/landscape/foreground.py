"""Owns what stands next to the viewer: dark shapes at the picture's edge that give it depth."""

# ruff: noqa: PLR2004 - a painter's proportions

from itertools import pairwise
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from worker.providers.landscape.noise import Field
from worker.providers.landscape.setting import Setting

_FINE: Final = 2
_Point = tuple[float, float]


class _Ink:
    """A mask to draw on in parts of the picture's height, x from the left and y from the top."""

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.scale = height * _FINE
        self.wide = width / height
        self.image = Image.new("L", (width * _FINE, height * _FINE))
        self.draw = ImageDraw.Draw(self.image)
        self.rng = rng

    def fill(self, points: list[_Point]) -> None:
        self.draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=255)

    def stroke(self, start: _Point, end: _Point, thick: float, taper: float = 0.5) -> None:
        """Draw a limb that is `thick` at its start and `taper` times that at its end."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        size = max((dx * dx + dy * dy) ** 0.5, 1e-6)
        nx, ny = -dy / size * thick / 2, dx / size * thick / 2
        self.fill(
            [
                (start[0] + nx, start[1] + ny),
                (end[0] + nx * taper, end[1] + ny * taper),
                (end[0] - nx * taper, end[1] - ny * taper),
                (start[0] - nx, start[1] - ny),
            ]
        )


def frame(picture: Field, setting: Setting) -> None:
    """Draw the foreground over the finished landscape, in place."""
    scene, light = setting.scene, setting.light
    height, width = picture.shape[:2]
    rng = setting.dice.stream("foreground")
    ink = _Ink(width, height, rng)
    # The heavy side stands against the disc's side, and balances it.
    side = 1.0 if light.sun_x < 0.5 else 0.0
    if scene.has("cursed") or scene.terrain == "swamp":
        _dead_trees(ink, side)
        _grass(ink, 0.045, 1.0)
    elif scene.terrain == "islands" or (scene.terrain == "dunes" and scene.has("jungle")):
        _palms(ink, side)
    elif scene.has("conifers") and scene.terrain in {"mountains", "hills", "volcano"}:
        _conifers(ink, side)
        _grass(ink, 0.028, 0.8)
    elif scene.terrain in {"hills", "plain"}:
        _grass(ink, 0.05, 1.0)
    else:
        return
    mask = np.asarray(ink.image.reduce(_FINE), dtype=np.float32) * np.float32(1 / 255)
    step = max(1, height // 420)
    towards = -step if light.direction[0] > 0 else step
    rim = np.clip(mask - np.roll(mask, towards, axis=1), 0, 1) * np.float32(0.22)
    colour = light.ambient * np.float32(0.075) + rim[..., None] * light.sun
    picture += (colour - picture) * mask[..., None]


def _conifers(ink: _Ink, side: float) -> None:
    rng = ink.rng
    count = int(rng.integers(3, 6))
    for index in range(count):
        tall = float(rng.uniform(0.42, 0.86)) * (1 - 0.10 * index)
        off = 0.02 + index * float(rng.uniform(0.055, 0.085))
        x = ink.wide - off if side else off
        _conifer(ink, x, 1.04, tall)
    for index in range(2):
        off = 0.01 + index * 0.07
        _conifer(ink, off if side else ink.wide - off, 1.05, float(rng.uniform(0.22, 0.42)))


def _conifer(ink: _Ink, x: float, base: float, tall: float) -> None:
    rng = ink.rng
    ink.stroke((x, base), (x, base - tall), tall * 0.022, 0.08)
    tiers = int(24 + tall * 26)
    lean = float(rng.uniform(-0.012, 0.012))
    for tier in range(tiers):
        part = tier / tiers
        y = base - tall * (0.06 + 0.94 * part)
        reach = tall * (0.19 * (1 - part) ** 0.8 + 0.004)
        centre = x + lean * part
        for way in (-1.0, 1.0):
            length = reach * float(rng.uniform(0.62, 1.08))
            droop = length * float(rng.uniform(0.28, 0.55))
            thick = tall * 0.022 * (1.1 - part)
            tip = (centre + way * length, y + droop)
            ink.fill(
                [
                    (centre, y - thick * 1.5),
                    tip,
                    (centre + way * length * 0.55, y + droop * 0.75 + thick),
                    (centre, y + thick * 1.6),
                ]
            )


def _palms(ink: _Ink, side: float) -> None:
    rng = ink.rng
    for index in range(int(rng.integers(2, 4))):
        off = 0.03 + index * float(rng.uniform(0.10, 0.15))
        tall = float(rng.uniform(0.5, 0.78)) * (1 - 0.16 * index)
        way = -1.0 if side else 1.0
        x = (ink.wide - off) if side else off
        bend = way * float(rng.uniform(0.1, 0.22)) * tall
        points = [(x + bend * t * t, 1.03 - tall * t) for t in np.linspace(0, 1, 9).tolist()]
        for start, end in pairwise(points):
            ink.stroke(start, end, 0.014, 0.97)
        crown = points[-1]
        for angle in np.linspace(-0.25, np.pi + 0.25, 9).tolist():
            _frond(ink, crown, angle + float(rng.uniform(-0.12, 0.12)), tall * float(rng.uniform(0.3, 0.4)))


def _frond(ink: _Ink, root: _Point, angle: float, length: float) -> None:
    dx, dy = float(np.cos(angle)), -float(np.sin(angle))
    before = root
    for t in np.linspace(0.06, 1, 22).tolist():
        here = (root[0] + dx * length * t, root[1] + dy * length * t * 0.75 + length * 0.5 * t * t)
        ink.stroke(before, here, 0.005)
        leaf = length * 0.26 * (1 - t) ** 0.6 * min(1.0, t * 5) + 0.006
        for way in (-1.0, 1.0):
            tip = (
                here[0] + dx * leaf * 0.5 + way * leaf * 0.25 * abs(dy),
                here[1] + leaf * (0.75 if way > 0 else -0.1) + 0.2 * leaf,
            )
            ink.stroke(here, tip, 0.0045)
        before = here


def _dead_trees(ink: _Ink, side: float) -> None:
    rng = ink.rng
    for index in range(3):
        off = 0.06 + index * float(rng.uniform(0.14, 0.2))
        edge = side if index < 2 else 1 - side
        x = ink.wide - off if edge else off * 0.6
        _limb(
            ink,
            (x, 1.03),
            (-np.pi / 2 + float(rng.uniform(-0.15, 0.15)), float(rng.uniform(0.17, 0.27))),
            0.034,
            6,
        )


def _limb(ink: _Ink, start: _Point, along: tuple[float, float], thick: float, depth: int) -> None:
    angle, length = along
    end = (start[0] + float(np.cos(angle)) * length, start[1] + float(np.sin(angle)) * length)
    ink.stroke(start, end, thick)
    if depth == 0:
        return
    for _ in range(2 if depth % 2 else 3):
        turn = float(ink.rng.normal(0, 0.62))
        _limb(ink, end, (angle + turn, length * float(ink.rng.uniform(0.55, 0.82))), thick * 0.55, depth - 1)


def _grass(ink: _Ink, tall: float, cover: float) -> None:
    rng = ink.rng
    count = int(520 * ink.wide / 1.6)
    spots = rng.random((count, 4)).tolist()
    phase = float(rng.random()) * 6
    for x, size, lean, keep in spots:
        if keep > cover:
            continue
        place = x * ink.wide
        # Tufts: taller towards the edges, so the middle stays open.
        edge = abs(x - 0.5) * 2
        blade = tall * (0.3 + size) * (0.05 + 1.5 * edge**4) * (0.75 + 0.4 * float(np.sin(x * 21 + phase)))
        tip = (place + (lean - 0.5) * blade * 0.9, 1 - blade)
        ink.fill([(place - 0.0024, 1.01), tip, (place + 0.0024, 1.01)])
