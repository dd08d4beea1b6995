"""Owns the ground's shape: a height map of the world in front of the viewer, and the sun's shadows on it.

The map covers 64 by 64 world units: X runs from -32 (left) to 32, Z from 0 (the viewer) to 64. Water lies
at height 0.
"""

# ruff: noqa: PLR2004 - a painter's proportions

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from worker.providers.landscape.noise import Dice, Field, curve, octave, smoothstep, spectral
from worker.providers.landscape.palette import Light
from worker.providers.landscape.vocabulary import Scene

SPAN: Final = 64.0
_OCTAVES: Final = (3, 7, 15, 31, 61, 127, 251)
_SHADOW_STEPS: Final = (0.35, 0.8, 1.4, 2.2, 3.3, 4.8, 6.8, 9.5)


@dataclass(frozen=True)
class Site:
    """Where a structure stands, in world units."""

    x: float
    z: float
    height: float


@dataclass(frozen=True)
class Terrain:
    """The world's ground.

    Attributes:
        height: the map, rows by Z, columns by X, in world units.
        shadow: direct light that reaches the ground, 0 to 1.
        openness: ambient light that reaches it, about 0.5 to 1.3.
        detail: a tile of noise with deviation 1, for what is finer than the map.
        eye: height of the viewer.
        site: the place kept for a castle, tower, ruin, village or city.
        summit: the volcano's crater; None without one.
    """

    height: Field
    shadow: Field
    openness: Field
    detail: Field
    eye: float
    site: Site
    summit: Site | None


@dataclass(frozen=True)
class _Plan:
    """What every shape is built from; X and Z are broadcastable rows and columns of coordinates."""

    x: Field
    z: Field
    ridges: Field
    swell: Field
    path: Field
    rng: np.random.Generator
    scene: Scene
    side: float


def build_terrain(scene: Scene, light: Light, dice: Dice, size: int) -> Terrain:
    """Raise the ground of a scene as a `size`² map (a power of two, 256 to 1024)."""
    rng = dice.stream("terrain")
    z = np.linspace(0, SPAN, size, endpoint=False, dtype=np.float32)[:, None]
    x = np.linspace(-SPAN / 2, SPAN / 2, size, endpoint=False, dtype=np.float32)[None, :]
    # Valleys wind towards the sun, so that it stands in the gap between the slopes.
    aim = (light.sun_x - 0.5) * 1.17
    path = aim * z + curve(rng, 7, z / SPAN) * np.minimum(z * 0.1, 2.0)
    ridges, swell = _relief(dice, size)
    side = -1.0 if light.sun_x > 0.5 else 1.0
    plan = _Plan(x, z, ridges, swell, path, rng, scene, side)

    height = _SHAPES[scene.terrain](plan)
    height = _with_water(plan, height)
    summit = _summit(plan) if scene.terrain == "volcano" else None
    height, site = _with_site(plan, height)
    eye = _EYES.get(scene.terrain, 0.95)
    # The viewer must not stand inside a hill.
    headroom = eye - 0.42 + smoothstep(2.0, 13.0, z) * 14
    height = np.minimum(height, headroom).astype(np.float32)
    detail = spectral(dice.stream("detail"), 512, 1.15)
    return Terrain(height, cast_shadow(height, light), _openness(height), detail, eye, site, summit)


def _relief(dice: Dice, size: int) -> tuple[Field, Field]:
    """Return eroded ridges in about 0..1 and a smooth swell in about -1..1.

    Each octave counts less where the octaves before it are steep, which leaves sharp crests over smooth
    flanks (I. Quilez, "Value noise derivatives", 2008), and is folded at zero into a ridge (Musgrave, in
    *Texturing and Modeling*, 1994).
    """
    small = size // 2
    total = np.zeros((small, small), dtype=np.float32)
    slope_x = np.zeros_like(total)
    slope_z = np.zeros_like(total)
    swell = np.zeros_like(total)
    amplitude = 0.5
    for cells in _OCTAVES:
        if cells > size // 5:
            break
        rng = dice.stream(f"relief {cells}")
        if cells == _OCTAVES[5]:
            total, slope_x, slope_z = (_enlarged(field, size) for field in (total, slope_x, slope_z))
        bumps = octave(rng, cells, total.shape[0])
        if cells <= _OCTAVES[1]:
            swell += bumps * np.float32(0.8 if cells == _OCTAVES[0] else 0.35)
        fold = 1 - np.abs(bumps) * np.float32(1.5)
        fold *= np.float32(amplitude)
        # Slopes per world unit, whatever the size of the map.
        scale = np.float32(total.shape[0] / SPAN * 0.9)
        slope_x += np.diff(fold, axis=1, append=fold[:, :1]) * scale
        slope_z += np.diff(fold, axis=0, append=fold[:1]) * scale
        fold /= 1 + (slope_x * slope_x + slope_z * slope_z) * np.float32(1.6)
        total += fold
        amplitude *= 0.5
    total = total if total.shape[0] == size else _enlarged(total, size)
    return np.clip(total * np.float32(1.15), 0, 1.2), _enlarged(swell, size)


def _enlarged(field: Field, size: int) -> Field:
    image = Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.float32)


def _valley(plan: _Plan, width: float, spread: float) -> Field:
    """Return 0 on the valley's floor to 1 on its shoulders."""
    return smoothstep(0.1, 1.15, np.abs(plan.x - plan.path) / (np.float32(width) + np.float32(spread) * plan.z))


def _mountains(plan: _Plan) -> Field:
    far = smoothstep(6, 36, plan.z)
    peaks = plan.ridges ** np.float32(1.35) * (1 + plan.swell * np.float32(0.35))
    height = peaks * far * (np.float32(3.4) + _valley(plan, 3.0, 0.3) * np.float32(11.5))
    if plan.scene.has("floating"):
        # Room in the sky for the islands.
        height *= np.float32(0.5)
    return np.asarray(height + (plan.ridges - np.float32(0.35)) * np.float32(0.9) * smoothstep(1, 8, plan.z))


def _hills(plan: _Plan) -> Field:
    far = smoothstep(5, 40, plan.z)
    roll = (plan.swell + 1) * np.float32(0.5)
    fold = np.sin(plan.z * np.float32(0.55) + plan.swell * 2 + plan.x * np.float32(0.13))
    height = roll * (np.float32(0.5) + far * np.float32(3.6)) + fold * (np.float32(0.16) + far * np.float32(0.5))
    height += plan.ridges * np.float32(0.5) * smoothstep(4, 20, plan.z)
    height += plan.ridges**2 * smoothstep(38, 56, plan.z) * np.float32(7)
    height *= np.float32(0.45) + np.float32(0.55) * _valley(plan, 3.5, 0.2)
    return np.asarray(height, dtype=np.float32)


def _dunes(plan: _Plan) -> Field:
    def crests(across: Field, warp: float) -> Field:
        # A long windward slope, then the slip face at the angle of repose.
        part = across + plan.swell * np.float32(warp)
        part -= np.floor(part)
        lee = (part - np.float32(0.74)) / np.float32(0.26)
        wind = part / np.float32(0.74)
        rise = wind * wind * (np.float32(1.8) - np.float32(0.8) * wind)
        return np.where(part < np.float32(0.74), rise, 1 - lee * (2 - lee))

    angle = 0.17 * plan.side
    great = crests(plan.z * np.float32(0.062) + plan.x * np.float32(angle * 0.55), 0.95)
    small = crests(plan.z * np.float32(0.23) - plan.x * np.float32(angle * 0.9) + np.float32(0.4), 0.9)
    far = np.float32(0.7) + smoothstep(4, 24, plan.z) * np.float32(1.9)
    height = great * far * (np.float32(1.1) + plan.swell * np.float32(0.5)) + small * np.float32(0.32) * far
    # Wind rounds a crest; without this the map's cells would show as teeth along it.
    soft = Image.fromarray(height.astype(np.float32)).reduce(2)
    return _enlarged(np.asarray(soft, dtype=np.float32), height.shape[0]) - np.float32(0.15)


def _islands(plan: _Plan) -> Field:
    height = np.full((plan.z.shape[0], plan.x.shape[1]), -1.1, dtype=np.float32)
    for index in range(8):
        z = float(plan.rng.uniform(11, 50)) if index else 17.0
        x = float(plan.rng.uniform(-0.62, 0.62)) * z if index else plan.side * 4.6
        radius = float(plan.rng.uniform(1.5, 2.8)) * (0.5 + z / 26)
        rise = float(plan.rng.uniform(0.8, 2.4)) * (0.4 + z / 24) if index else 1.5
        away = ((plan.x - np.float32(x)) / np.float32(radius * 1.5)) ** 2
        away = away + ((plan.z - np.float32(z)) / np.float32(radius)) ** 2
        height += (
            np.exp(-away * np.float32(0.9))
            * np.float32(rise + 1.0)
            * (np.float32(0.62) + plan.ridges * np.float32(0.75))
        )
    land = smoothstep(-0.4, 1.2, height)
    height += (plan.ridges - np.float32(0.35)) * (land * np.float32(3.0) + np.float32(0.12))
    return np.asarray(height, dtype=np.float32)


def _sea_floor(plan: _Plan) -> Field:
    return np.full((plan.z.shape[0], plan.x.shape[1]), -1.5, dtype=np.float32)


def _canyon(plan: _Plan) -> Field:
    away = np.abs(plan.x - plan.path) + plan.swell * np.float32(0.9)
    away += (plan.ridges - np.float32(0.4)) * np.float32(2.6)
    rise = np.clip((away - np.float32(2.1) - plan.z * np.float32(0.07)) / np.float32(4.6), 0, 1)
    # Hard and soft beds: cliffs and benches in turn.
    steps = rise * 7
    whole = np.floor(steps)
    rise = (
        whole + smoothstep(0.12, 0.62, steps - whole) * np.float32(0.88) + (steps - whole) * np.float32(0.12)
    ) / 7
    height = rise * (np.float32(5.4) + plan.swell * np.float32(1.3)) * smoothstep(1.0, 6.5, plan.z)
    return np.asarray(height + plan.ridges * np.float32(0.3) - np.float32(0.2), dtype=np.float32)


def _plain(plan: _Plan) -> Field:
    height = (plan.swell + np.float32(0.8)) * np.float32(0.3) + plan.ridges * np.float32(0.16)
    height += plan.ridges**2 * smoothstep(36, 54, plan.z) * (np.float32(6) + plan.swell * 3)
    return np.asarray(height, dtype=np.float32)


def _volcano(plan: _Plan) -> Field:
    base = _mountains(plan) * np.float32(0.32) - np.float32(0.25)
    summit = _summit(plan)
    across = plan.x - np.float32(summit.x)
    along = plan.z - np.float32(summit.z)
    away = np.sqrt(across * across + along * along)
    away *= 1 + plan.swell * np.float32(0.08)
    cone = np.float32(12.5) * np.exp(-away / np.float32(6.6)) - np.float32(0.5)
    gullies = (
        (plan.ridges - np.float32(0.4))
        * np.float32(1.7)
        * smoothstep(0.6, 6, away)
        * (1 - smoothstep(9, 26, away))
    )
    cone = np.minimum(
        cone + gullies, np.float32(summit.height) + (plan.ridges - np.float32(0.4)) * np.float32(0.7)
    )
    cone -= (1 - smoothstep(0.2, 1.5, away)) * np.float32(1.6)
    return np.asarray(np.maximum(base, cone), dtype=np.float32)


def _summit(plan: _Plan) -> Site:
    return Site(plan.side * 4.2, 30.0, 9.4)


def _ice(plan: _Plan) -> Field:
    height = _mountains(plan) * np.float32(0.8)
    steps = height * np.float32(1.4)
    shelf = (np.floor(steps) + smoothstep(0.55, 0.95, steps - np.floor(steps))) / np.float32(1.4)
    return np.asarray(height * np.float32(0.55) + shelf * np.float32(0.45), dtype=np.float32)


def _swamp(plan: _Plan) -> Field:
    height = plan.swell * np.float32(0.14) + (plan.ridges - np.float32(0.52)) * np.float32(0.5)
    height += plan.ridges * smoothstep(18, 46, plan.z) * np.float32(2.2)
    return np.asarray(height, dtype=np.float32)


_SHAPES: Final[dict[str, Callable[[_Plan], Field]]] = {
    "mountains": _mountains,
    "hills": _hills,
    "dunes": _dunes,
    "islands": _islands,
    "canyon": _canyon,
    "plain": _plain,
    "volcano": _volcano,
    "ice": _ice,
    "swamp": _swamp,
}
_EYES: Final = {"canyon": 1.25, "hills": 1.35, "dunes": 1.5, "plain": 1.15, "islands": 1.2, "volcano": 1.15}


def _with_water(plan: _Plan, height: Field) -> Field:
    """Lower the ground where the scene wants water; without water nothing stays under it."""
    water = plan.scene.water
    rough = plan.swell * np.float32(1.2) + (plan.ridges - np.float32(0.4)) * np.float32(3.0)
    if water == "lake" and plan.scene.terrain != "swamp":
        across = (plan.x - plan.path) / np.float32(7.5)
        along = (plan.z - np.float32(9.5)) / np.float32(10.0)
        basin = 1 - smoothstep(0.55, 1.25, np.sqrt(across * across + along * along) + rough * np.float32(0.07))
        return np.asarray(height * (1 - basin) - basin * np.float32(0.9), dtype=np.float32)
    if water == "sea" and plan.scene.terrain != "islands":
        if plan.scene.terrain == "volcano":
            open_sea = 1 - smoothstep(16, 24, plan.z + rough)
            open_sea = np.maximum(
                open_sea, smoothstep(9, 15, np.abs(plan.x - np.float32(plan.side * 4.2)) + rough)
            )
        else:
            open_sea = smoothstep(
                -2.5,
                3.0,
                (plan.path - plan.x) * np.float32(-plan.side) + plan.z * np.float32(0.1) - 2 + rough,
            )
            open_sea = np.maximum(open_sea, 1 - smoothstep(6, 12, plan.z + rough))
        return np.asarray(height * (1 - open_sea) - open_sea * np.float32(1.2), dtype=np.float32)
    if water == "river":
        winding = plan.path + np.sin(plan.z * np.float32(0.42)) * np.float32(0.9) * smoothstep(1, 10, plan.z)
        channel = np.abs(plan.x - winding) - np.float32(0.55) - plan.z * np.float32(0.03)
        bed = 1 - smoothstep(0.0, 1.6, channel + plan.swell * np.float32(0.2))
        height = np.maximum(height, np.float32(0.06)) + np.float32(0.05)
        return np.asarray(height * (1 - bed) - bed * np.float32(0.5), dtype=np.float32)
    if water == "none":
        floor = np.float32(0.02) + plan.ridges * np.float32(0.1)
        return np.asarray(np.maximum(height, floor), dtype=np.float32)
    return height


def _with_site(plan: _Plan, height: Field) -> tuple[Field, Site]:
    """Prepare the ground under a structure: a crag for a castle, a level place for a town."""
    scene = plan.scene
    town = scene.has("city", "village")
    z = (13.0 if scene.terrain == "canyon" else 15.0) if scene.has("city") else 12.5 if town else 13.0
    x = float(plan.rng.uniform(0.16, 0.22)) * plan.side * z
    if scene.terrain == "canyon" or (scene.has("city") and scene.water != "lake"):
        index = int(z / SPAN * height.shape[0])
        x = float(plan.path[index, 0])
    if not scene.has("castle", "ruins", "tower", "city", "village"):
        return height, Site(x, z, 0.0)
    across = plan.x - np.float32(x)
    along = plan.z - np.float32(z)
    top = {"mountains": 1.9, "hills": 2.3, "volcano": 1.6}.get(scene.terrain, 1.4)
    if town:
        level = 0.22
        flat = np.exp(-((across / np.float32(4.2)) ** 4) - (along / np.float32(3.0)) ** 4)
        return np.asarray(height * (1 - flat) + np.float32(level) * flat), Site(x, z, level)
    away = np.sqrt(across * across + along * along)
    crag = (
        np.float32(top + 0.5)
        - away * np.float32(0.62)
        + (plan.ridges - np.float32(0.4)) * smoothstep(0.9, 2.5, away)
    )
    crag = np.minimum(crag, np.float32(top))
    # Nothing nearer may hide the crag.
    near = (
        np.exp(-((across / np.float32(3.4)) ** 4)) * smoothstep(-9.0, -2.5, along) * (1 - smoothstep(0, 2, along))
    )
    height = np.minimum(height, np.float32(20) - near * np.float32(20 - top * 0.45))
    return np.maximum(height, crag).astype(np.float32), Site(x, z, top)


def cast_shadow(height: Field, light: Light) -> Field:
    """March from the ground towards the light and return how much of it arrives."""
    size = height.shape[0]
    # A quarter of the map's cells is enough for shadows, and a soft edge is wanted anyway.
    small = np.asarray(Image.fromarray(height).reduce(2), dtype=np.float32)
    flat = float(np.hypot(light.direction[0], light.direction[2]))
    climb = light.direction[1] / flat
    per_unit = small.shape[0] / SPAN
    hidden = np.full_like(small, -1.0)
    for reach in _SHADOW_STEPS:
        right = round(light.direction[0] / flat * reach * per_unit)
        away = round(light.direction[2] / flat * reach * per_unit)
        over = np.roll(small, (-away, -right), axis=(0, 1)) - small
        over -= np.float32(reach * climb)
        over /= np.float32(0.25 + reach * 0.12)
        np.maximum(hidden, over, out=hidden)
    lit = 1 - smoothstep(-0.5, 0.55, hidden)
    return _enlarged(lit, size)


def _openness(height: Field) -> Field:
    """Return more than 1 on crests and less in hollows: the ground against its blurred self."""
    size = height.shape[0]
    blurred = Image.fromarray(height).reduce(16).resize((size, size), Image.Resampling.BICUBIC)
    relative = (height - np.asarray(blurred, dtype=np.float32)) * np.float32(0.55)
    return np.asarray(np.clip(1 + relative, 0.5, 1.3), dtype=np.float32)
