"""Owns the symbols of nature: mountains, hills, trees, reeds and dunes, each drawn as by a hand with a pen."""

# ruff: noqa: PLR2004 - a draughtsman's proportions

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from worker.providers.map.pen import Point, Sheet

_VARIANTS: Final = 14


def _between(one: Point, other: Point, part: float) -> Point:
    return one[0] + (other[0] - one[0]) * part, one[1] + (other[1] - one[1]) * part


def _flank(rng: np.random.Generator, peak: Point, foot: Point, bends: int, hollow: float) -> list[Point]:
    """Return a slope from a peak to its foot: steep first, then running out, with a few knees."""
    line = [peak]
    for bend in range(1, bends):
        part = bend / bends
        x, y = _between(peak, foot, part)
        sag = hollow * np.sin(np.pi * part) * (foot[1] - peak[1])
        jolt = rng.normal(0, 0.03) * (foot[1] - peak[1])
        line.append((x + jolt * 0.8, y + sag + jolt))
    return [*line, foot]


def mountain(sheet: Sheet, rng: np.random.Generator, foot: Point, width: float, *, snowy: bool) -> None:
    """Draw a mountain around its foot: lit from the left, hatched on the right."""
    x, y = foot
    tall = width * rng.uniform(0.72, 0.95)
    peak = (x + width * rng.uniform(-0.08, 0.1), y - tall)
    left_foot = (x - width * rng.uniform(0.46, 0.54), y + rng.uniform(-0.5, 0.8))
    right_foot = (x + width * rng.uniform(0.46, 0.56), y + rng.uniform(-0.5, 0.8))
    left = _flank(rng, peak, left_foot, 6, rng.uniform(0.06, 0.16))
    right = _flank(rng, peak, right_foot, 6, rng.uniform(0.06, 0.16))
    # The crest comes down towards the reader in zigzags and parts light from shadow.
    end = (x + width * rng.uniform(0.0, 0.14), y - tall * rng.uniform(0.0, 0.1))
    crest = [peak]
    for bend in range(1, 6):
        cx, cy = _between(peak, end, bend / 6)
        crest.append((cx + (1 if bend % 2 else -1) * width * rng.uniform(0.015, 0.055), cy))
    crest.append(end)
    base = [(end[0] + width * 0.05, y + 0.5), right_foot]

    sheet.cover([*reversed(left), *right[1:], (x, y + 1.2)])
    sheet.fill([*crest, *base, *reversed(right)], layer="shade", value=105)
    sheet.fill(
        [peak, *crest[1:4], _between(crest[3], right[3], 0.7), *reversed(right[1:4])], layer="shade", value=140
    )
    lines = max(4, round(width / 3.6))
    for number in range(lines):
        part = (number + rng.uniform(0.3, 0.7)) / lines
        if snowy and part < 0.3:
            continue
        top = _along(crest, part * 0.96)
        bottom = _along([peak, right_foot], min(1.0, part + 0.42 + 0.1 * (1 - part)))
        bottom = (_between(top, bottom, 0.92)[0], min(bottom[1], y + 0.3))
        tip = _between(top, bottom, rng.uniform(0.62, 0.95))
        middle = (_between(top, tip, 0.5)[0] - width * 0.012, _between(top, tip, 0.5)[1] + width * 0.01)
        sheet.stroke([top, middle, tip], 0.95, 0.25, value=205)
    for _ in range(max(2, round(width / 11))):
        part = rng.uniform(0.45, 0.9)
        start = _between(_along(left, part), _along(crest, part), rng.uniform(0.08, 0.5))
        fall = width * rng.uniform(0.07, 0.15)
        sheet.stroke([start, (start[0] - fall * 0.45, start[1] + fall)], 0.8, 0.2, value=165)
    if snowy:
        _snow_line(sheet, rng, left, crest)
    sheet.stroke(crest, 1.0, 0.4, value=225)
    sheet.stroke(left, 1.35, 0.75, belly=0.2)
    sheet.stroke(right, 1.5, 0.8, belly=0.5)


def _along(line: list[Point], part: float) -> Point:
    place = part * (len(line) - 1)
    index = min(int(place), len(line) - 2)
    return _between(line[index], line[index + 1], place - index)


def _snow_line(sheet: Sheet, rng: np.random.Generator, left: list[Point], crest: list[Point]) -> None:
    start, end = _along(left, 0.42), _along(crest, 0.34)
    jag = []
    for step in range(7):
        px, py = _between(start, end, step / 6)
        jag.append((px, py + (1.0 if step % 2 else -1.0) * rng.uniform(0.6, 1.6)))
    sheet.stroke(jag, 0.6, 0.6, value=170)


def hill(sheet: Sheet, rng: np.random.Generator, x: float, y: float, width: float) -> None:
    """Draw a rounded hill: an arc with a few strokes down its right side."""
    tall = width * rng.uniform(0.3, 0.42)
    arc = []
    lean = rng.uniform(-0.12, 0.12)
    for step in range(11):
        part = step / 10
        rise = np.sin(np.pi * part) ** 0.8
        arc.append((x + width * (part - 0.5 + lean * rise * 0.5), y - tall * rise + rng.normal(0, 0.12)))
    sheet.cover(arc)
    sheet.fill([*arc[5:], (x + width * 0.12, y)], layer="shade", value=75)
    sheet.stroke(arc, 0.6, 1.0, belly=0.45)
    for number in range(3):
        top = _along(arc, 0.56 + 0.12 * number)
        fall = tall * rng.uniform(0.3, 0.5)
        sheet.stroke(
            [(top[0] + 0.2, top[1] + 1.3), (top[0] + fall * 0.35, top[1] + 1.3 + fall)], 0.7, 0.2, value=180
        )


def oak(sheet: Sheet, rng: np.random.Generator, x: float, y: float) -> None:
    """Draw a broadleaved tree."""
    wide, tall = rng.uniform(3.3, 4.4), rng.uniform(3.2, 4.0)
    middle = y - tall - 1.6
    sheet.line([(x, y), (x + rng.uniform(-0.2, 0.2), y - 2.6)], 0.9)
    crown = []
    bumps = int(rng.integers(6, 9))
    turn = rng.uniform(0, 6)
    for step in range(28):
        angle = step / 28 * 2 * np.pi
        swell = 1 + 0.13 * abs(np.sin(bumps / 2 * angle + turn)) - 0.06
        crown.append((x + wide * swell * np.cos(angle), middle + tall * 0.85 * swell * np.sin(angle)))
    sheet.cover(crown, leaf=150)
    dark = [(px, py) for px, py in crown if px - x + (py - middle) > 0.2]
    sheet.fill(dark, layer="shade", value=95)
    sheet.line([*crown, crown[0]], 0.55, value=215)
    sheet.stroke(
        [(x + wide * 0.55, middle - 0.8), (x + wide * 0.45, middle + 1.2), (x, middle + 2.1)], 0.5, 0.3, value=170
    )
    sheet.stroke([(x - wide * 0.4, middle - 0.2), (x - wide * 0.1, middle - 1.3)], 0.4, 0.3, value=120)


def pine(sheet: Sheet, rng: np.random.Generator, x: float, y: float) -> None:
    """Draw a conifer."""
    wide, tall = rng.uniform(2.4, 3.2), rng.uniform(8.6, 11.5)
    sheet.line([(x, y), (x, y - 2.2)], 0.8)
    left: list[Point] = [(x, y - tall)]
    right: list[Point] = [(x, y - tall)]
    for tier in range(1, 4):
        reach, level = wide * tier / 3, y - tall + (tall - 1.6) * tier / 3
        left += [(x - reach, level + rng.normal(0, 0.15)), (x - reach * 0.55, level - 0.5)]
        right += [(x + reach, level + rng.normal(0, 0.15)), (x + reach * 0.55, level - 0.5)]
    outline = [*left, *reversed(right)]
    sheet.cover(outline, leaf=185)
    sheet.fill([(x, y - tall), *right[1:], (x, y - 1.6)], layer="shade", value=125)
    sheet.line([*outline, outline[0]], 0.5, value=225)
    for tier in range(3):
        level = y - tall + (tall - 1.6) * (tier + 0.72) / 3
        sheet.line([(x + 0.2, level - 0.8), (x + wide * (tier + 0.7) / 3.4, level)], 0.5, value=190)


def palm(sheet: Sheet, rng: np.random.Generator, x: float, y: float) -> None:
    """Draw a palm."""
    lean = rng.uniform(-1.8, 1.8)
    top = (x + lean, y - rng.uniform(6.0, 7.5))
    sheet.fill(
        [(top[0] - 3, top[1] - 1.5), (top[0] + 3, top[1] - 1.5), (x + 0.8, y), (x - 0.8, y)],
        layer="leaf",
        value=60,
    )
    sheet.stroke([(x, y), (x + lean * 0.35, y - 3.4), top], 0.95, 0.6)
    for angle in (-2.9, -2.3, -1.5, -0.8, -0.2):
        reach = rng.uniform(3.0, 3.9)
        dx, dy = np.cos(angle) * reach, np.sin(angle) * reach * 0.55
        bow = [top, (top[0] + dx * 0.55, top[1] + dy - 0.7), (top[0] + dx, top[1] + dy + 1.5)]
        sheet.stroke(bow, 0.7, 0.3, belly=0.75)
        sheet.fill([*bow, (top[0] + dx * 0.5, top[1] + dy * 0.4)], layer="leaf", value=190)
    for layer in ("ink", "leaf"):
        sheet.layers["solid"].paste(255, None, sheet.layers[layer].point(lambda value: 255 if value else 0))


def reeds(sheet: Sheet, rng: np.random.Generator, x: float, y: float) -> None:
    """Draw a tuft of reeds in still water."""
    for stalk in range(int(rng.integers(4, 6))):
        lean = (stalk - 2) * 1.35 + rng.normal(0, 0.3)
        tall = rng.uniform(4.0, 6.2) - abs(lean) * 0.4
        sheet.stroke([(x + lean * 0.35, y), (x + lean, y - tall)], 0.65, 0.3, value=205)
    for level, reach in ((0.3, 6.4), (2.2, 3.8)):
        off = rng.uniform(-0.8, 0.8)
        sheet.line([(x - reach + off, y + level), (x + reach + off, y + level)], 0.45, value=165)
    sheet.line([(x - 4.8, y + 1.2), (x + 5.4, y + 1.2)], 0.6, layer="water", value=150)


def dune(sheet: Sheet, rng: np.random.Generator, x: float, y: float) -> None:
    """Draw a crescent dune with dots of sand in its lee."""
    wide = rng.uniform(9, 17)
    arc = []
    for step in range(9):
        part = step / 8
        arc.append((x + wide * (part - 0.5), y - wide * 0.17 * np.sin(np.pi * part**0.75) + 0.9 * part))
    sheet.stroke(arc, 0.35, 0.35, belly=0.55, value=190)
    sheet.fill([*arc[3:], (x + wide * 0.1, y + 0.6)], layer="shade", value=50)
    for _ in range(int(wide * 0.7)):
        part = rng.uniform(0.3, 1.0)
        px, py = _along(arc, part)
        sheet.dot(px + rng.normal(0, 0.6), py + rng.uniform(0.8, 3.6) * (1.1 - part * 0.5), 0.3, value=170)


def grass(sheet: Sheet, rng: np.random.Generator, x: float, y: float) -> None:
    """Draw a tuft of grass."""
    for lean in (-1.6, 0.0, 1.7):
        tall = rng.uniform(2.0, 3.4)
        sheet.stroke([(x + lean * 0.3, y), (x + lean, y - tall)], 0.6, 0.3, value=175)


Drawer = Callable[[Sheet, np.random.Generator, float, float], None]
_TREES: Final[Mapping[str, Drawer]] = MappingProxyType({"oak": oak, "pine": pine, "palm": palm})


def cut_stamps(kind: str, rng: np.random.Generator, scale: float) -> list[Sheet]:
    """Return variants of a tree to print from: a forest has too many trees to draw each."""
    stamps: list[Sheet] = []
    for _ in range(_VARIANTS):
        sheet = Sheet(14, 14, scale)
        _TREES[kind](sheet, rng, 7, 13.2)
        close_outline(sheet)
        stamps.append(sheet)
    return stamps


def close_outline(sheet: Sheet) -> None:
    """Make the lines of a symbol part of what it hides, so that it can be stamped whole."""
    lines = sheet.layers["ink"].point(lambda value: 255 if value > 60 else 0)
    sheet.layers["solid"].paste(255, None, lines)
