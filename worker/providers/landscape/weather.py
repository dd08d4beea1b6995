"""Owns what is in the air: lightning, rain, falling snow, drifting lights and birds."""

# ruff: noqa: PLR2004 - a painter's proportions

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from worker.providers.landscape.noise import Dice, Field
from worker.providers.landscape.palette import Light, linear
from worker.providers.landscape.setting import Setting

_Point = tuple[float, float]

# Flakes of each size: how many, their radius in parts of the height, how opaque.
_FLAKES: Final = ((900, 0.0011, 0.35), (420, 0.0021, 0.5), (90, 0.0042, 0.42))


def strike(sky: Field, setting: Setting) -> None:
    """Let lightning run through a stormy sky, in place, down to the horizon."""
    scene, dice, horizon = setting.scene, setting.dice, setting.view.horizon
    if not scene.has("storm"):
        return
    rng = dice.stream("lightning")
    rows, width = sky.shape[:2]
    image = Image.new("L", (width, rows))
    draw = ImageDraw.Draw(image)
    x = float(rng.uniform(0.25, 0.75)) * width
    foot = (x + float(rng.normal(0, 0.08)) * width, horizon)
    _bolt(draw, rng, ((x, rows * 0.02), foot), max(1.0, width / 480), 0)
    core = np.asarray(image, dtype=np.float32) / np.float32(255)
    # Clouds around the stroke light up with it.
    off = (np.arange(width, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(rows)
    high = np.arange(rows, dtype=np.float32)[:, None] / np.float32(rows)
    halo = np.exp(-((off / np.float32(0.30)) ** 2)) * np.exp(-high * np.float32(1.1)) * np.float32(0.34)
    sky += (core * np.float32(4.5))[..., None] * linear("cdd6ff")
    sky *= (1 + halo * 3)[..., None]
    sky += halo[..., None] * linear("8d98d0") * np.float32(0.22)


def _bolt(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, ends: tuple[_Point, _Point], thick: float, depth: int
) -> None:
    start, end = ends
    points = np.array([start, end])
    spread = float(np.hypot(*(points[1] - points[0]))) * 0.14
    for _ in range(6):
        middle = (points[:-1] + points[1:]) / 2
        middle[:, 0] += rng.normal(0, 1, len(middle)) * spread
        joined = np.empty((len(points) + len(middle), 2))
        joined[0::2], joined[1::2] = points, middle
        points, spread = joined, spread * 0.52
    draw.line(
        [(float(x), float(y)) for x, y in points], fill=255 if depth == 0 else 130, width=max(1, round(thick))
    )
    if depth < 2:
        for index in rng.integers(8, len(points) - 12, 4 - depth).tolist():
            x, y = points[index]
            reach = (end[1] - y) * float(rng.uniform(0.25, 0.55))
            tip = (float(x + rng.choice([-1, 1]) * reach * 0.7), float(y + reach))
            _bolt(draw, rng, ((float(x), float(y)), tip), thick * 0.5, depth + 1)


def fall(picture: Field, setting: Setting) -> None:
    """Add snow, rain, magic lights and birds in front of the finished landscape, in place."""
    scene, light, dice = setting.scene, setting.light, setting.dice
    if scene.has("snowfall"):
        _snow(picture, light, dice)
    elif scene.has("rain", "storm"):
        _rain(picture, light, dice, 1.0 if scene.has("rain") else 0.55)
    elif scene.time != "night" and not scene.has("cursed", "mist") and scene.terrain != "volcano":
        _birds(picture, light, dice)
    if scene.has("enchanted"):
        _motes(picture, dice)


def _veil(picture: Field, image: Image.Image, colour: Field, strength: float) -> None:
    mask = np.asarray(image, dtype=np.float32) * np.float32(strength / 255)
    picture += (colour - picture) * mask[..., None]


def _snow(picture: Field, light: Light, dice: Dice) -> None:
    rng = dice.stream("snow")
    height, width = picture.shape[:2]
    for count, radius, strength in _FLAKES:
        image = Image.new("L", (width * 2, height * 2))
        draw = ImageDraw.Draw(image)
        size = max(radius * height * 2, 0.8)
        places = rng.random((count, 3)) * (width * 2, height * 2, 1)
        for x, y, own in places.tolist():
            r = size * (0.6 + 0.7 * own)
            draw.ellipse((x - r * 1.35, y - r, x + r * 1.35, y + r), fill=int(150 + 105 * own))
        if radius > 0.003:
            image = image.filter(ImageFilter.GaussianBlur(size * 0.55))
        _veil(
            picture,
            image.reduce(2),
            light.ambient * np.float32(0.85) + light.haze * np.float32(0.55),
            strength + 0.2,
        )


def _rain(picture: Field, light: Light, dice: Dice, strength: float) -> None:
    rng = dice.stream("rain")
    height, width = picture.shape[:2]
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    slant = float(rng.uniform(-0.3, 0.3))
    for x, y, own in (rng.random((1100, 3)) * (width * 1.2, height * 1.2, 1)).tolist():
        length = height * (0.02 + 0.06 * own * own)
        draw.line(
            (x - width * 0.1, y - height * 0.1, x - width * 0.1 + slant * length, y - height * 0.1 + length),
            fill=int(60 + 120 * own),
        )
    _veil(picture, image, light.haze * np.float32(0.9) + light.ambient * np.float32(0.3), 0.34 * strength)


def _motes(picture: Field, dice: Dice) -> None:
    rng = dice.stream("motes")
    height, width = picture.shape[:2]
    tints = np.stack([linear("8dffd0"), linear("ffe08a"), linear("c79aff")])
    for x, y, size, tint in rng.random((70, 4)).tolist():
        radius = height * (0.0022 + 0.0062 * size**4)
        row = height * (0.5 + 0.48 * y)
        _spark(picture, x * width, row, radius, tints[int(tint * 3)] * np.float32(0.5 + size))


def _spark(picture: Field, x: float, y: float, radius: float, light: Field) -> None:
    height, width = picture.shape[:2]
    reach = int(radius * 6) + 2
    x0, x1 = max(int(x) - reach, 0), min(int(x) + reach, width)
    y0, y1 = max(int(y) - reach, 0), min(int(y) + reach, height)
    rows: NDArray[np.float32] = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y)
    columns: NDArray[np.float32] = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x)
    away = (rows * rows + columns * columns) / np.float32(radius * radius)
    glow = np.exp(-away) + np.float32(0.16) * np.exp(-away / 9)
    picture[y0:y1, x0:x1] += glow[..., None] * light


def _birds(picture: Field, light: Light, dice: Dice) -> None:
    rng = dice.stream("birds")
    height, width = picture.shape[:2]
    if rng.random() < 0.35:
        return
    image = Image.new("L", (width * 3, height * 3))
    draw = ImageDraw.Draw(image)
    x0, y0 = float(rng.uniform(0.3, 0.7)) * width, float(rng.uniform(0.12, 0.24)) * height
    for _ in range(int(rng.integers(5, 12))):
        x, y = (x0 + float(rng.normal(0, 0.05)) * width) * 3, (y0 + float(rng.normal(0, 0.03)) * height) * 3
        span = float(rng.uniform(0.007, 0.014)) * height * 3
        lift = float(rng.uniform(0.15, 0.6)) * span
        wings = [
            (x - span, y - lift),
            (x - span * 0.4, y - lift * 0.9),
            (x, y),
            (x + span * 0.4, y - lift * 0.9),
            (x + span, y - lift),
        ]
        draw.line(wings, fill=255, width=max(2, height // 210), joint="curve")
    _veil(picture, image.reduce(3), light.ambient * np.float32(0.12), 0.8)
