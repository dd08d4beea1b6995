"""Owns the plan of a map: everything that it shows and where, before a line is drawn."""

# ruff: noqa: PLR2004 - a designer's proportions

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from worker.providers.landscape.noise import Dice
from worker.providers.map.board import CELL, Board, distance
from worker.providers.map.cover import Plant, dry_land, grow, spread, wooded
from worker.providers.map.drainage import Drainage, River, drain
from worker.providers.map.furniture import FRAME
from worker.providers.map.labels import Town, name_towns, name_waters
from worker.providers.map.lattice import Lattice, Points
from worker.providers.map.lettering import Box, Label, Letters
from worker.providers.map.names import Language
from worker.providers.map.outline import rounded, shores, through
from worker.providers.map.regions import name_ranges, name_regions, name_rivers, name_woods
from worker.providers.map.relief import Relief, raise_land
from worker.providers.map.settlements import build_roads, settle, usual_number
from worker.providers.map.titles import Furniture, entitle, furnish, sign
from worker.providers.map.vocabulary import Nature, read_nature


@dataclass(frozen=True)
class Ornament:
    """A thing that stands in the open sea: a ship or a serpent."""

    kind: str
    x: float
    y: float


@dataclass(frozen=True)
class Wish:
    """What is asked of a map: its size in map units, and what `MapSpec` says."""

    width: float
    height: float
    description: str
    title: str | None
    towns: int | None


@dataclass(frozen=True)
class Plan:
    """A map before it is drawn; all in map units.

    Attributes:
        width, height: of the sheet.
        nature, relief, drainage: the land.
        coasts: closed lines, and whether land is inside each.
        courses: the line of each river, with the flow along it.
        roads: the line of each road.
        name: of the land, in full.
        furniture: cartouche, compass, scale bar.
        towns: named and placed.
        labels: all other names.
        plants: symbols of nature, back to front.
        ornaments: at sea.
    """

    width: float
    height: float
    nature: Nature
    relief: Relief
    drainage: Drainage
    coasts: list[tuple[Points, bool]]
    courses: list[tuple[Points, tuple[float, ...]]]
    roads: list[Points]
    name: str
    furniture: Furniture
    towns: list[Town]
    labels: list[Label]
    plants: list[Plant]
    ornaments: list[Ornament]


def plan_map(wish: Wish, dice: Dice, letters: Letters, report: Callable[[float, str], None]) -> Plan:
    """Return the plan of a map."""
    nature = read_nature(wish.description, dice)
    report(0.04, "raising the land")
    lattice = Lattice(wish.width, wish.height, dice)
    relief = raise_land(lattice, nature)
    report(0.12, "letting the rivers run")
    drainage = drain(relief, nature)
    surface = drainage.height.copy()
    surface.ravel()[sorted(drainage.lakes)] = -0.02
    coasts = [(rounded(line, 2, closed=True), dry) for line, dry in shores(lattice, surface)]
    courses = _courses(lattice, drainage.rivers)

    report(0.26, "settling")
    language = Language(dice, nature.climate)
    name = wish.title or entitle(language, nature, dice)
    board = _board(relief, coasts, courses)
    furniture = furnish(board, letters, name, sign(language, dice), inland=nature.shape == "inland")
    number = usual_number(drainage, nature) if wish.towns is None else wish.towns
    # Some to spare: not every site has room for a name.
    sites = settle(relief, drainage, nature, number + number // 4 + 2, board.taken) if number else []
    towns = name_towns(board, letters, sites, language, number)
    report(0.34, "naming")
    labels = _names(board, letters, language, (nature, relief, drainage))
    report(0.42, "building roads")
    ways = build_roads(relief, drainage, [town.site for town in towns])
    roads = [through(_eased(lattice.spots(way)), 3) for way in ways]
    ornaments = _ornaments(board, dice)
    report(0.48, "planting forests")
    lines = [spread(line, 3) for line, _ in courses] + [spread(line, 3) for line in roads]
    gaps = [box for label in labels for box in _joined(label)]
    plants = grow(relief, drainage, nature, board.taken + gaps, lines)
    return Plan(
        width=wish.width,
        height=wish.height,
        nature=nature,
        relief=relief,
        drainage=drainage,
        coasts=coasts,
        courses=courses,
        roads=roads,
        name=name,
        furniture=furniture,
        towns=towns,
        labels=labels,
        plants=plants,
        ornaments=ornaments,
    )


def _names(
    board: Board, letters: Letters, language: Language, land: tuple[Nature, Relief, Drainage]
) -> list[Label]:
    """Name waters, ranges, forests, countries and rivers, in the order of their claim to room."""
    nature, relief, drainage = land
    inland = nature.shape == "inland"
    labels = [] if inland else name_waters(board, letters, language)
    labels += name_ranges(board, letters, relief, language, nature)
    if nature.climate != "desert":
        dry = dry_land(relief, drainage)
        woods, level = wooded(relief, drainage, dry, nature)
        stand = ((woods >= level) & (dry >= 2) & (relief.mountains < 0.4)).astype(np.float32)
        rows, columns = board.water.shape
        trees = relief.lattice.picture(stand, (columns, rows))
        labels += name_woods(board, letters, trees, language, 1 if nature.forest < 0.9 else 3)
    labels += name_regions(board, letters, language, 3 if inland else 2)
    return labels + name_rivers(board, letters, relief.lattice, drainage, language)


def _courses(lattice: Lattice, rivers: tuple[River, ...]) -> list[tuple[Points, tuple[float, ...]]]:
    """Return the line of each river: every point eased towards its neighbours, shared points alike."""
    place = np.column_stack((lattice.x.ravel(), lattice.y.ravel()))
    for _ in range(2):
        moved = place.copy()
        for river in rivers:
            line = place[list(river.nodes)]
            inner = list(river.nodes[1:-1])
            moved[inner] = 0.5 * line[1:-1] + 0.25 * (line[:-2] + line[2:])
        place = moved
    return [(place[list(river.nodes)], river.flow) for river in rivers]


def _eased(line: Points) -> Points:
    for _ in range(4):
        line = np.concatenate((line[:1], 0.5 * line[1:-1] + 0.25 * (line[:-2] + line[2:]), line[-1:]))
    return line


def _board(
    relief: Relief, coasts: list[tuple[Points, bool]], courses: list[tuple[Points, tuple[float, ...]]]
) -> Board:
    width, height = relief.lattice.width, relief.lattice.height
    columns, rows = int(width / CELL) + 1, int(height / CELL) + 1
    land = Image.new("L", (columns, rows))
    clutter = Image.new("L", (columns, rows))
    pen, ink = ImageDraw.Draw(land), ImageDraw.Draw(clutter)
    for line, dry in coasts:
        cells = [(x / CELL, y / CELL) for x, y in line.tolist()]
        pen.polygon(cells, fill=255 if dry else 0)
        ink.line([*cells, cells[0]], fill=255, width=2)
    for line, flow in courses:
        ink.line([(x / CELL, y / CELL) for x, y in line.tolist()], fill=140 if flow[-1] > 120 else 90)
    steep = relief.lattice.picture(relief.mountains, (columns, rows))
    drawn = np.maximum(np.asarray(clutter, dtype=np.float32) / 255, np.clip(steep * 1.6, 0, 1))
    water = distance(np.asarray(land) > 127, 60) * np.float32(CELL)
    return Board(width, height, FRAME + 9, water, drawn)


def _joined(label: Label) -> list[Box]:
    """Return boxes over the gaps between letters of a word, where a tree would read as a letter."""
    gaps: list[Box] = []
    for one, other in pairwise(label.boxes):
        if math.dist(one[:2], other[:2]) < 2.6 * label.hand.size:
            gaps.append(
                (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))
            )
    return gaps


def _ornaments(board: Board, dice: Dice) -> list[Ornament]:
    """Put ships and a serpent where the sea is open."""
    rng = dice.stream("ornaments")
    found: list[Ornament] = []
    rows, columns = board.water.shape
    for kind in ("ship", "serpent", "ship"):
        for _ in range(240):
            column, row = int(rng.integers(columns)), int(rng.integers(rows))
            x, y = column * CELL, row * CELL
            box = (x - 36, y - 40, x + 36, y + 18)
            if board.water[row, column] > 52 and board.is_free(box, 14):
                board.take([box])
                found.append(Ornament(kind, x, y))
                break
    return found
