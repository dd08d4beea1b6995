"""Owns floating islands: rocks that hang in the sky with woods on top and water falling off."""

# ruff: noqa: PLR2004 - a painter's proportions

from dataclasses import dataclass

import numpy as np

from worker.providers.landscape.noise import Field, curve, sample, smoothstep, spectral
from worker.providers.landscape.palette import linear
from worker.providers.landscape.setting import Setting

# Centre across (from the sun's far side), centre down, half width; far ones first.
_PLACES = (
    (0.44, 0.36, 0.045),
    (0.93, 0.28, 0.06),
    (0.66, 0.17, 0.075),
    (0.12, 0.25, 0.095),
    (0.30, 0.30, 0.19),
)


@dataclass(frozen=True)
class _Place:
    """Where an island hangs, in parts of the picture, and how far off it is (0 to 1)."""

    centre: float
    down: float
    half: float
    far: float
    rng: np.random.Generator


def hang_islands(target: Field, haze: Field, setting: Setting) -> None:
    """Paint the islands over `target`, the upper rows of the picture, in place."""
    if not setting.scene.has("floating"):
        return
    rng = setting.dice.stream("skylands")
    tile = spectral(setting.dice.stream("skyrock"), 256, 1.25)
    for number, (across, down, half) in enumerate(_PLACES):
        x = across + float(rng.uniform(-0.03, 0.03))
        x = x if setting.light.sun_x > 0.5 else 1 - x
        y = down + float(rng.uniform(-0.03, 0.04))
        # Each island has lots of its own, and the nearer ones come last.
        lots = setting.dice.stream(f"skyland {number}")
        _island(target, haze, setting, tile, _Place(x, y, half, 1 - number / len(_PLACES), lots))


def _island(target: Field, haze: Field, setting: Setting, tile: Field, place: _Place) -> None:
    scene, light, height = setting.scene, setting.light, setting.view.height
    centre, down, half, far, rng = place.centre, place.down, place.half, place.far, place.rng
    rows, width = target.shape[:2]
    size = half * width
    x0, x1 = int(max(centre * width - size, 0)), int(min(centre * width + size, width))
    y0, y1 = int(max(down * height - size, 0)), int(min(down * height + size * 1.5, rows))
    seed = np.float32(rng.random())
    if x0 >= x1 or y0 >= y1:
        return
    # Within the island: u from -1 to 1 across, v downwards from the level of its meadow.
    u = ((np.arange(x0, x1, dtype=np.float32) - np.float32(centre * width)) / np.float32(size))[None, :]
    v = ((np.arange(y0, y1, dtype=np.float32) - np.float32(down * height)) / np.float32(size))[:, None]
    body = np.clip(1 - np.abs(u) ** np.float32(2.2), 0, 1)
    along = np.asarray((u + 1) * np.float32(0.5), dtype=np.float32)
    hang = body ** np.float32(0.8) * (
        np.float32(0.55) + curve(rng, 5, along) * np.float32(0.22) + curve(rng, 13, along) * np.float32(0.16)
    )
    hang += body * np.maximum(curve(rng, 27, along), 0) * np.float32(0.22) + body * np.float32(0.16)
    mound = body ** np.float32(0.6) * (np.float32(0.07) + curve(rng, 4, along) * np.float32(0.05)) + np.float32(
        0.0
    )
    cell = along * np.float32(34)
    tip = np.abs(cell - np.floor(cell) - np.float32(0.5)) * 2
    own = sample(tile, np.floor(cell) * np.float32(0.113) + seed, np.zeros_like(cell))
    wood = (
        np.maximum(1 - tip, 0)
        * np.clip(np.float32(0.55) + own * np.float32(0.4), 0, 1.2)
        * np.float32(0.15)
        * smoothstep(0.1, 0.5, body)
    )
    pixel = np.float32(1.2 / size)
    cover = np.clip((hang - v) / pixel, 0, 1) * np.clip((v + mound + wood) / pixel, 0, 1)

    rough = sample(tile, u * np.float32(0.42) + seed, v * np.float32(0.30) + 0 * u)
    fine = sample(tile, u * np.float32(1.7) + seed, v * np.float32(0.9) + 0 * u)
    toward = np.float32(np.sign(light.direction[0]))
    side = np.clip(
        np.float32(0.42) + u * toward * np.float32(0.5) + rough * np.float32(0.2) + fine * np.float32(0.14),
        0,
        1,
    )
    deep = np.clip(v / np.maximum(hang, np.float32(0.05)), 0, 1)
    rock = (
        linear("8a7c6d")
        + (linear("5d5350") - linear("8a7c6d"))
        * np.clip(np.float32(0.5) + fine * np.float32(0.3), 0, 1)[..., None]
    )
    lit = side * (1 - deep * np.float32(0.45))
    colour = rock * (
        lit[..., None] * light.sun * np.float32(0.8)
        + (np.float32(0.75) - np.float32(0.4) * deep)[..., None] * light.ambient
    )
    turf = 1 - smoothstep(0.0, 0.075, v + fine * np.float32(0.02))
    green = linear("eef4fb") if scene.has("snow") else linear("5d8038")
    leaf = linear("2e4d28")
    crown = smoothstep(-0.0, 0.02, -v - mound)
    meadow = (green + (leaf - green) * crown[..., None]) * (
        (np.float32(0.35) + side * np.float32(0.6))[..., None] * light.sun * np.float32(0.8)
        + light.ambient * np.float32(0.8)
    )
    colour += (meadow - colour) * turf[..., None]
    fade = np.float32(0.16 + 0.42 * far)
    colour += (haze[x0:x1][None] - colour) * fade
    part = target[y0:y1, x0:x1]
    part += (colour - part) * cover[..., None]
    # A stream falls from the meadow's edge and turns to spray.
    fall_at = np.float32(-0.42 if toward > 0 else 0.42)
    thread = (
        np.exp(-(((u - fall_at) / np.float32(0.018)) ** 2))
        * smoothstep(-0.01, 0.03, v)
        * np.exp(-np.maximum(v, 0) * np.float32(1.6))
    )
    spray = thread * np.clip(np.float32(0.75) + fine * np.float32(0.25), 0, 1) * np.float32(0.75)
    part += (light.haze * np.float32(0.6) + light.sun * np.float32(0.22) - part) * spray[..., None]
