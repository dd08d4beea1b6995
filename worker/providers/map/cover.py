"""Owns what grows and rises where: which symbols stand on the land, back to front, and how far apart."""

# ruff: noqa: PLR2004 - a draughtsman's proportions

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.landscape.noise import Field
from worker.providers.map.drainage import Drainage
from worker.providers.map.lattice import Lattice, Points
from worker.providers.map.lettering import Box
from worker.providers.map.relief import Relief
from worker.providers.map.vocabulary import Nature

_HASH: Final = 40.0


@dataclass(frozen=True)
class Plant:
    """One symbol: what, the middle of its foot, and its width in map units (0: as the symbol has it)."""

    kind: str
    x: float
    y: float
    width: float


class _Ground:
    """Where symbols may still stand."""

    def __init__(self, taken: list[Box], lines: list[Points]) -> None:
        self._boxes: dict[tuple[int, int], list[Box]] = {}
        for box in taken:
            left, top, right, bottom = (int(value // _HASH) for value in box)
            # A symbol may reach into a cell from the next one.
            for place in product(range(left - 1, right + 2), range(top - 1, bottom + 3)):
                self._boxes.setdefault(place, []).append(box)
        self._cells: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
        self._keep_off = {(int(x / 4), int(y / 4)) for line in lines for x, y in line}

    def fits(self, x: float, y: float, reach: float, tall: float) -> bool:
        """Tell whether a symbol's foot and body meet nothing; none reaches further than a cell."""
        column, row = int(x // _HASH), int(y // _HASH)
        for left, top, right, bottom in self._boxes.get((column, row), ()):
            if left - reach < x < right + reach and top < y + 1 and y - tall < bottom:
                return False
        for place in product((column - 1, column, column + 1), (row - 1, row, row + 1)):
            for ox, oy, other in self._cells.get(place, ()):
                gap = reach + other
                if abs(x - ox) < gap and (x - ox) ** 2 + 2.6 * (y - oy) ** 2 < gap * gap:
                    return False
        return True

    def crosses(self, x: float, y: float, reach: int) -> bool:
        """Tell whether a river or road runs within `reach` cells."""
        column, row = int(x / 4), int(y / 4)
        return any(
            (column + dx, row + dy) in self._keep_off for dx in range(-reach, reach + 1) for dy in range(-reach, 1)
        )

    def plant(self, x: float, y: float, reach: float) -> None:
        """Take the room of a symbol."""
        self._cells.setdefault((int(x // _HASH), int(y // _HASH)), []).append((x, y, reach))


def grow(relief: Relief, drainage: Drainage, nature: Nature, taken: list[Box], lines: list[Points]) -> list[Plant]:
    """Return every symbol of nature, those further back first.

    Args:
        relief: the land.
        drainage: its waters.
        nature: what there is much of.
        taken: boxes to keep free: labels, towns, ornaments.
        lines: rivers and roads, close points in map units.
    """
    ground = _Ground(taken, lines)
    inland = dry_land(relief, drainage)
    plants = _mountains(relief, ground, inland, nature)
    plants += _hills(relief, ground, inland, nature)
    plants += _marshes(relief, drainage, ground, inland, nature)
    plants += _trees(relief, drainage, ground, inland, nature)
    plants += _open_land(relief, ground, inland, nature)
    return sorted(plants, key=lambda plant: (plant.y, plant.x))


def _tries(lattice: Lattice, name: str, gap: float) -> tuple[np.random.Generator, Points]:
    """Return positions all over the map in a random order, about `gap` apart."""
    rng = lattice.dice.stream(name)
    across, down = int(lattice.width / gap) + 1, int(lattice.height / gap) + 1
    row, column = np.mgrid[0:down, 0:across]
    x = (column + 0.5 * (row % 2) + rng.uniform(0, 0.75, row.shape)) * gap
    y = (row + rng.uniform(0, 0.75, row.shape)) * gap
    spots = np.column_stack((x.ravel(), y.ravel()))
    return rng, spots[rng.permutation(len(spots))]


def _look(lattice: Lattice, values: NDArray[np.floating], spots: Points) -> list[float]:
    found: list[float] = lattice.at(np.asarray(values, dtype=np.float32), spots[:, 0], spots[:, 1]).tolist()
    return found


def _mountains(relief: Relief, ground: _Ground, inland: Field, nature: Nature) -> list[Plant]:
    lattice = relief.lattice
    if nature.mountains <= 0:
        return []
    plants: list[Plant] = []
    rng = lattice.dice.stream("peaks")
    scale = 0.85 + 0.2 * min(nature.mountains, 1.2)
    # The crests first, with the great peaks; then the flanks.
    crest_spots = np.concatenate([crest + rng.normal(0, 4, crest.shape) for crest in relief.ranges])
    crest_spots = crest_spots[rng.permutation(len(crest_spots))]
    _, flank_spots = _tries(lattice, "flanks", 9)
    spots = np.concatenate((crest_spots, flank_spots))
    massif, dry = _look(lattice, relief.mountains, spots), _look(lattice, inland, spots)
    for place, (x, y) in enumerate(spots.tolist()):
        high = massif[place]
        if dry[place] < 2 or high < 0.3:
            continue
        great = place < len(crest_spots)
        width = scale * (rng.uniform(34, 48) if great else 13 + 24 * high * rng.uniform(0.75, 1.1))
        width *= 0.8 + 0.3 * min(high, 1)
        reach = width * 0.37
        if not ground.fits(x, y, reach, width * 0.85) or ground.crosses(x, y, 2):
            continue
        ground.plant(x, y, reach)
        plants.append(Plant("mountain", x, y, width))
    return plants


def _hills(relief: Relief, ground: _Ground, inland: Field, nature: Nature) -> list[Plant]:
    lattice = relief.lattice
    rng, spots = _tries(lattice, "hills", 13)
    rolling = lattice.noise("rolling", 130, 3)
    massif, dry, roll = (_look(lattice, values, spots) for values in (relief.mountains, inland, rolling))
    plants: list[Plant] = []
    for place, (x, y) in enumerate(spots.tolist()):
        feet = 0.09 < massif[place] < 0.36
        if dry[place] < 2 or not (feet or (massif[place] < 0.36 and roll[place] > 0.72 - 0.55 * nature.hills)):
            continue
        width = rng.uniform(13, 21)
        if rng.random() < (0.35 if feet else 0.5) or not ground.fits(x, y, width * 0.52, width * 0.4):
            continue
        if ground.crosses(x, y, 2):
            continue
        ground.plant(x, y, width * 0.52)
        plants.append(Plant("hill", x, y, width))
    return plants


def wooded(relief: Relief, drainage: Drainage, inland: Field, nature: Nature) -> tuple[Field, float]:
    """Return how wooded each point is, and from which level on trees stand close."""
    lattice = relief.lattice
    woods = lattice.noise("woods", 170, 4, 0.55)
    if nature.climate == "desert":
        # Only along water.
        river = np.zeros(woods.size, dtype=np.bool_)
        for course in drainage.rivers:
            river[list(course.nodes)] = True
        woods = woods * 0.4 + np.where(lattice.distance(river.reshape(woods.shape), 4) < 3, 0.55, -0.6)
    level = (
        float(np.quantile(woods[inland >= 1], 1 - min(0.62 * nature.forest, 0.8))) if (inland >= 1).any() else 9.0
    )
    return woods, level


def dry_land(relief: Relief, drainage: Drainage) -> Field:
    """Return how many links each point is from sea and lake, at most 4."""
    lattice = relief.lattice
    lake = np.zeros(drainage.height.size, dtype=np.bool_)
    lake[sorted(drainage.lakes)] = True
    wet = (drainage.height <= 0) | lake.reshape(drainage.height.shape)
    return np.asarray(lattice.distance(wet, 4), dtype=np.float32)


def _trees(relief: Relief, drainage: Drainage, ground: _Ground, inland: Field, nature: Nature) -> list[Plant]:
    lattice = relief.lattice
    rng, spots = _tries(lattice, "trees", 6.4)
    woods, level = wooded(relief, drainage, inland, nature)
    massif, dry, wood = (_look(lattice, values, spots) for values in (relief.mountains, inland, woods))
    plants: list[Plant] = []
    north, south = 0.22 * lattice.height, 0.8 * lattice.height
    for place, (x, y) in enumerate(spots.tolist()):
        if dry[place] < 2 or massif[place] > 0.42 or wood[place] < level - (0.12 if rng.random() < 0.06 else 0):
            continue
        kind = "oak"
        if nature.climate == "north":
            kind = "pine"
        elif nature.climate in {"desert", "tropical"}:
            kind = "palm" if nature.climate == "desert" or rng.random() < 0.6 else "oak"
        else:
            # Conifers up in the hills and in the north of the map.
            cold = 6 * (massif[place] - 0.12) + (0.8 if y < north else -0.4 if y > south else 0)
            kind = "pine" if rng.random() < cold else "oak"
        reach = 2.9 if kind != "palm" else 3.9
        if not ground.fits(x, y, reach, 9) or ground.crosses(x, y, 1):
            continue
        ground.plant(x, y, reach)
        plants.append(Plant(kind, x, y, 0))
    return plants


def _marshes(relief: Relief, drainage: Drainage, ground: _Ground, inland: Field, nature: Nature) -> list[Plant]:
    if nature.marsh <= 0:
        return []
    lattice = relief.lattice
    river = np.zeros(drainage.height.size, dtype=np.bool_)
    for course in drainage.rivers:
        river[list(course.nodes[len(course.nodes) // 2 :])] = True
    river[sorted(drainage.lakes)] = True
    near = lattice.distance(river.reshape(drainage.height.shape), 9)
    soggy = lattice.noise("soggy", 150, 2) - 0.09 * near + 0.9 * (nature.marsh - 0.75)
    _, spots = _tries(lattice, "reeds", 11.5)
    massif, dry, wet = (_look(lattice, values, spots) for values in (relief.mountains, inland, soggy))
    plants: list[Plant] = []
    for place, (x, y) in enumerate(spots.tolist()):
        if dry[place] < 2 or massif[place] > 0.1 or wet[place] < 0:
            continue
        if ground.fits(x, y, 6.6, 7) and not ground.crosses(x, y, 1):
            ground.plant(x, y, 6.6)
            plants.append(Plant("reeds", x, y, 0))
    return plants


def _open_land(relief: Relief, ground: _Ground, inland: Field, nature: Nature) -> list[Plant]:
    """Return dunes in deserts and tufts of grass elsewhere, so that no plain is a hole in the map."""
    lattice = relief.lattice
    desert = nature.climate == "desert"
    rng, spots = _tries(lattice, "plain", 17 if desert else 21)
    massif, dry = _look(lattice, relief.mountains, spots), _look(lattice, inland, spots)
    bare = _look(lattice, lattice.noise("bare", 190, 2), spots)
    plants: list[Plant] = []
    for place, (x, y) in enumerate(spots.tolist()):
        if (
            dry[place] < 2
            or massif[place] > 0.2
            or rng.random() > (0.5 + bare[place] if desert else 0.5 + 0.6 * bare[place])
        ):
            continue
        reach = 7.5 if desert else 4.0
        if ground.fits(x, y, reach, 4) and not ground.crosses(x, y, 1):
            ground.plant(x, y, reach)
            plants.append(Plant("dune" if desert else "grass", x, y, 0))
    return plants


def spread(points: Points, gap: float) -> Points:
    """Return points no further apart than `gap` along a line."""
    pieces = [points[:1]]
    for start, end in pairwise(points):
        steps = max(1, math.ceil(math.dist(start, end) / gap))
        pieces.append(start + (end - start) * (np.arange(1, steps + 1) / steps)[:, None])
    return np.concatenate(pieces)
