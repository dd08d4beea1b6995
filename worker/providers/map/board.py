"""Owns the room on a map: what is taken, what would be hidden, and where something still fits."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.landscape.noise import Field
from worker.providers.map.lettering import Box

Sums = NDArray[np.float64]

CELL: Final = 4.0


@dataclass
class Board:
    """A map's room, in map units.

    Attributes:
        width, height: of the map.
        margin: of the frame, where nothing may stand.
        water: how far each cell is from land, in map units; 0 on land.
        clutter: how much drawing each cell holds: coasts, mountains, rivers.
    """

    width: float
    height: float
    margin: float
    water: Field
    clutter: Field
    taken: list[Box] = field(default_factory=list)
    _sums: tuple[Sums, Sums] = field(init=False)

    def __post_init__(self) -> None:
        self._sums = (_summed(self.clutter), _summed((self.water > 0).astype(np.float32)))

    def take(self, boxes: Iterable[Box]) -> None:
        """Keep room for good."""
        self.taken.extend(boxes)

    def is_free(self, box: Box, gap: float = 2.0) -> bool:
        """Tell whether a box is on the map and meets nothing that is taken."""
        left, top, right, bottom = box
        edge = self.margin
        if left < edge or top < edge or right > self.width - edge or bottom > self.height - edge:
            return False
        return not any(
            left - gap < other[2] and other[0] < right + gap and top - gap < other[3] and other[1] < bottom + gap
            for other in self.taken
        )

    def hidden(self, box: Box) -> float:
        """Return how much drawing a box would hide, per cell."""
        return _mean(self._sums[0], box)

    def wet(self, box: Box) -> float:
        """Return which part of a box is water."""
        return _mean(self._sums[1], box)

    def spot(self, wide: float, tall: float, *, land_costs: float, pull: tuple[float, float]) -> Box | None:
        """Return the best place for a box: free, hiding little, near an edge.

        Args:
            wide: of the box.
            tall: of the box.
            land_costs: what a cell of land costs beyond its clutter.
            pull: how much distance from the nearest side edge, and from the upper or lower one, costs.
        """
        cost = self.clutter + land_costs * (self.water <= 0)
        rows, columns = cost.shape
        down, across = int(np.ceil(tall / CELL)), int(np.ceil(wide / CELL))
        edge = int(np.ceil((self.margin + 3) / CELL))
        if rows - 2 * edge < down or columns - 2 * edge < across:
            return None
        total = _summed(cost)
        sums = total[down:, across:] - total[:-down, across:] - total[down:, :-across] + total[:-down, :-across]
        sums = sums / (down * across)
        row, column = np.mgrid[0 : sums.shape[0], 0 : sums.shape[1]]
        aside = np.minimum(column, columns - across - column) / columns
        over = np.minimum(row, rows - down - row) / rows
        sums = sums + pull[0] * aside + pull[1] * over
        sums[:edge] = sums[rows - down - edge + 1 :] = np.inf
        sums[:, :edge] = sums[:, columns - across - edge + 1 :] = np.inf
        for left, top, right, bottom in self.taken:
            first = max(int(top / CELL) - down - 2, 0), max(int(left / CELL) - across - 2, 0)
            sums[first[0] : int(bottom / CELL) + 3, first[1] : int(right / CELL) + 3] = np.inf
        best = int(np.argmin(sums))
        place_row, place_column = divmod(best, sums.shape[1])
        if not np.isfinite(sums[place_row, place_column]):
            return None
        x, y = place_column * CELL, place_row * CELL
        return (x, y, x + wide, y + tall)


def _summed(cells: Field) -> Sums:
    """Return the sums over every rectangle from the upper left, for `_mean`."""
    total = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1))
    total[1:, 1:] = cells.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return total


def _mean(sums: Sums, box: Box) -> float:
    rows, columns = sums.shape
    left, top, right, bottom = (int(value / CELL) for value in box)
    top, bottom = min(max(top, 0), rows - 2), min(max(bottom, 0) + 1, rows - 1)
    left, right = min(max(left, 0), columns - 2), min(max(right, 0) + 1, columns - 1)
    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return float(total / ((bottom - top) * (right - left)))


def distance(sources: NDArray[np.bool_], reach: int) -> Field:
    """Return each cell's distance in cells from the nearest source, exact up to `reach`.

    Rows first, then columns (Felzenszwalb and Huttenlocher, 2012); within a bounded reach the lower envelope
    is a minimum over shifts.
    """
    rows, columns = sources.shape
    far = np.float32(reach + 1)
    index = np.arange(columns, dtype=np.float32)[None, :]
    before = np.maximum.accumulate(np.where(sources, index, np.float32(-1e6)), axis=1)
    after = np.minimum.accumulate(np.where(sources, index, np.float32(1e6))[:, ::-1], axis=1)[:, ::-1]
    flat = np.minimum(np.minimum(index - before, after - index), far) ** 2
    best = flat.copy()
    for shift in range(1, min(reach + 1, rows)):
        lifted = flat + np.float32(shift * shift)
        np.minimum(best[shift:], lifted[:-shift], out=best[shift:])
        np.minimum(best[:-shift], lifted[shift:], out=best[:-shift])
    return np.asarray(np.minimum(np.sqrt(best), far), dtype=np.float32)
