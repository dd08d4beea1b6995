"""Owns where names of the land go: along ranges and rivers, into forests, across countries."""

# ruff: noqa: PLR2004 - a letterer's proportions

import math
from itertools import product
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Field
from worker.providers.map.board import CELL, Board
from worker.providers.map.drainage import Drainage
from worker.providers.map.labels import middle_of
from worker.providers.map.lattice import Lattice, Points
from worker.providers.map.lettering import Hand, Label, Letters
from worker.providers.map.names import Language
from worker.providers.map.relief import Relief
from worker.providers.map.vocabulary import Nature

_REGION: Final = (Hand("roman", 21.0, 13.0, 185), Hand("roman", 17.0, 10.5, 185))
_WOODS_APART: Final = 250.0
_WOOD: Final = Hand("italic", 15.0, 2.0, 235)
# What is written along a line: how, and how far beside it, the best first.
_RANGE: Final = (Hand("italic", 17.0, 2.6, 235), (24.0, 34.0, -44.0, 46.0, 10.0, -58.0))
_RIVER: Final = (Hand("italic", 11.5, 2.6, 235), (-6.5, 14.0, -11.0, 19.0))
_RIVERS_NAMED: Final = 4


def name_ranges(board: Board, letters: Letters, relief: Relief, language: Language, nature: Nature) -> list[Label]:
    """Write the name of each range along its foot."""
    labels: list[Label] = []
    kinds = ("The {} Mountains", "The {} Range", "{} Peaks", "The {} Heights")
    if nature.climate == "north":
        kinds = ("The {} Fells", "The {} Mountains", "{} Peaks", "The Frost of {}")
    for number, crest in enumerate(sorted(relief.ranges, key=len, reverse=True)[:4]):
        if len(crest) < 9:
            continue
        text = kinds[number % len(kinds)].format(language.word())
        placed = _along(board, letters, crest, text, _RANGE)
        if placed is not None:
            labels.append(placed)
    return labels


def _along(
    board: Board, letters: Letters, line: Points, text: str, way: tuple[Hand, tuple[float, ...]]
) -> Label | None:
    """Write along a line, on the side and at the part of it where most is free."""
    hand, offsets = way
    long = letters.width(text, hand)
    steps = np.hypot(*np.diff(line, axis=0).T)
    walked = np.concatenate(([0.0], np.cumsum(steps)))
    best: tuple[float, Label] | None = None
    for start in np.linspace(0, max(walked[-1] - long, 0), 9):
        ends = [np.array([np.interp(s, walked, line[:, axis]) for axis in (0, 1)]) for s in (start, start + long)]
        halfway = np.array([np.interp(start + long / 2, walked, line[:, axis]) for axis in (0, 1)])
        if ends[0][0] > ends[1][0]:
            ends.reverse()
        dx, dy = ends[1] - ends[0]
        turn = math.atan2(dy, dx)
        turn = max(-0.95, min(0.95, turn))
        normal = np.array([-math.sin(turn), math.cos(turn)])
        sag = float(np.dot((ends[0] + ends[1]) / 2 - halfway, normal))
        sag = max(-0.16 * long, min(0.16 * long, sag))
        for rank, offset in enumerate(offsets):
            middle = halfway + normal * offset
            label = letters.bowed(text, hand, (middle[0], middle[1]), turn, sag)
            if not all(board.is_free(box, 3) for box in label.boxes):
                continue
            cost = sum(board.hidden(box) for box in label.boxes) / len(label.boxes) + 0.07 * rank + 0.2 * abs(turn)
            cost += 2.5 * sum(board.wet(box) for box in label.boxes) / len(label.boxes)
            if best is None or cost < best[0]:
                best = cost, label
    if best is None:
        return None
    board.take(best[1].boxes)
    return best[1]


def name_regions(board: Board, letters: Letters, language: Language, number: int) -> list[Label]:
    """Write names of countries in wide capitals where the land is emptiest."""
    labels: list[Label] = []
    for _ in range(number):
        text = language.land().upper()
        finds = [_country(board, letters, text, hand, labels) for hand in _REGION]
        # The larger hand where it has room enough.
        costs = [cost + 0.25 * rank for rank, (cost, _) in enumerate(finds)]
        cost, label = finds[costs.index(min(costs))]
        if label is None or cost > 0.75:
            break
        board.take(label.boxes)
        labels.append(label)
    return labels


def _country(
    board: Board, letters: Letters, text: str, hand: Hand, others: list[Label]
) -> tuple[float, Label | None]:
    """Return the best place for a country's name, and what it costs."""
    rows, columns = board.water.shape
    long = letters.width(text, hand)
    best: tuple[float, Label | None] = (math.inf, None)
    for row, column in product(range(12, rows - 12, 6), range(14, columns - 14, 6)):
        if board.water[row, column] > 0:
            continue
        x, y = column * CELL, row * CELL
        box = (x - long / 2, y - hand.size * 0.8, x + long / 2, y + hand.size * 0.2)
        near = min((math.dist((x, y), middle_of(other)) for other in others), default=math.inf)
        cost = board.hidden(box) + 1.6 * board.wet(box) + max(0.0, 1 - near / 330) * 1.2
        if cost >= best[0] or board.wet(box) > 0.06:
            continue
        for sag in (0.05, -0.05, 0.0):
            label = letters.bowed(text, hand, (x, y), 0.0, sag * long)
            if all(board.is_free(part, 4) for part in label.boxes):
                best = cost, label
                break
    return best


def name_rivers(
    board: Board, letters: Letters, lattice: Lattice, drainage: Drainage, language: Language
) -> list[Label]:
    """Write the names of the longest rivers beside them."""
    labels: list[Label] = []
    longest = sorted(drainage.rivers, key=lambda river: (-len(river.nodes), river.nodes))
    for river in longest[:_RIVERS_NAMED]:
        if len(river.nodes) < 20:
            break
        word = language.word()
        line = lattice.spots(list(river.nodes))
        # The course without its bends.
        kernel = np.ones(7) / 7
        smooth = np.column_stack([np.convolve(line[:, axis], kernel, mode="valid") for axis in (0, 1)])
        text = f"R. {word}"
        placed = _along(board, letters, smooth, text, _RIVER)
        if placed is not None:
            labels.append(placed)
    return labels


def name_woods(board: Board, letters: Letters, trees: Field, language: Language, number: int) -> list[Label]:
    """Write the names of the widest forests inside them.

    Args:
        board: the room.
        letters: the typeface.
        trees: 1 in each cell of the board where trees stand, else 0.
        language: of the names.
        number: of forests to name.
    """
    rows, columns = board.water.shape
    labels: list[Label] = []
    kinds = ("{} Wood", "Forest of {}", "The {} Weald")
    for place in range(number):
        text = kinds[place].format(language.word())
        size, long = _WOOD.size, letters.width(text, _WOOD)
        best: tuple[float, Label] | None = None
        for row, column in product(range(10, rows - 10, 4), range(12, columns - 12, 5)):
            if trees[row, column] < 0.8:
                continue
            x, y = column * CELL, row * CELL
            reach = int(long / 2 / CELL) + 4
            around = trees[max(row - 8, 0) : row + 8, max(column - reach, 0) : column + reach]
            if any(math.dist((x, y), middle_of(other)) < _WOODS_APART for other in labels):
                continue
            worth = float(around.mean()) - board.hidden((x - long / 2, y - size, x + long / 2, y + 4))
            if worth < 0.6 or (best is not None and worth <= best[0]):
                continue
            label = letters.bowed(text, _WOOD, (x, y), 0.0, 0.05 * long)
            if all(board.is_free(box, 4) for box in label.boxes):
                best = worth, label
        if best is None:
            break
        board.take(best[1].boxes)
        labels.append(best[1])
    return labels
