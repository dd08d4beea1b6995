"""Owns lines: the shores of a land as closed lines, and lines made smooth or shaky as by a hand."""

# ruff: noqa: PLR2004 - three corners of a triangle, two ends of a side

import math
from itertools import pairwise

import numpy as np

from worker.providers.landscape.noise import Field
from worker.providers.map.lattice import Lattice, Points

_Side = tuple[int, int]


def shores(lattice: Lattice, height: Field) -> list[tuple[Points, bool]]:
    """Return every shore as a closed line, the longest-reaching first, and whether land is inside it.

    The line runs between a point of land and one of water wherever two such are neighbours (marching
    triangles). Land that reaches the rim of the lattice is closed there.
    """
    level = height.copy()
    for rim in (level[0], level[-1], level[:, 0], level[:, -1]):
        rim[...] = np.minimum(rim, -0.05)
    flat = level.ravel()
    after: dict[_Side, _Side] = {}
    for triangle in _triangles(lattice.shape, flat):
        wet = [flat[corner] <= 0 for corner in triangle]
        odd = wet.index(sum(wet) == 1)
        apex, left, right = triangle[odd], triangle[(odd + 1) % 3], triangle[(odd + 2) % 3]
        one, two = _side(apex, left), _side(apex, right)
        if wet[odd]:
            one, two = two, one
        after[one] = two
    lines: list[tuple[float, Points]] = []
    while after:
        start, place = next(iter(after.items()))
        loop = [start]
        del after[start]
        while place != start:
            loop.append(place)
            place = after.pop(place)
        line = np.array([_crossing(lattice, flat, side) for side in loop])
        lines.append((_area(line), line))
    lines.sort(key=lambda line: -abs(line[0]))
    return [(line, area > 0) for area, line in lines]


def _triangles(shape: tuple[int, int], flat: Field) -> list[list[int]]:
    """Return the corners, all turning the same way, of each triangle that a shore runs through."""
    rows, columns = shape
    row, column = np.mgrid[0 : rows - 1, 0 : columns - 1]
    shift = row % 2
    node = row * columns + column
    below = node + columns + shift
    down = np.stack((node, node + 1, below), axis=-1).reshape(-1, 3)
    # The triangle that stands on the row below, to the left of or under the node.
    foot = node + columns
    up = np.stack((node + (1 - shift), foot + 1, foot), axis=-1).reshape(-1, 3)
    both = np.concatenate((down, up))
    wet = (flat[both] <= 0).sum(axis=1)
    mixed: list[list[int]] = both[(wet > 0) & (wet < 3)].tolist()
    return mixed


def _side(one: int, other: int) -> _Side:
    return (one, other) if one < other else (other, one)


def _crossing(lattice: Lattice, flat: Field, side: _Side) -> tuple[float, float]:
    low, high = float(flat[side[0]]), float(flat[side[1]])
    part = min(max(low / (low - high), 0.2), 0.8)
    x, y = lattice.x.ravel(), lattice.y.ravel()
    return (
        float(x[side[0]] + (x[side[1]] - x[side[0]]) * part),
        float(y[side[0]] + (y[side[1]] - y[side[0]]) * part),
    )


def _area(line: Points) -> float:
    x, y = line[:, 0], line[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def rounded(line: Points, rounds: int = 2, *, closed: bool = False) -> Points:
    """Return a line with its corners cut (Chaikin); an open one keeps its ends."""
    for _ in range(rounds):
        after = np.roll(line, -1, axis=0) if closed else line[1:]
        before = line if closed else line[:-1]
        cut = np.empty((2 * len(before), 2))
        cut[0::2] = 0.75 * before + 0.25 * after
        cut[1::2] = 0.25 * before + 0.75 * after
        line = cut if closed else np.concatenate((line[:1], cut, line[-1:]))
    return line


def through(line: Points, parts: int = 4) -> Points:
    """Return a smooth line through every point of an open one (Catmull-Rom)."""
    if len(line) < 3:
        return line
    ends = np.concatenate((2 * line[:1] - line[1:2], line, 2 * line[-1:] - line[-2:-1]))
    t = np.linspace(0, 1, parts, endpoint=False)[:, None, None]
    a, b, c, d = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate((curve.transpose(1, 0, 2).reshape(-1, 2), line[-1:]))


def shaky(line: Points, rng: np.random.Generator, amount: float) -> Points:
    """Return a line whose points are off by up to about `amount` units, neighbours alike."""
    off = rng.normal(0, amount, line.shape)
    off[1:] = 0.6 * off[1:] + 0.4 * off[:-1]
    return np.asarray(line + off)


def dashes(line: Points, dash: float, gap: float) -> list[Points]:
    """Cut a line into dashes."""
    pieces: list[Points] = []
    piece = [line[0]]
    drawn, left = True, dash
    for start, end in pairwise(line):
        length = math.dist(start, end)
        place = 0.0
        while length - place > left:
            place += left
            point = start + (end - start) * (place / length)
            if drawn:
                pieces.append(np.array([*piece, point]))
            drawn = not drawn
            left = dash if drawn else gap
            piece = [point]
        left -= length - place
        piece.append(end)
    if drawn and len(piece) > 1:
        pieces.append(np.array(piece))
    return pieces
