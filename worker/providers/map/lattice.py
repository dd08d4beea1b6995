"""Owns the lattice a land is modelled on: points in rows, each with six neighbours, and fields over them.

Links between neighbours of such a lattice never cross, so neither do rivers and roads that follow them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.providers.landscape.noise import Dice, Field

Points = NDArray[np.float64]
Links = list[list[int]]

# Map units between neighbours; a unit is a pixel of a map of the default size.
SPACING: Final = 6.0
_ROW: Final = SPACING * 0.866
# Points that lie beyond each edge of the map, so that no coast ends at the edge.
_BEYOND: Final = 3
# A point leaves its place by less than this part of the spacing; at 0.25 triangles may fold.
_JITTER: Final = 0.2


@dataclass(frozen=True)
class Lattice:
    """The points of one map; a field is an array of shape (rows, columns), a node an index into it flattened.

    Attributes:
        width, height: of the map, in map units.
        dice: the lots that say where each point stands.
        shape: rows and columns.
        x, y: of each point.
        links: the neighbours of each node.
        table: the same as an array; the number of nodes stands for a neighbour that is not there.
    """

    width: float
    height: float
    dice: Dice
    shape: tuple[int, int] = field(init=False)
    x: Points = field(init=False)
    y: Points = field(init=False)
    links: Links = field(init=False)
    table: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        rows = int(self.height / _ROW) + 2 + 2 * _BEYOND
        columns = int(self.width / SPACING) + 2 + 2 * _BEYOND
        row, column = np.mgrid[0:rows, 0:columns]
        lots = self.dice.stream("lattice").uniform(-_JITTER, _JITTER, (2, rows, columns)) * SPACING
        set_once = object.__setattr__
        set_once(self, "shape", (rows, columns))
        set_once(self, "x", (column - _BEYOND + 0.5 * (row % 2)) * SPACING + lots[0])
        set_once(self, "y", (row - _BEYOND) * _ROW + lots[1])
        table = _neighbours(rows, columns)
        set_once(self, "table", np.where(table < 0, rows * columns, table))
        set_once(self, "links", [[other for other in line if other >= 0] for line in table.tolist()])

    def noise(self, name: str, bump: float, octaves: int, gain: float = 0.5) -> Field:
        """Return smooth noise of about -1..1 whose largest bumps are `bump` map units wide."""
        rng = self.dice.stream(name)
        rows, columns = self.shape
        total = np.zeros((rows, 2 * columns), dtype=np.float32)
        strength, whole = 1.0, 0.0
        for _ in range(octaves):
            down, across = rows * _ROW / bump, columns * SPACING / bump
            grid = rng.random((int(down) + 7, int(across) + 7), dtype=np.float32) * 2 - 1
            box = (3.0, 3.0, 3.0 + across, 3.0 + down)
            layer = Image.fromarray(grid).resize((2 * columns, rows), Image.Resampling.BICUBIC, box=box)
            total += np.float32(strength) * np.asarray(layer)
            whole += strength
            strength, bump = strength * gain, max(bump / 2, SPACING)
        # Odd rows stand half a spacing to the right.
        noise = np.where(np.arange(rows)[:, None] % 2 == 1, total[:, 1::2], total[:, 0::2])
        return np.asarray(noise / np.float32(whole * 0.5), dtype=np.float32)

    def at(self, values: Field, x: Points, y: Points) -> Field:
        """Look a field up near positions in map units."""
        rows, columns = self.shape
        row = np.clip(np.rint(y / _ROW).astype(int) + _BEYOND, 0, rows - 1)
        column = np.clip(np.rint(x / SPACING - 0.5 * (row % 2)).astype(int) + _BEYOND, 0, columns - 1)
        return np.asarray(values[row, column])

    def picture(self, values: Field, size: tuple[int, int]) -> Field:
        """Return a field as a picture of the map, `size` (width, height) pixels."""
        even = np.array(values, dtype=np.float32)
        even[1::2, 1:] = (even[1::2, 1:] + even[1::2, :-1]) / 2
        left, top = _BEYOND + 0.5, _BEYOND + 0.5
        box = (left, top, left + self.width / SPACING, top + self.height / _ROW)
        return np.asarray(Image.fromarray(even).resize(size, Image.Resampling.BICUBIC, box=box))

    def distance(self, sources: NDArray[np.bool_], reach: int) -> NDArray[np.int32]:
        """Return how many links each point is from the nearest of `sources`, at most `reach`."""
        steps = np.full(sources.size, reach, dtype=np.int32)
        front = np.flatnonzero(sources).tolist()
        steps[front] = 0
        table = steps.tolist()
        for step in range(1, reach):
            after: list[int] = []
            for node in front:
                for other in self.links[node]:
                    if table[other] > step:
                        table[other] = step
                        after.append(other)
            front = after
        return np.array(table, dtype=np.int32).reshape(self.shape)

    def spots(self, nodes: Sequence[int]) -> Points:
        """Return the positions of nodes as an array of x, y."""
        chosen = list(nodes)
        return np.column_stack((self.x.ravel()[chosen], self.y.ravel()[chosen]))


def _neighbours(rows: int, columns: int) -> NDArray[np.intp]:
    """Return the six neighbours of each node, -1 for those that the lattice does not have."""
    row, column = np.mgrid[0:rows, 0:columns]
    shift = row % 2
    steps = (
        (row, column - 1),
        (row, column + 1),
        (row - 1, column + shift - 1),
        (row - 1, column + shift),
        (row + 1, column + shift - 1),
        (row + 1, column + shift),
    )
    others = np.stack([r * columns + c for r, c in steps], axis=-1)
    inside = np.stack([(r >= 0) & (r < rows) & (c >= 0) & (c < columns) for r, c in steps], axis=-1)
    return np.where(inside, others, -1).reshape(-1, 6)
