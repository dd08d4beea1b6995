"""Owns the land's surface: what every visible piece of ground is made of, and how it is lit."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.landscape.forest import growth, plant
from worker.providers.landscape.noise import Field, octave, sample, sample_layers, smoothstep
from worker.providers.landscape.palette import Light, linear
from worker.providers.landscape.perspective import FARTHEST, Hits, find_hits
from worker.providers.landscape.setting import Setting
from worker.providers.landscape.terrain import SPAN, Terrain
from worker.providers.landscape.vocabulary import Scene

# Low ground in two shades, rock in two shades.
_EARTH: Final[Mapping[str, tuple[str, str, str, str]]] = MappingProxyType(
    {
        "mountains": ("4f6430", "747a44", "777069", "524b4a"),
        "hills": ("547432", "8c9a4c", "7d7466", "5c564e"),
        "dunes": ("d8a263", "ecc58a", "c98f55", "b97c48"),
        "islands": ("41702f", "6d8a40", "857a68", "5d564c"),
        "canyon": ("c07a4c", "d9a06c", "b4573a", "7e3c2c"),
        "plain": ("8c9148", "b3a55c", "857a64", "665e50"),
        "volcano": ("38332c", "4d453c", "453a36", "26211f"),
        "ice": ("dbe8f2", "eef5fa", "93a9bc", "6f8799"),
        "swamp": ("414a28", "5f6135", "57523f", "3d3a2e"),
    }
)
_FLOWERS: Final = ("d84a6b", "f2c53d", "8a6be0", "f4f1ea")
_DETAIL_UNITS: Final = 5.0
_ROUGHNESS: Final = MappingProxyType({"dunes": 0.004, "ice": 0.02, "plain": 0.012, "hills": 0.012})


@dataclass(frozen=True)
class Ground:
    """The visible ground, one entry for each pixel that shows land or water.

    Attributes:
        pixels: indices into the flattened picture.
        colour: lit colour before haze; undefined where there is water.
        glow: light of its own (lava); None without any.
        x: world X.
        z: distance, in world units.
        height: height over the water.
        depth: depth of water, in world units; not above 0 on land.
        column: column of the picture.
        hits: what the view found.
    """

    pixels: NDArray[np.int64]
    colour: Field
    glow: Field | None
    x: Field
    z: Field
    height: Field
    depth: Field
    column: NDArray[np.int64]
    hits: Hits


@dataclass(frozen=True)
class _Spot:
    """What is known about every visible pixel before it is coloured."""

    x: Field
    z: Field
    height: Field
    shadow: Field
    openness: Field
    normal: tuple[Field, Field, Field]
    fine: Field
    broad: Field
    steep: Field


@dataclass(frozen=True)
class _Leaf:
    """What is known about every pixel of a tree.

    Attributes:
        tone: random number of the tree, 0 to 1.
        across: -1 at the tree's left rim to 1.
        lift: 0 at its foot to 1; crowns are lit, feet stand in each other's shade.
        shadow: direct light at its place, 0 to 1.
    """

    tone: Field
    across: Field
    lift: Field
    shadow: Field


def lay_ground(setting: Setting) -> Ground:
    """Find and light the ground that the viewer sees."""
    scene, view, terrain, light = setting.scene, setting.view, setting.terrain, setting.light
    surface, density = _surface(setting)
    trees = plant(scene, view, density, setting.dice)
    ground = view.row(np.maximum(surface, 0), view.z[:, None])
    hits = find_hits(view, ground, ground - trees.tall * (np.float32(view.focal) / view.z[:, None]))

    count, width = surface.shape
    visible = np.flatnonzero(hits.slice_index < count)
    column = visible % width
    row = (visible // width + hits.top).astype(np.float32)
    cut = hits.slice_index.ravel()[visible]
    before = np.maximum(cut - 1, 0)
    part = hits.part.ravel()[visible]
    here = cut * width + column
    is_tree = (trees.tall.ravel()[here] > 0) & (row < ground.ravel()[here] - np.float32(0.01))
    part = np.where(is_tree, np.float32(1), part)
    z = view.z[before] + (view.z[cut] - view.z[before]) * part
    x = view.u[column] * z
    height = np.float32(view.eye) - (row - np.float32(view.horizon)) * z / np.float32(view.focal)
    under = surface.ravel()[before * width + column]
    raw = under + (surface.ravel()[here] - under) * part
    depth = np.where(is_tree, np.float32(-1), -raw)

    spot = _look(scene, terrain, x, z, height)
    colour = _lit(_albedo(scene, terrain, spot), spot, light)
    leaves = np.flatnonzero(is_tree)
    lift = (ground.ravel()[here[leaves]] - row[leaves]) * z[leaves] / np.float32(view.focal * 0.24)
    leaf = _Leaf(
        trees.tone.ravel()[here[leaves]],
        trees.across.ravel()[here[leaves]],
        np.clip(lift, 0, 1),
        spot.shadow[leaves],
    )
    colour[leaves] = _foliage(scene, leaf, light)
    glow = _lava(scene, terrain, spot, is_tree) if scene.has("lava") else None
    pixels = visible + hits.top * width
    return Ground(pixels, colour, glow, x, z, height, depth, column, hits)


def _surface(setting: Setting) -> tuple[Field, Field]:
    """Return height and tree density of every slice and column."""
    scene, view, terrain, dice = setting.scene, setting.view, setting.terrain, setting.dice
    z = view.z[:, None]
    x = view.u[None, :] * z
    layers = np.stack([terrain.height, growth(scene, terrain)], axis=-1)
    surface, density = sample_layers(
        layers, x / np.float32(SPAN) + np.float32(0.5), np.broadcast_to(z / np.float32(SPAN), x.shape)
    )
    fine = sample(
        terrain.detail, x / np.float32(_DETAIL_UNITS), np.broadcast_to(z / np.float32(_DETAIL_UNITS), x.shape)
    )
    rough = np.float32(_ROUGHNESS.get(scene.terrain, 0.032))
    if scene.terrain != "dunes":
        surface += fine * rough * smoothstep(-0.02, 0.25, surface) * (1 - smoothstep(10, 30, z))
    if scene.terrain == "ice" and scene.water != "none":
        plates = octave(dice.stream("floes"), 19, 512) + octave(dice.stream("brash"), 61, 512) * np.float32(0.4)
        # Floes: plates of ice where a noise of the water's surface is high.
        floes = sample(plates, x / np.float32(26), np.broadcast_to(z / np.float32(19), x.shape))
        surface = np.where((floes > np.float32(0.16)) & (surface < 0), np.float32(0.03), surface)
    beyond = view.z > np.float32(FARTHEST)
    surface[beyond] = 0.02 if scene.water == "none" else -1.0
    density[beyond] = 0
    return surface, density


def _look(scene: Scene, terrain: Terrain, x: Field, z: Field, height: Field) -> _Spot:
    size = terrain.height.shape[0]
    step = np.float32(size / SPAN / 2)
    slope_x = (np.roll(terrain.height, -1, axis=1) - np.roll(terrain.height, 1, axis=1)) * step
    slope_z = (np.roll(terrain.height, -1, axis=0) - np.roll(terrain.height, 1, axis=0)) * step
    layers = np.stack([terrain.shadow, terrain.openness, slope_x, slope_z], axis=-1)
    shadow, openness, tilt_x, tilt_z = sample_layers(
        layers, x / np.float32(SPAN) + np.float32(0.5), z / np.float32(SPAN)
    )
    tile = terrain.detail
    bumps = np.stack(
        [tile, np.diff(tile, axis=1, append=tile[:, :1]), np.diff(tile, axis=0, append=tile[:1])], axis=-1
    )
    fine, bump_x, bump_z = sample_layers(bumps, x / np.float32(_DETAIL_UNITS), z / np.float32(_DETAIL_UNITS))
    # One sample of the tile covers less ground near by than far away; let distant bumps fade.
    rough = np.float32(_ROUGHNESS.get(scene.terrain, 0.032) * tile.shape[0] / _DETAIL_UNITS * 0.17)
    near = np.minimum(1, np.float32(5) / z) * rough
    steep = tilt_x * tilt_x + tilt_z * tilt_z
    tilt_x += bump_x * near
    tilt_z += bump_z * near
    if scene.terrain == "dunes":
        # Wind ripples, finer than any map.
        ripple = np.cos((z * np.float32(9) + x * np.float32(2.2)) + fine * np.float32(1.6) + height * 3)
        tilt_z += ripple * np.float32(0.20) * np.minimum(1, np.float32(4) / z)
    size_of = 1 / np.sqrt(1 + tilt_x * tilt_x + tilt_z * tilt_z)
    broad = sample(tile, x / np.float32(41), z / np.float32(41))
    return _Spot(
        x,
        z,
        height,
        shadow,
        openness,
        (-tilt_x * size_of, size_of, -tilt_z * size_of),
        fine,
        broad,
        np.sqrt(steep),
    )


def _mix(first: Field, second: Field, share: Field) -> Field:
    return np.asarray(first + (second - first) * share[:, None], dtype=np.float32)


def _albedo(scene: Scene, terrain: Terrain, spot: _Spot) -> Field:
    low_a, low_b, rock_a, rock_b = (linear(code) for code in _EARTH[scene.terrain])
    if scene.has("cursed"):
        low_a, low_b = low_a * np.float32(0.5), linear("5d5a3a")
    shade = np.clip(np.float32(0.5) + spot.broad * np.float32(0.3) + spot.fine * np.float32(0.16), 0, 1)
    colour = _mix(low_a, low_b, shade)
    bed = spot.height * np.float32(2.3 if scene.terrain == "canyon" else 1.4) + spot.broad * np.float32(0.4)
    strata = np.float32(0.5) + np.float32(0.5) * np.sin(bed * np.float32(5) + np.sin(bed * 13) * np.float32(1.2))
    rock = _mix(
        rock_a,
        rock_b,
        np.clip(strata * np.float32(0.6) + spot.fine * np.float32(0.18) + np.float32(0.2), 0, 1),
    )
    bare = smoothstep(0.55, 1.0, spot.steep + spot.fine * np.float32(0.07))
    if scene.terrain in {"mountains", "volcano"}:
        bare = np.maximum(bare, smoothstep(2.4, 4.6, spot.height + spot.broad * np.float32(0.6)))
    # Sand has no rock, and the tropics cover theirs with green.
    bare *= np.float32({"dunes": 0.25, "islands": 0.5}.get(scene.terrain, 1.0))
    colour = _mix(colour, rock, bare)
    if scene.water != "none" and scene.terrain not in {"ice", "dunes"}:
        sand = linear(
            "e9d6a8" if scene.terrain == "islands" else "2b2622" if scene.terrain == "volcano" else "9a8a6c"
        )
        wide = 0.22 if scene.terrain == "islands" else 0.07
        colour = _mix(colour, sand, 1 - smoothstep(wide * 0.4, wide, spot.height + spot.fine * np.float32(0.01)))
    if scene.has("meadow") and scene.terrain != "ice":
        blossom = sample(terrain.detail, spot.x / np.float32(1.1), spot.z / np.float32(1.1))
        bloom = smoothstep(1.2, 1.9, blossom) * (1 - bare) * smoothstep(-0.2, 0.6, spot.broad)
        bloom *= smoothstep(0.02, 0.1, spot.height) * (1 - smoothstep(9, 22, spot.z))
        kind = np.clip((np.sin(spot.x * 3 + spot.broad * 5) * 2 + 2).astype(np.int64), 0, 3)
        colour = _mix(colour, np.stack([linear(code) for code in _FLOWERS])[kind], bloom * np.float32(0.85))
    snow = _snow(scene, spot)
    if snow is not None:
        colour = _mix(colour, linear("f4f8ff"), snow)
    return colour


def _snow(scene: Scene, spot: _Spot) -> Field | None:
    if scene.terrain in {"dunes", "volcano", "canyon", "swamp", "islands"} and not scene.has("snow"):
        return None
    if scene.has("snow"):
        lies = 1 - smoothstep(0.75, 1.5, spot.steep + spot.fine * np.float32(0.1))
        return np.asarray(
            lies
            * (smoothstep(0.0, 0.12, spot.height) if scene.water != "none" else np.float32(1))
            * np.float32(0.95),
            dtype=np.float32,
        )
    line = 4.1 if scene.terrain == "mountains" else 4.6
    high = smoothstep(line, line + 1.5, spot.height + spot.broad * np.float32(0.7) + spot.fine * np.float32(0.15))
    return np.asarray(
        high * (1 - smoothstep(1.15, 2.0, spot.steep + spot.fine * np.float32(0.12))), dtype=np.float32
    )


def _lit(albedo: Field, spot: _Spot, light: Light) -> Field:
    right, up, away = light.direction
    nx, ny, nz = spot.normal
    direct = np.maximum(nx * np.float32(right) + ny * np.float32(up) + nz * np.float32(away), 0) * spot.shadow
    fill = (np.float32(0.62) + np.float32(0.38) * ny) * spot.openness
    albedo *= direct[:, None] * light.sun + fill[:, None] * light.ambient
    return albedo


def _foliage(scene: Scene, leaf: _Leaf, light: Light) -> Field:
    tone, across, lift = leaf.tone, leaf.across, leaf.lift
    dark, bright = linear("1d3320"), linear("4d6a34")
    if scene.has("jungle"):
        dark, bright = linear("1f4a20"), linear("6f9a3a")
    elif scene.has("broadleaf"):
        dark, bright = linear("2b4a1e"), linear("7c9440")
    if scene.has("cursed"):
        dark, bright = linear("1c1a17"), linear("3c3a2c")
    if scene.has("enchanted"):
        dark, bright = linear("163c3c"), linear("4f8a78")
    if scene.has("golden", "autumn"):
        dark, bright = linear("6e2f12"), linear("dda038")
    colour = _mix(dark, bright, tone * np.float32(0.75))
    if scene.has("snow"):
        colour = _mix(
            colour, linear("eef4fb"), smoothstep(0.45, 0.95, lift + tone * np.float32(0.3)) * np.float32(0.8)
        )
    side = np.float32(0.5) + across * np.float32(0.5 if light.direction[0] > 0 else -0.5)
    direct = np.clip(side * np.float32(1.1), 0, 1) * (np.float32(0.2) + np.float32(0.8) * lift) * leaf.shadow
    fill = np.float32(0.25) + np.float32(0.65) * lift
    colour *= direct[:, None] * light.sun * np.float32(0.85) + fill[:, None] * light.ambient
    return colour


def _lava(scene: Scene, terrain: Terrain, spot: _Spot, is_tree: NDArray[np.bool_]) -> Field:
    """Return the light of molten rock: streams down a summit's flanks, or veins in the plain."""
    if terrain.summit is None:
        vein = np.abs(spot.broad + spot.fine * np.float32(0.15))
        heat = (1 - smoothstep(0.02, 0.13, vein)) * (1 - smoothstep(0.3, 1.1, spot.height))
    else:
        across = spot.x - np.float32(terrain.summit.x)
        along = spot.z - np.float32(terrain.summit.z)
        away = np.sqrt(across * across + along * along) + np.float32(0.01)
        angle = np.arctan2(across, -along)
        # A stream keeps its angle and meanders; further down it narrows and cools.
        course = sample(
            terrain.detail,
            angle * np.float32(0.19) + np.sin(away * np.float32(1.3)) * np.float32(0.008),
            away * np.float32(0.012),
        )
        width = np.float32(0.2) + np.float32(0.35) / (1 + away)
        heat = (1 - smoothstep(0.0, 1.0, np.abs(course) / width)) * (
            1 - smoothstep(5.5, 10.5, away + spot.fine * np.float32(0.5))
        )
        crater = 1 - smoothstep(0.9, 2.1, away + spot.fine * np.float32(0.12))
        heat = np.maximum(heat, crater)
    heat = np.where(is_tree | (spot.height < 0), 0, heat * (np.float32(0.8) + spot.fine * np.float32(0.18)))
    heat = np.clip(heat, 0, 1.2)
    # Colours of a cooling black body: white-yellow core, orange, dull red rim.
    glow = np.stack([heat * np.float32(3.6), heat**2 * np.float32(1.15), heat**4 * np.float32(0.3)], axis=-1)
    return np.asarray(glow * np.float32(1.0 if scene.terrain == "volcano" else 0.8), dtype=np.float32)
