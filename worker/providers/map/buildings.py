"""Owns the symbols of what people made: castles, towns, ports, holds; ships and what lives under them."""

# ruff: noqa: PLR0913, PLR0917, PLR2004 - a draughtsman's measures and proportions

import math

import numpy as np

from worker.providers.map.pen import Point, Sheet


def _house(sheet: Sheet, x: float, y: float, wide: float, tall: float, roof: float) -> None:
    """Draw a house seen from its gable and one side."""
    gable = wide * 0.42
    front = [(x, y), (x, y - tall), (x + gable / 2, y - tall - roof), (x + gable, y - tall), (x + gable, y)]
    side = [(x + gable, y), (x + gable, y - tall), (x + wide, y - tall), (x + wide, y)]
    top = [
        (x + gable / 2, y - tall - roof),
        (x + wide - gable / 2, y - tall - roof),
        (x + wide, y - tall),
        (x + gable, y - tall),
    ]
    for face, shade in ((front, 0), (side, 70), (top, 150)):
        sheet.cover(face, shade=shade)
    for face in (front, side, top):
        sheet.line([*face, face[0]], 0.6)


def _tower(sheet: Sheet, x: float, y: float, wide: float, tall: float, cap: float) -> None:
    """Draw a round tower with a pointed roof, or with battlements where `cap` is 0."""
    half = wide / 2
    sheet.cover([(x - half, y), (x - half, y - tall), (x + half, y - tall), (x + half, y)])
    sheet.fill(
        [(x + half * 0.1, y), (x + half * 0.1, y - tall), (x + half, y - tall), (x + half, y)],
        layer="shade",
        value=110,
    )
    sheet.line([(x - half, y), (x - half, y - tall), (x + half, y - tall), (x + half, y)], 0.7)
    if cap:
        roof = [(x - half - 0.7, y - tall), (x, y - tall - cap), (x + half + 0.7, y - tall)]
        sheet.cover(roof, shade=130)
        sheet.line([*roof, roof[0]], 0.7)
        return
    for step in range(3):
        left = x - half + step * wide * 0.4
        merlon = [
            (left, y - tall),
            (left, y - tall - 1.5),
            (left + wide * 0.2, y - tall - 1.5),
            (left + wide * 0.2, y - tall),
        ]
        sheet.cover(merlon)
        sheet.line(merlon, 0.6)
    sheet.dot(x, y - tall * 0.62, 0.5)


def _flag(sheet: Sheet, x: float, y: float, tall: float) -> None:
    sheet.line([(x, y), (x, y - tall)], 0.5)
    pennon = [(x, y - tall), (x + 4.6, y - tall + 1.3), (x, y - tall + 2.5)]
    sheet.fill(pennon, layer="ink", value=255)


def capital(sheet: Sheet, x: float, y: float) -> None:
    """Draw a castle whose gate is at the point."""
    _tower(sheet, x - 2, y - 4, 7.5, 13, 6)
    _flag(sheet, x - 2, y - 22.5, 5)
    _tower(sheet, x + 6, y - 4, 5, 8, 5)
    _tower(sheet, x - 9.5, y - 3, 5, 7.5, 4.5)
    wall = [(x - 15, y + 2), (x - 15, y - 5), (x + 15, y - 5), (x + 15, y + 2)]
    sheet.cover(wall)
    sheet.fill([(x + 3, y + 2), (x + 3, y - 5), (x + 15, y - 5), (x + 15, y + 2)], layer="shade", value=55)
    sheet.line([*wall, wall[0]], 0.75)
    for step in range(8):
        left = x - 14.2 + step * 3.75
        sheet.line([(left, y - 5), (left, y - 6.5), (left + 1.8, y - 6.5), (left + 1.8, y - 5)], 0.6)
    gate = [
        (x - 2, y + 2),
        (x - 2, y - 1),
        (x - 1.2, y - 2.4),
        (x, y - 2.9),
        (x + 1.2, y - 2.4),
        (x + 2, y - 1),
        (x + 2, y + 2),
    ]
    sheet.fill(gate, layer="ink", value=235)
    _tower(sheet, x - 15, y + 3, 5, 11, 0)
    _tower(sheet, x + 15, y + 3, 5, 11, 0)


def city(sheet: Sheet, rng: np.random.Generator, x: float, y: float) -> None:
    """Draw a cluster of houses around a spire."""
    _house(sheet, x - 8 + rng.uniform(-0.5, 0.5), y - 3.5, 7, 2.8, 2.6)
    _tower(sheet, x + 1.5, y - 2, 3.6, 7, 6)
    _house(sheet, x + 3, y - 2, 7.5, 2.8, 2.8)
    _house(sheet, x - 10, y + 1, 8, 3, 2.9)
    _house(sheet, x - 1.2, y + 2, 8.5, 3.2, 3.0)


def hold(sheet: Sheet, x: float, y: float) -> None:
    """Draw a lonely keep."""
    _tower(sheet, x, y + 1, 8, 11, 0)
    _tower(sheet, x + 5, y + 2, 4.5, 6, 0)
    _flag(sheet, x - 1, y - 11, 5)


def town(sheet: Sheet, x: float, y: float) -> None:
    """Draw the ring and dot of a small place."""
    sheet.dot(x, y, 4.6, value=0)
    sheet.dot(x, y, 4.6, layer="water", value=0)
    sheet.ring(x, y, 3.7, 0.9)
    sheet.dot(x, y, 1.7)


def ship(sheet: Sheet, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a ship under sail on its bit of sea."""
    face = 1 if rng.random() < 0.5 else -1

    def at(points: list[Point]) -> list[Point]:
        return [(x + face * px * size, y + py * size) for px, py in points]

    hull = at([(-11, -4), (-10, 1.5), (-6, 3), (6, 3), (10, 0.5), (13, -3.2), (9, -1.6), (-6, -1.6), (-7, -4.6)])
    sheet.cover(hull, shade=120)
    sheet.line([*hull, hull[0]], 0.8)
    sheet.line(at([(-10, 0), (9.5, 0.2)]), 0.5, value=190)
    for mast, tall, wide in ((-5, 15, 4.6), (2, 19, 5.6)):
        sheet.line(at([(mast, -1.6), (mast, -tall)]), 0.7)
        for low, high in ((-3.4, -tall * 0.52), (-tall * 0.56, -tall * 0.9)):
            spread = wide * (1.0 if low > -5 else 0.78)
            sail = at([(mast - spread, low), (mast - spread * 0.8, high), (mast + spread * 0.9, high)])
            belly = at([(mast + spread * 1.35, (low + high) / 2), (mast + spread * 1.05, low), (mast, low + 0.8)])
            sheet.cover([*sail, *belly])
            sheet.fill([*belly, at([(mast + spread * 0.3, high)])[0]], layer="shade", value=60)
            sheet.line([*sail, *belly, sail[0]], 0.6)
        sheet.fill(at([(mast, -tall), (mast + 4, -tall + 0.9), (mast, -tall + 1.9)]), layer="ink")
    sheet.line(at([(9, -2), (16, -6)]), 0.6)
    sheet.line(at([(2, -18), (15, -5.6)]), 0.35, value=170)
    for level, reach in ((3.6, 15), (5.6, 10)):
        wave = [(x + t * size, y + level * size + 0.6 * math.sin(t * 1.3)) for t in np.linspace(-reach, reach, 16)]
        sheet.stroke(wave, 0.2, 0.2, belly=0.5, value=200)


def serpent(sheet: Sheet, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a sea serpent: a head held high, and coils that leave the water behind it."""
    face = 1 if rng.random() < 0.5 else -1

    def at(points: list[Point]) -> list[Point]:
        return [(x + face * px * size, y + py * size) for px, py in points]

    tail = at([(-24, 1), (-23, -3), (-20.5, -5.5), (-22.5, -7.5), (-18.5, -7), (-20, -4), (-21.5, 1)])
    sheet.cover(tail, shade=50)
    sheet.line([*tail, tail[0]], 0.7)
    for middle, radius, thick in ((-13.5, 4.6, 3.0), (-2.0, 5.6, 3.8)):
        angles = np.linspace(math.pi, 0, 15)
        coil = [(middle + radius * math.cos(a), 1 - radius * 1.35 * math.sin(a)) for a in angles]
        _tube(sheet, at(coil), thick * size, thick * size)
        for px, py in coil[2:-2:2]:
            spike = [
                (px - 0.9, py - thick * 0.42),
                (px - 0.4, py - thick * 0.42 - 1.8),
                (px + 0.8, py - thick * 0.42),
            ]
            sheet.fill(at(spike), layer="ink")
    neck = [(9.0, 1.0), (8.4, -4.0), (9.0, -8.5), (11.2, -12.0), (13.6, -13.4)]
    _tube(sheet, at(neck), 4.6 * size, 3.0 * size)
    for px, py in ((6.2, -3.2), (6.5, -6.5), (7.6, -9.6), (9.6, -12.6)):
        sheet.fill(at([(px, py - 1.3), (px - 1.9, py - 0.6), (px + 0.3, py + 1.1)]), layer="ink")
    head = [(11.5, -15.4), (13.6, -16.8), (16.2, -16.2), (20.4, -14.6), (20.2, -13.6), (17.0, -13.4)]
    jaw = [(19.2, -11.8), (18.4, -11.2), (15.2, -11.6), (12.6, -12.2)]
    skull = at([*head, *jaw])
    sheet.cover(skull, shade=35)
    sheet.line([*skull, skull[0]], 0.75)
    sheet.line(at([(12.6, -16.2), (10.6, -18.2), (13.4, -16.8)]), 0.6)
    eye = at([(15.2, -15.0)])[0]
    sheet.dot(eye[0], eye[1], 0.6)
    for middle, reach in ((-22, 4), (-17.6, 3.4), (-8.6, 3.2), (4.0, 3.4), (9, 5)):
        wave = at([(middle + t, 1.4 + 0.5 * math.sin(t * 1.4)) for t in np.linspace(-reach, reach, 10)])
        sheet.stroke(wave, 0.2, 0.2, belly=0.7, value=220)
    long = at([(t, 3.6 + 0.5 * math.sin(t * 0.9)) for t in np.linspace(-17, 9, 26)])
    sheet.stroke(long, 0.2, 0.2, belly=0.5, value=180)


def _tube(sheet: Sheet, path: list[Point], start: float, end: float) -> None:
    """Draw a body along a path, lit from above."""
    sides: list[list[Point]] = [[], [], []]
    last = len(path) - 1
    for place, (px, py) in enumerate(path):
        before, after = path[max(place - 1, 0)], path[min(place + 1, last)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        long = math.hypot(dx, dy) or 1.0
        half = (start + (end - start) * place / last) / 2
        for side, part in zip(sides, (-1.0, 0.15, 1.0), strict=True):
            side.append((px - dy / long * half * part, py + dx / long * half * part))
    outer, middle, inner = sides
    if sum(py for _, py in outer) > sum(py for _, py in inner):
        outer, inner = inner, outer
    sheet.cover([*outer, *reversed(inner)])
    sheet.fill([*middle, *reversed(inner)], layer="shade", value=100)
    sheet.line(outer, 0.75)
    sheet.line(inner, 0.65)
