"""Owns the water's surface: reflections, depth, the sun's glitter."""

# ruff: noqa: PLR2004 - a painter's proportions

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.providers.landscape.ground import Ground
from worker.providers.landscape.noise import Field, sample, smoothstep, spectral
from worker.providers.landscape.palette import Light, linear
from worker.providers.landscape.perspective import View
from worker.providers.landscape.setting import Setting
from worker.providers.landscape.vocabulary import Scene


@dataclass(frozen=True)
class _Wet:
    """The pixels that show water: their rows and columns, the shore's row over them, the waves' pull."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    shore: Field
    stretch: Field


def fill_water(picture: Field, sky: Field, ground: Ground, setting: Setting) -> None:
    """Paint the water into `picture`, which already holds land and sky; `sky` is the sky alone."""
    scene, view, light, dice = setting.scene, setting.view, setting.light, setting.dice
    wet = np.flatnonzero(ground.depth > 0)
    if wet.size == 0:
        return
    width = view.width
    pixels = ground.pixels[wet]
    row = pixels // width
    column = ground.column[wet]
    x, z = ground.x[wet], ground.z[wet]
    rough = 0.4 if scene.water == "river" else 0.45 if scene.water == "lake" else 1.0
    if scene.has("storm"):
        rough *= 1.9
    if scene.has("mist") and scene.water == "lake":
        rough *= 0.6
    waves = spectral(dice.stream("waves"), 512, 0.9)
    swell = sample(waves, x * np.float32(0.06), z * np.float32(0.16))
    chop = sample(waves, x * np.float32(0.31) + np.float32(0.4), z * np.float32(0.62))
    tilt = (swell * np.float32(0.6) + chop * np.float32(0.55)) * np.float32(rough)

    shore = _shore_row(ground, view, icy=scene.terrain == "ice")
    flat_depth = row - view.horizon
    stretch = (
        tilt
        * np.float32(view.height * 0.0052)
        * (1 + np.float32(2.2) * flat_depth.astype(np.float32) / np.float32(view.height * 0.4))
    )
    at = _Wet(row, column, shore.ravel()[pixels], stretch)
    mirror = _mirror(picture, sky, at, ground, view)

    # Schlick's approximation of Fresnel reflectance: near water is looked into, far water is a mirror.
    sine = np.float32(view.eye) / np.sqrt(z * z + np.float32(view.eye**2)) + tilt * np.float32(0.035)
    bounce = np.float32(0.06) + np.float32(0.94) * np.clip(1 - sine * np.float32(0.95), 0, 1) ** 4
    body = _body(scene, light, ground.depth[wet])
    colour = body + (mirror - body) * bounce[:, None]
    colour *= (1 + tilt * np.float32(0.055))[:, None]
    colour += _glitter(setting, at, chop + swell * np.float32(0.5))
    # A line of foam or wet stones where water meets land.
    rim = 1 - smoothstep(
        0.0, 0.022 if scene.water != "sea" else 0.05, ground.depth[wet] + chop * np.float32(0.006)
    )
    colour += rim[:, None] * (light.ambient * np.float32(0.30) + light.sun * np.float32(0.06))
    picture.reshape(-1, 3)[pixels] = colour


def _shore_row(ground: Ground, view: View, *, icy: bool) -> Field:
    """Return, for every pixel, the row of the shore that stands over it in its column."""
    dry = np.ones(view.height * view.width, dtype=bool)
    # Plates of ice are too low to be a shore.
    flat = ground.height < (0.05 if icy else 0)
    dry[ground.pixels[(ground.depth > 0) | flat]] = False
    rows = np.arange(view.height, dtype=np.float32)[:, None]
    return np.maximum.accumulate(np.where(dry.reshape(view.height, view.width), rows, 0), axis=0)


def _mirror(picture: Field, sky: Field, at: _Wet, ground: Ground, view: View) -> Field:
    """Return what each water pixel reflects.

    A point shown in row s at distance z is mirrored in row 2·horizon + 2·focal·eye/z - s; which s answers
    to a given row depends on z, so a few rounds from the shore's distance home in on it.
    """
    row, column, shore, stretch = at.row, at.column, at.shore, at.stretch
    width = view.width
    nearness = np.zeros(view.height * width, dtype=np.float32)
    nearness[ground.pixels] = np.float32(2 * view.focal * view.eye) / ground.z
    at_horizon = np.float32(2 * view.horizon) - row.astype(np.float32) + stretch
    bank = shore.astype(np.int64)
    source = np.clip(2 * shore - np.float32(2 * view.horizon) + at_horizon, 0, shore).astype(np.int64)
    for _ in range(4):
        source = np.clip(at_horizon + nearness[source * width + column], 0, shore).astype(np.int64)
    source = np.clip(source, 0, bank)
    is_sky = source < ground.hits.crest[column]
    above = np.minimum(source, sky.shape[0] - 1) * width + column
    flat = picture.reshape(-1, 3)
    mirrored = np.where(is_sky[:, None], sky.reshape(-1, 3)[above], flat[source * width + column])
    return np.asarray(mirrored, dtype=np.float32)


def _body(scene: Scene, light: Light, depth: Field) -> Field:
    shallow, deep = linear("5f8f84"), linear("12333f")
    if scene.terrain == "islands":
        shallow, deep = linear("4fe0cf"), linear("0b5a8c")
    elif scene.terrain == "swamp":
        shallow, deep = linear("5b5a2c"), linear("22261a")
    elif scene.terrain == "ice":
        shallow, deep = linear("7fc4dc"), linear("0f3f5c")
    if scene.has("cursed"):
        shallow, deep = linear("6d8a2c"), linear("1d2a12")
    if scene.has("blood"):
        shallow, deep = linear("a02418"), linear("3a0806")
    clear = 0.55 if scene.terrain == "islands" else 0.3
    share = np.clip(1 - np.exp(-depth / np.float32(clear)), 0, 1)[:, None]
    lit = light.ambient * np.float32(0.75) + light.sun * np.float32(max(light.direction[1], 0.1) * 0.45)
    return np.asarray((shallow + (deep - shallow) * share) * lit, dtype=np.float32)


def _glitter(setting: Setting, at: _Wet, face: Field) -> Field:
    """Return sparks of the disc on the wave faces under it."""
    scene, view, light = setting.scene, setting.view, setting.light
    row, column = at.row, at.column
    if scene.has("storm", "snowfall"):
        return np.zeros((row.size, 3), dtype=np.float32)
    tall = np.float32(view.height)
    drop = (row.astype(np.float32) - np.float32(view.horizon)) / tall
    off = (column.astype(np.float32) - np.float32(light.sun_x * view.width)) / tall
    wide = np.float32(0.03) + drop * np.float32(0.24)
    lane = np.exp(-((off / wide) ** 2))
    sparks = smoothstep(0.55, 1.75, face) * np.float32(1.5) + smoothstep(-0.5, 1.5, face) * np.float32(0.16)
    far = np.clip(np.float32(1.25) - drop * np.float32(1.6), 0.25, 1)
    power = lane * sparks * far * np.float32(0.9 if light.sun_rise < 0.45 else 0.22)
    return np.asarray(power[:, None] * (light.sun + light.glow * np.float32(0.4)), dtype=np.float32)
