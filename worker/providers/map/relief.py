"""Owns the shape of a land: where sea ends and land begins, its mountain ranges and its heights."""

# ruff: noqa: PLR2004 - a land's proportions

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.landscape.noise import Field, smoothstep
from worker.providers.map.lattice import Lattice, Points
from worker.providers.map.vocabulary import Nature

Mask = NDArray[np.bool_]

# Part of the map that is land.
_LAND: Final = {
    "archipelago": 0.24,
    "island": 0.36,
    "peninsula": 0.45,
    "inland": 0.965,
    "coast": 0.60,
    "continent": 0.52,
}
# Fewer points than these are neither island nor lake.
_ISLET: Final = 5
_LAKE: Final = 45
# Map units between two points of a range's crest.
_STRIDE: Final = 12.0


@dataclass(frozen=True)
class Relief:
    """The raw land, before water runs over it.

    Attributes:
        lattice: the points it is known at.
        height: over the sea where positive.
        mountains: 0 in lowlands to about 1 on a crest.
        ranges: the crest of each range, a line in map units.
    """

    lattice: Lattice
    height: Field
    mountains: Field
    ranges: tuple[Points, ...]


def raise_land(lattice: Lattice, nature: Nature) -> Relief:
    """Return a land of the asked-for nature."""
    base = _outline(lattice, nature)
    part = _LAND[nature.shape]
    base = (base - np.quantile(_on_map(lattice, base), 1 - part)).astype(np.float32)
    base = _tidy(lattice, base, keep_lake=nature.shape == "inland")
    ranges = _fold(lattice, nature, base)
    mountains = _massifs(lattice, base, ranges)
    # Rising with every step from the water, the land has valleys that lead out and few hollows.
    land = np.maximum(base, 0) / max(float(base.max()), 1e-6)
    land = 0.4 * land + 0.6 * lattice.distance(base <= 0, 60) / 60
    rough = lattice.noise("rough", 70, 4)
    crags = 1 - np.abs(lattice.noise("crags", 60, 4))
    height = 0.03 + 0.34 * land + 0.62 * mountains * (0.55 + 0.45 * crags) + 0.06 * rough * np.minimum(land * 6, 1)
    height = np.where(base > 0, np.maximum(height, 0.004), np.minimum(base, -0.004))
    return Relief(lattice, np.asarray(height, dtype=np.float32), mountains, ranges)


def _on_map(lattice: Lattice, values: Field) -> Field:
    inside = (lattice.x > 0) & (lattice.x < lattice.width) & (lattice.y > 0) & (lattice.y < lattice.height)
    return np.asarray(values[inside])


def _outline(lattice: Lattice, nature: Nature) -> Field:
    """Return a field whose upper part is the land; its level is chosen later."""
    rng = lattice.dice.stream("outline")
    side = min(lattice.width, lattice.height)
    fold = 0.3 * side
    # Coordinates where the middle is 0 and the nearer edges are at ±1, bent so that no outline is a figure.
    x = (2 * lattice.x - lattice.width) / side + 0.30 * lattice.noise("bend x", fold, 3)
    y = (2 * lattice.y - lattice.height) / side + 0.30 * lattice.noise("bend y", fold, 3)
    wide, tall = lattice.width / side, lattice.height / side
    # Northern coasts are the most ragged.
    fine = lattice.noise(
        "coast",
        (0.2 if nature.shape == "archipelago" else 0.34) * side,
        6,
        0.68 if nature.climate == "north" else 0.62,
    )
    if nature.shape == "inland":
        turn = rng.uniform(-0.3, 0.3)
        across = np.hypot(x * (1.1 if wide >= tall else 2.2) - turn, y * (2.2 if wide >= tall else 1.1) - turn)
        return np.asarray(across + 0.25 * fine, dtype=np.float32)
    if nature.shape == "archipelago":
        shore = _blobs(rng, x, y, (wide, tall)) + 0.42 * fine
    elif nature.shape == "peninsula":
        shore = _tongue(rng, x, y, (wide, tall)) + 0.36 * fine
    elif nature.shape == "coast":
        turn = rng.choice([0.0, 0.5, 1.0, 1.5]) * np.pi + rng.uniform(-0.35, 0.35)
        shore = (np.cos(turn) * x / wide + np.sin(turn) * y / tall) + 0.55 * fine
    else:
        size = 0.74 if nature.shape == "continent" else 0.6
        round_ = (np.abs(x / wide) ** 2.6 + np.abs(y / tall) ** 2.6) ** (1 / 2.6)
        shore = 1.3 * (size - round_) + 0.55 * fine
    if nature.shape in {"archipelago", "continent", "island"}:
        # The sea goes all around.
        rim_x, rim_y = np.abs(2 * lattice.x / lattice.width - 1), np.abs(2 * lattice.y / lattice.height - 1)
        rim = (rim_x**6 + rim_y**6) ** (1 / 6) + 0.13 * lattice.noise("rim", 0.22 * side, 4)
        shore = shore - 2.5 * smoothstep(0.74, 1.06, np.asarray(rim, dtype=np.float32))
    return np.asarray(shore, dtype=np.float32)


def _blobs(rng: np.random.Generator, x: Points, y: Points, reach: tuple[float, float]) -> Points:
    """Return islands of very different sizes with water between them."""
    best = np.full(x.shape, -2.0)
    islands: list[tuple[float, float, float]] = []
    sizes = [0.46, 0.36, 0.28, *rng.uniform(0.16, 0.26, 5), *rng.uniform(0.08, 0.15, 9)]
    for size in sizes:
        for _ in range(40):
            across = rng.uniform(-1, 1) * (reach[0] * 0.92 - 0.8 * size)
            down = rng.uniform(-1, 1) * (reach[1] * 0.9 - 0.8 * size)
            if all(np.hypot(across - ox, down - oy) > 0.98 * (size + other) + 0.03 for ox, oy, other in islands):
                break
        else:
            continue
        islands.append((across, down, size))
        stretch, lean = rng.uniform(0.75, 1.35), rng.uniform(0, np.pi)
        dx, dy = x - across, y - down
        u, v = dx * np.cos(lean) + dy * np.sin(lean), dy * np.cos(lean) - dx * np.sin(lean)
        best = np.maximum(best, (size - np.hypot(u * stretch, v / stretch)) * 1.9)
    return best


def _tongue(rng: np.random.Generator, x: Points, y: Points, reach: tuple[float, float]) -> Points:
    """Return a land that hangs on one edge and narrows before it ends in a broader head."""
    if reach[0] >= reach[1]:
        along, across, long, broad = x / reach[0], y, 1.0, reach[1]
    else:
        along, across, long, broad = y / reach[1], x, 1.0, reach[0]
    if rng.random() < 0.5:
        along = -along
    place = (along + long) / 2  # 0 at the mainland's edge, 1 at the far edge
    axis = 0.25 * broad * np.sin(place * rng.uniform(2.0, 4.0) + rng.uniform(0, 6))
    width = 0.95 - 0.62 * np.sin(np.clip(place * 1.6, 0, 1) * np.pi / 2) + 0.18 * np.sin(place * 5.5)
    width = width - 3.5 * np.maximum(place - 0.82, 0)
    return np.asarray(np.maximum(width - np.abs(across - axis), 0.6 - place * 4.6))


def _tidy(lattice: Lattice, base: Field, *, keep_lake: bool) -> Field:
    """Drown specks of land and fill puddles, so that every coast is worth drawing."""
    flat = base.ravel().copy()
    # Spits and inlets a point wide would be blots of ink.
    for _ in range(3):
        wet = flat <= 0
        drowned = np.append(wet, np.False_)[lattice.table].sum(axis=1)
        inner = (lattice.table < flat.size).all(axis=1)
        flat[inner & wet & (drowned <= 1)] = 0.01
        flat[inner & ~wet & (drowned >= 5)] = -0.01
    lakes = (body for body in _bodies(lattice, base <= 0) if not _touches_edge(lattice, body))
    puddles = [body for body in lakes if len(body) < _LAKE]
    water = int((flat <= 0).sum()) - sum(len(body) for body in puddles)
    if keep_lake and puddles and not water:
        puddles.remove(max(puddles, key=len))
    for body in puddles:
        flat[body] = 0.01
    for body in _bodies(lattice, flat.reshape(base.shape) > 0):
        if len(body) < _ISLET:
            flat[body] = -0.02
    return flat.reshape(base.shape)


def _bodies(lattice: Lattice, mask: Mask) -> list[list[int]]:
    """Return the connected parts of a mask."""
    left = mask.ravel().tolist()
    bodies: list[list[int]] = []
    for start in np.flatnonzero(mask.ravel()).tolist():
        if not left[start]:
            continue
        left[start] = False
        body = [start]
        for node in body:
            for other in lattice.links[node]:
                if left[other]:
                    left[other] = False
                    body.append(other)
        bodies.append(body)
    return bodies


def _touches_edge(lattice: Lattice, body: list[int]) -> bool:
    return any(len(lattice.links[node]) < 6 for node in body)


def _fold(lattice: Lattice, nature: Nature, base: Field) -> tuple[Points, ...]:
    """Return the crests of the mountain ranges."""
    rng = lattice.dice.stream("ranges")
    width, height = lattice.width, lattice.height
    if nature.shape == "inland":
        return _walls(rng, width, height)
    if nature.mountains < 0.1:
        return ()
    area = width * height / (1280 * 960)
    count = max(1, round((0.6 + 3.4 * nature.mountains) * min(max(area, 0.4), 1.6)))
    if nature.shape == "archipelago":
        # Short ones, on many islands.
        count *= 2
    crests: list[Points] = []
    inner = (
        (base > 0)
        & (lattice.x > 0.08 * width)
        & (lattice.x < 0.92 * width)
        & (lattice.y > 0.1 * height)
        & (lattice.y < 0.92 * height)
    )
    land = np.flatnonzero(inner.ravel())
    if not len(land):
        return ()
    depth = lattice.distance(base <= 0, 14).ravel()
    for _ in range(count):
        tries = rng.choice(land, 14)
        spots = lattice.spots(tries.tolist())
        far = np.full(len(tries), 200.0)
        for crest in crests:
            gaps = np.hypot(spots[:, None, 0] - crest[None, :, 0], spots[:, None, 1] - crest[None, :, 1])
            far = np.minimum(far, gaps.min(axis=1))
        start = spots[int(np.argmax(far + 9.0 * depth[tries]))]
        heading = rng.uniform(0, 2 * np.pi)
        steps = (
            rng.uniform(0.18, 0.36)
            * (0.6 if nature.shape == "archipelago" else 1)
            * max(width, height)
            / _STRIDE
            / 2
        )
        begin = (float(start[0]), float(start[1]))
        ahead = _crest(lattice, base, begin, heading + _bends(rng, int(steps)))
        back = _crest(lattice, base, begin, heading + np.pi + _bends(rng, int(steps)))
        crests.append(np.array([*back[::-1], start, *ahead]))
    return tuple(crests)


def _bends(rng: np.random.Generator, steps: int) -> Points:
    """Return how far a crest has turned at each step."""
    return np.cumsum(rng.normal(0, 0.035) + rng.normal(0, 0.16, steps))


def _crest(
    lattice: Lattice, base: Field, begin: tuple[float, float], headings: Points
) -> list[tuple[float, float]]:
    """Walk along a crest until the land or the map ends."""
    x, y = begin
    line: list[tuple[float, float]] = []
    for heading in headings.tolist():
        x, y = x + math.cos(heading) * _STRIDE, y + math.sin(heading) * _STRIDE
        on_map = 0 < x < lattice.width and 0 < y < lattice.height
        if not on_map or lattice.at(base, np.array(x), np.array(y)) <= 0.02:
            break
        line.append((x, y))
    return line


def _walls(rng: np.random.Generator, width: float, height: float) -> tuple[Points, ...]:
    """Return ranges along two facing sides and a shorter one across an end: a kingdom between mountains."""
    along_x = width >= height
    long, short = (width, height) if along_x else (height, width)
    steps = np.arange(-_STRIDE, long + _STRIDE, _STRIDE)
    crests: list[Points] = []
    for side in (0.13, 0.87):
        waves = np.sin(steps / long * rng.uniform(5, 9) + rng.uniform(0, 6)) * 0.045 * short
        crests.append(np.column_stack((steps, side * short + waves + np.cumsum(rng.normal(0, 1.3, len(steps))))))
    end = 0.08 if rng.random() < 0.5 else 0.92
    down = np.arange(0.2 * short, 0.75 * short, _STRIDE)
    crests.append(np.column_stack((end * long + np.cumsum(rng.normal(0, 3, len(down))), down)))
    return tuple(crest if along_x else crest[:, ::-1].copy() for crest in crests)


def _massifs(lattice: Lattice, base: Field, ranges: tuple[Points, ...]) -> Field:
    """Return how mountainous each point is: high on the crests, frayed at the feet."""
    nearest = np.full(lattice.shape, 1e6, dtype=np.float32)
    for crest in ranges:
        for x, y in crest:
            np.minimum(nearest, np.hypot(lattice.x - x, lattice.y - y).astype(np.float32), out=nearest)
    fray = lattice.noise("fray", 60, 3)
    width = 30 * (1 + 0.35 * fray)
    massif = np.exp(-((nearest / width) ** 2)) * (0.85 + 0.3 * lattice.noise("passes", 110, 2))
    return np.asarray(np.clip(massif, 0, 1.1) * smoothstep(0.0, 0.1, base), dtype=np.float32)
