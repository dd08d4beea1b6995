"""Owns where names of towns and waters go: beside their symbols and across the sea, never on each other."""

# ruff: noqa: PLR2004 - a letterer's proportions

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from worker.providers.map.board import CELL, Board
from worker.providers.map.lattice import Points
from worker.providers.map.lettering import Box, Hand, Label, Letters
from worker.providers.map.names import Language
from worker.providers.map.settlements import Site

# How far a town's symbol reaches: half its width, up, down.
SYMBOLS: Final = {"capital": (21.5, 33.0, 4.0), "city": (14.0, 19.0, 4.0), "small": (4.5, 4.5, 4.5)}
_TOWN_HANDS: Final = {
    "capital": Hand("bold", 19.0),
    "city": Hand("roman", 14.5),
    "small": Hand("italic", 14.0),
}
# The water label's tries: part of the line's length that it sags, and its turn.
_SAGS: Final = (0.0, 0.1, -0.1, 0.18, -0.18)
# A name of water that does not fit in the best of so many places is written smaller.
_BOW_TRIES: Final = 400
_TURNS: Final = (0.0, -0.3, 0.3, -0.6, 0.6)
_WATERS: Final = {
    "sea": ("The Sea of {}", "The {} Sea", "The {} Ocean"),
    "bay": ("{} Bay", "Gulf of {}", "{} Sound"),
    "water": ("The {} Deeps", "{} Shallows", "The {} Reach"),
}


@dataclass(frozen=True)
class Town:
    """A named site."""

    site: Site
    name: str
    label: Label

    @property
    def size(self) -> str:
        """Which symbol it has: a key of `SYMBOLS`."""
        return symbol_of(self.site)


def symbol_of(site: Site) -> str:
    """Return which symbol a site has."""
    return "capital" if site.rank == 0 else "city" if site.rank <= 3 or site.kind == "hold" else "small"


def symbol_box(site: Site) -> Box:
    """Return what a site's symbol covers."""
    half, up, down = SYMBOLS[symbol_of(site)]
    return (site.x - half, site.y - up, site.x + half, site.y + down)


def name_towns(board: Board, letters: Letters, sites: list[Site], language: Language, number: int) -> list[Town]:
    """Name the first `number` sites that have room for symbol and name; the first of these is the capital."""
    towns: list[Town] = []
    for choice in sites:
        if len(towns) == number:
            break
        site = replace(choice, rank=len(towns), kind=choice.kind if towns else "capital")
        if not board.is_free(symbol_box(site), 1):
            continue
        board.take([symbol_box(site)])
        name = language.town()
        hand = _TOWN_HANDS[symbol_of(site)]
        best: tuple[float, Label] | None = None
        for penalty, middle, baseline in _around(letters.width(name, hand), hand.size, site):
            label = letters.straight(name, hand, middle, baseline)
            if board.is_free(label.boxes[0]):
                cost = penalty + 2.2 * board.hidden(label.boxes[0])
                wet = board.wet(label.boxes[0])
                # A port's name stands in the sea, any other's on land; astride a shore none is read well.
                cost += 1.2 * (1 - wet if site.kind == "port" else wet) + 1.5 * min(wet, 1 - wet)
                if best is None or cost < best[0]:
                    best = cost, label
        if best is None:
            board.taken.remove(symbol_box(site))
            continue
        board.take(best[1].boxes)
        towns.append(Town(site, name, best[1]))
    return towns


def _around(wide: float, size: float, site: Site) -> Iterable[tuple[float, float, float]]:
    """Yield penalty, middle and baseline of places for a name beside a site."""
    left, top, right, bottom = symbol_box(site)
    level = (top + bottom) / 2 + 0.28 * size
    aside = wide / 2 + 4
    yield 0.0, right + aside, level
    yield 0.1, left - aside, level
    yield 0.12, site.x, bottom + 0.9 * size
    yield 0.2, site.x, top - 0.3 * size - 2
    for penalty, slide in ((0.3, 0.45), (0.4, 0.8)):
        yield penalty, site.x + slide * wide / 2 + 3, top - 0.3 * size - 1
        yield penalty, site.x - slide * wide / 2 - 3, top - 0.3 * size - 1
        yield penalty, site.x + slide * wide / 2 + 3, bottom + 0.85 * size
        yield penalty, site.x - slide * wide / 2 - 3, bottom + 0.85 * size
    for penalty, lift in ((0.35, -0.55), (0.35, 0.55)):
        yield penalty, right + aside - 1, level + lift * size
        yield penalty, left - aside + 1, level + lift * size


def name_waters(board: Board, letters: Letters, language: Language) -> list[Label]:
    """Write names across the water: the widest sea, then bays and sounds, where land is near."""
    labels: list[Label] = []
    reach = min(1.0, max(0.62, board.width / 900))
    rows, columns = board.water.shape
    row, column = np.mgrid[3 : rows - 3 : 4, 3 : columns - 3 : 4]
    row, column = row.ravel(), column.ravel()
    for place, size in enumerate((30.0, 18.0, 16.0)):
        word = language.word()
        # Bays are where there is much land around; other waters anywhere.
        tries = [("sea", 0.0, 1.0)] if place == 0 else [("bay", 0.12, 0.72), ("water", 0.0, 1.0)]
        for (kind, least, most), shrink in product(tries, (1.0, 0.8, 0.62)):
            tall = size * reach * shrink
            wet = np.flatnonzero(board.water[row, column] > 1.2 * tall)
            some = wet[:: max(1, len(wet) // 160)]
            spots = [(float(column[at]) * CELL, float(row[at]) * CELL) for at in some]
            if kind != "sea":
                spots = [spot for spot in spots if least <= board.wet(_around_spot(spot)) <= most]
            text = _WATERS[kind][(len(word) + place) % len(_WATERS[kind])].format(word)
            hand = Hand("italic", tall, tall * (0.42 if place == 0 else 0.16), 215)
            if _best_bow(board, letters, labels, (text, hand), spots):
                break
    return labels


def _around_spot(spot: tuple[float, float]) -> Box:
    return (spot[0] - 110, spot[1] - 110, spot[0] + 110, spot[1] + 110)


def _best_bow(
    board: Board,
    letters: Letters,
    labels: list[Label],
    text: tuple[str, Hand],
    spots: list[tuple[float, float]],
) -> bool:
    """Write in the best water among spots, the first name in the widest; tell whether there was room."""
    words, hand = text
    if not spots:
        return False
    size, long = hand.size, letters.width(words, hand)
    places = np.array(spots)
    lure = np.array([_lure(board, spot, labels) for spot in spots])
    finds: list[tuple[float, int, float, float]] = []
    for turn, sag in product(_TURNS, _SAGS):
        clear = _clearance(board, _bow(places, long, turn, sag) - (0.0, 0.3 * size))
        worth = (np.minimum(clear, 26.0) + lure if labels else clear) - 16 * abs(turn) - 90 * abs(sag)
        finds += [(-float(worth[at]), at, turn, sag) for at in np.flatnonzero(clear >= 0.75 * size).tolist()]
    finds.sort()
    for _, at, turn, sag in finds[:_BOW_TRIES]:
        label = letters.bowed(words, hand, spots[at], turn, sag * long)
        if all(board.is_free(box, 7) for box in label.boxes):
            board.take(label.boxes)
            labels.append(label)
            return True
    return False


def _lure(board: Board, spot: tuple[float, float], labels: list[Label]) -> float:
    """Return how good a place is for the name of a bay: among land, far from other waters' names."""
    near = min((math.dist(spot, middle_of(one)) for one in labels), default=math.inf)
    return 110 * (1 - board.wet(_around_spot(spot))) - 0.25 * max(0.0, 320 - near)


def _bow(places: Points, long: float, turn: float, sag: float) -> Points:
    """Return nine points along a bow around each place."""
    t = np.linspace(-0.5, 0.5, 9) * long
    dy = sag * long * ((2 * t / long) ** 2 - 0.33)
    along = np.column_stack((t * math.cos(turn) - dy * math.sin(turn), t * math.sin(turn) + dy * math.cos(turn)))
    return np.asarray(places[:, None, :] + along[None, :, :])


def _clearance(board: Board, lines: Points) -> Points:
    """Return how far each line is from land and from the frame, at its nearest."""
    rows, columns = board.water.shape
    x, y = lines[..., 0], lines[..., 1]
    row = np.clip((y / CELL).astype(int), 0, rows - 1)
    column = np.clip((x / CELL).astype(int), 0, columns - 1)
    rim = np.minimum(np.minimum(x, board.width - x), np.minimum(y, board.height - y)) - board.margin
    return np.asarray(np.minimum(board.water[row, column], rim * 1.4).min(axis=1), dtype=np.float64)


def middle_of(label: Label) -> tuple[float, float]:
    """Return where the middle letter of a label stands."""
    glyph = label.glyphs[len(label.glyphs) // 2]
    return glyph.x, glyph.y
