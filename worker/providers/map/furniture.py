"""Owns what a map has beside its land: border, title cartouche, compass rose and scale bar."""

# ruff: noqa: PLR2004 - a designer's proportions

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.providers.map.lettering import Box, Hand, Letters
from worker.providers.map.pen import Point, Sheet

# Map units from the edge of the sheet to the map proper.
FRAME: Final = 30.0
# Leagues to the map unit.
LEAGUES: Final = 0.25


@dataclass(frozen=True)
class Cartouche:
    """What the title plaque says and where.

    Attributes:
        box: of the plaque.
        lines: a small one, which may be empty, and the name.
        motto: the line at its foot.
        size: of the name's letters.
    """

    box: Box
    lines: list[str]
    motto: str
    size: float


def draw_border(sheet: Sheet) -> None:
    """Draw the frame: two lines, a band of light and dark lengths between, and a boss at each corner."""
    width, height = sheet.width, sheet.height

    def frame(inset: float, line: float) -> None:
        corners = [
            (inset, inset),
            (width - inset, inset),
            (width - inset, height - inset),
            (inset, height - inset),
        ]
        sheet.line([*corners, corners[0], corners[1]], line)

    # Whatever was drawn across the frame is cut off there.
    for left, top, right, bottom in (
        (0.0, 0.0, width, FRAME),
        (0.0, height - FRAME, width, height),
        (0.0, 0.0, FRAME, height),
        (width - FRAME, 0.0, width, height),
    ):
        sheet.cover([(left, top), (right, top), (right, bottom), (left, bottom)])
    frame(12.5, 2.2)
    frame(17.0, 0.8)
    frame(23.0, 0.8)
    frame(FRAME - 1.2, 1.5)
    for along, across in ((width, height), (height, width)):
        pieces = max(4, 2 * round(along / 88) + 1)
        step = (along - 46) / pieces
        for number in range(0, pieces, 2):
            start, end = 23 + number * step, 23 + (number + 1) * step
            for near, far in ((17.0, 23.0), (across - 23.0, across - 17.0)):
                band = [(start, near), (end, near), (end, far), (start, far)]
                shown = band if along == width and across == height else [(y, x) for x, y in band]
                sheet.fill(shown, layer="ink", value=225)
        if width == height:
            _turned_band(sheet, pieces, step)
            break
    for x in (20.0, width - 20.0):
        for y in (20.0, height - 20.0):
            square = [(x - 7.5, y - 7.5), (x + 7.5, y - 7.5), (x + 7.5, y + 7.5), (x - 7.5, y + 7.5)]
            sheet.cover(square)
            sheet.line([*square, square[0]], 1.2)
            sheet.ring(x, y, 5.0, 0.8)
            for step in range(4):
                angle = step * math.pi / 2
                petal = [
                    (x, y),
                    (x + 2.2 * math.cos(angle - 0.5), y + 2.2 * math.sin(angle - 0.5)),
                    (x + 5 * math.cos(angle), y + 5 * math.sin(angle)),
                    (x + 2.2 * math.cos(angle + 0.5), y + 2.2 * math.sin(angle + 0.5)),
                ]
                sheet.fill(petal, layer="ink")


def _turned_band(sheet: Sheet, pieces: int, step: float) -> None:
    """Draw the left and right bands of a square map, whose sides cannot be told by their lengths."""
    for number in range(0, pieces, 2):
        start, end = 23 + number * step, 23 + (number + 1) * step
        for near, far in ((17.0, 23.0), (sheet.width - 23.0, sheet.width - 17.0)):
            sheet.fill([(near, start), (far, start), (far, end), (near, end)], layer="ink", value=225)


def title_lines(title: str) -> list[str]:
    """Split a title so that the name stands alone in large letters: The Kingdom of | Arador."""
    words = title.split()
    for place, word in enumerate(words[:-1]):
        if (
            word.lower() in {"of", "the"}
            and (word.lower() == "of" or place == 0)
            and "of" not in map(str.lower, words[place + 1 : -1])
        ):
            return [" ".join(words[: place + 1]), " ".join(words[place + 1 :])]
    return ["", title]


def cartouche_size(letters: Letters, lines: list[str], most: float, shorter: float) -> tuple[float, float, float]:
    """Return width and height of the cartouche of a title, and the size of its letters.

    Args:
        letters: the typeface.
        lines: of the title.
        most: how wide it may be.
        shorter: side of the map.
    """
    size = round(min(40.0, 13 + 0.032 * shorter))
    while size > 7 and _name_width(letters, lines[1], size) + 1.6 * size > most:
        size -= 1
    small = letters.width(lines[0], Hand("italic", 0.5 * size)) if lines[0] else 0.0
    wide = max(_name_width(letters, lines[1], size), small, 3 * size) + 1.6 * size
    return min(wide, most), size * (2.5 if lines[0] else 1.95) + 20, size


def _name_width(letters: Letters, name: str, size: float) -> float:
    return letters.width(name.upper(), Hand("roman", size, 0.12 * size))


def draw_cartouche(sheet: Sheet, letters: Letters, cartouche: Cartouche) -> None:
    """Draw the plaque with the name of the land."""
    left, top, right, bottom = cartouche.box
    lines, motto, size = cartouche.lines, cartouche.motto, cartouche.size
    sheet.cover(_plaque(left - 5, top - 5, right + 5, bottom + 5, 13))
    sheet.line(_plaque(left, top, right, bottom, 12), 1.9)
    sheet.line(_plaque(left + 4.5, top + 4.5, right - 4.5, bottom - 4.5, 11), 0.7)
    # The plaque's shadow makes it lie on the sheet.
    for step in range(3):
        edge = 2.5 + step * 1.6
        sheet.stroke(
            [(left + 16, bottom + edge), (right - 12, bottom + edge)],
            0.6,
            0.6,
            layer="shade",
            value=130 - 35 * step,
        )
    middle = (left + right) / 2
    y = top + 14
    if lines[0]:
        y += 0.46 * size
        letters.write(sheet, letters.straight(lines[0], Hand("italic", 0.5 * size), middle, y), halo=0)
        y += 0.15 * size
    y += 0.8 * size
    name = letters.bowed(lines[1].upper(), Hand("roman", size, 0.12 * size), (middle, y))
    letters.write(sheet, name, halo=0)
    rule = y + 0.32 * size
    reach = min((right - left) / 2 - 22, 95)
    for side in (-1, 1):
        sheet.stroke([(middle + side * 7, rule), (middle + side * reach, rule)], 1.3, 0.3)
    diamond = [(middle, rule - 3.2), (middle + 4.5, rule), (middle, rule + 3.2), (middle - 4.5, rule)]
    sheet.fill(diamond, layer="ink")
    small = 0.31 * size
    while letters.width(motto, Hand("italic", small)) > right - left - 30 and small > 6:
        small -= 0.5
    letters.write(sheet, letters.straight(motto, Hand("italic", small), middle, rule + 0.46 * size), halo=0)
    for x in (left + 3, right - 3):
        for y_corner in (top + 3, bottom - 3):
            sheet.dot(x, y_corner, 2.1)


def _plaque(left: float, top: float, right: float, bottom: float, bite: float) -> list[Point]:
    """Return a rectangle whose corners are hollowed."""
    outline: list[Point] = []
    for x, y, start in ((left, top, 90), (right, top, 180), (right, bottom, 270), (left, bottom, 0)):
        turns = [math.radians(start - 90 * step / 6) for step in range(7)]
        outline += [(x + bite * math.cos(turn), y + bite * math.sin(turn)) for turn in turns]
    return [*outline, outline[0], outline[1]]


def draw_compass(sheet: Sheet, letters: Letters, x: float, y: float, radius: float) -> None:
    """Draw a rose of 16 points, half of each dark, with its north marked."""
    for reach, line in ((0.70, 0.7), (0.66, 0.5), (0.42, 0.6)):
        sheet.ring(x, y, radius * reach, line, value=215)
    for step in range(64):
        angle = step * math.pi / 32
        inner = radius * (0.66 if step % 4 else 0.62)
        start = (x + inner * math.cos(angle), y + inner * math.sin(angle))
        sheet.line(
            [start, (x + radius * 0.7 * math.cos(angle), y + radius * 0.7 * math.sin(angle))], 0.45, value=190
        )
    for offset, count, reach, waist in (
        (math.pi / 8, 8, 0.5, 0.11),
        (math.pi / 4, 4, 0.68, 0.15),
        (0.0, 4, 1.0, 0.17),
    ):
        for number in range(count):
            angle = offset + number * 2 * math.pi / count
            tip = (x + radius * reach * math.sin(angle), y - radius * reach * math.cos(angle))
            for side in (-1, 1):
                turn = angle + side * math.pi / 4 * (1.0 if count == 4 else 0.5)
                knee = (x + radius * waist * math.sin(turn), y - radius * waist * math.cos(turn))
                blade = [(x, y), knee, tip]
                sheet.cover(blade)
                if side > 0:
                    sheet.fill(blade, layer="ink", value=235)
                sheet.line([*blade, blade[0]], 0.55)
    sheet.dot(x, y, radius * 0.05, value=0)
    sheet.ring(x, y, radius * 0.06, 0.6)
    letters.write(sheet, letters.straight("N", Hand("bold", radius * 0.4), x, y - radius * 1.1), halo=1.2)


def scale_size(width: float) -> tuple[float, float, int]:
    """Return width and height of the scale bar of a map, and the leagues of one of its four lengths."""
    step = 10 if width < 620 else 20
    return step * 4 / LEAGUES * 0.5 + 36, 38.0, step // 2


def draw_scale(sheet: Sheet, letters: Letters, box: Box, step: int) -> None:
    """Draw a bar of four lengths, dark and light by turns."""
    left, top, right, _ = box
    middle = (left + right) / 2
    long = step / LEAGUES
    start = middle - 2 * long
    y = top + 20
    sheet.cover(
        [(start - 2, y - 1), (start + 4 * long + 2, y - 1), (start + 4 * long + 2, y + 7), (start - 2, y + 7)]
    )
    for number in range(4):
        x = start + number * long
        piece = [(x, y), (x + long, y), (x + long, y + 5), (x, y + 5)]
        if number % 2 == 0:
            sheet.fill(piece, layer="ink", value=235)
        sheet.line([*piece, piece[0], piece[1]], 0.9)
    for number in range(5):
        text = str(number * step)
        letters.write(sheet, letters.straight(text, Hand("roman", 11.0), start + number * long, y - 3.5), halo=1.0)
    letters.write(sheet, letters.straight("Leagues", Hand("italic", 12.5), middle, y + 17), halo=1.0)


def rhumbs(x: float, y: float, reach: float) -> list[tuple[Point, Point]]:
    """Return the lines of bearing that run out from a compass rose."""
    angles = np.arange(16) * math.pi / 8
    return [((x, y), (x + reach * math.cos(angle), y + reach * math.sin(angle))) for angle in angles.tolist()]
