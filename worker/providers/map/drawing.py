"""Owns the drawing of a plan: its lines, symbols and letters on a sheet, in the order that hides rightly."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from worker.providers.landscape.noise import Dice, Field
from worker.providers.map import buildings, symbols
from worker.providers.map.furniture import draw_border, draw_cartouche, draw_compass, draw_scale
from worker.providers.map.lettering import Letters
from worker.providers.map.outline import dashes, shaky, through
from worker.providers.map.pen import Sheet
from worker.providers.map.plan import Plan


def land_mask(plan: Plan, scale: float, size: tuple[int, int]) -> Image.Image:
    """Return where the land is, as coverage of each pixel; lakes are not land."""
    mask = Image.new("L", (math.ceil(plan.width * scale), math.ceil(plan.height * scale)))
    pen = ImageDraw.Draw(mask)
    for line, dry in plan.coasts:
        pen.polygon([(x * scale, y * scale) for x, y in line.tolist()], fill=255 if dry else 0)
    return mask.resize(size, Image.Resampling.BOX)


def draw(plan: Plan, letters: Letters, dice: Dice, report: Callable[[float, str], None]) -> Sheet:
    """Draw everything but washes of colour, at the scale of the letters."""
    sheet = Sheet(plan.width, plan.height, letters.scale)
    _waters(sheet, plan, dice)
    _roads(sheet, plan)
    report(0.58, "drawing mountains and forests")
    _plants(sheet, plan, dice)
    report(0.72, "drawing towns")
    _towns(sheet, plan, dice)
    rng = dice.stream("ships")
    for ornament in plan.ornaments:
        if ornament.kind == "ship":
            buildings.ship(sheet, rng, ornament.x, ornament.y, float(rng.uniform(1.35, 1.7)))
        else:
            buildings.serpent(sheet, rng, ornament.x, ornament.y, 1.45)
    for label in plan.labels:
        letters.write(sheet, label)
    for town in plan.towns:
        letters.write(sheet, town.label)
    report(0.8, "compass, scale and title")
    draw_border(sheet)
    furniture = plan.furniture
    if furniture.compass is not None:
        draw_compass(sheet, letters, *furniture.compass)
    if furniture.scale is not None:
        draw_scale(sheet, letters, *furniture.scale)
    draw_cartouche(sheet, letters, furniture.cartouche)
    return sheet


def _waters(sheet: Sheet, plan: Plan, dice: Dice) -> None:
    rng = dice.stream("shores")
    great = 1.5 if plan.nature.great_river else 1.0
    for line, flow in plan.courses:
        smooth = through(line, 4)
        source, mouth = 0.7, min(0.8 + 0.13 * math.sqrt(flow[-1]), 4.2) * great
        begin = min(0.7 + 0.13 * math.sqrt(flow[0]) * 0.5, 2.0)
        points = [(float(x), float(y)) for x, y in shaky(smooth, rng, 0.18)]
        # The first and last points are shared with other rivers and with the coast.
        points[0], points[-1] = (
            (float(smooth[0][0]), float(smooth[0][1])),
            (float(smooth[-1][0]), float(smooth[-1][1])),
        )
        sheet.stroke(points, max(source, begin), mouth, layer="water")
    for line, dry in plan.coasts:
        hand = shaky(line, rng, 0.28).tolist()
        sheet.line([*hand, hand[0]], 1.5 if dry else 1.2)


def _roads(sheet: Sheet, plan: Plan) -> None:
    for road in plan.roads:
        for dash in dashes(road, 5.0, 3.6):
            sheet.line(dash.tolist(), 1.3, value=195)


def _plants(sheet: Sheet, plan: Plan, dice: Dice) -> None:
    rng = dice.stream("plants")
    snowy = plan.nature.climate == "north"
    stamps: dict[str, list[Sheet]] = {}
    for plant in plan.plants:
        if plant.kind == "mountain":
            symbols.mountain(sheet, rng, (plant.x, plant.y), plant.width, snowy=snowy)
        elif plant.kind == "hill":
            symbols.hill(sheet, rng, plant.x, plant.y, plant.width)
        elif plant.kind == "dune":
            symbols.dune(sheet, rng, plant.x, plant.y)
        elif plant.kind == "reeds":
            symbols.reeds(sheet, rng, plant.x, plant.y)
        elif plant.kind == "grass":
            symbols.grass(sheet, rng, plant.x, plant.y)
        else:
            if plant.kind not in stamps:
                stamps[plant.kind] = symbols.cut_stamps(plant.kind, dice.stream(plant.kind), sheet.scale)
            variants = stamps[plant.kind]
            sheet.stamp(variants[int(rng.integers(len(variants)))], plant.x, plant.y)


def _towns(sheet: Sheet, plan: Plan, dice: Dice) -> None:
    rng = dice.stream("towns")
    for town in sorted(plan.towns, key=lambda town: town.site.y):
        site = town.site
        if town.size == "small":
            buildings.town(sheet, site.x, site.y)
            continue
        # Drawn on a sheet of its own, larger than it is conceived.
        symbol = Sheet(48, 44, sheet.scale * (1.2 if town.size == "capital" else 1.3))
        if town.size == "capital":
            buildings.capital(symbol, 24, 39)
        elif site.kind == "hold":
            buildings.hold(symbol, 24, 39)
        else:
            buildings.city(symbol, rng, 24, 39)
        symbols.close_outline(symbol)
        sheet.stamp(symbol, site.x, site.y + 6)


def relief_picture(plan: Plan, size: tuple[int, int]) -> Field:
    """Return the heights of a plan as a picture."""
    return plan.relief.lattice.picture(plan.drainage.height.astype(np.float32), size)
