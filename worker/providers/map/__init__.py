"""Owns the drawing of maps: from a sentence to a chart of an invented land, offline and always the same.

A land is raised and rained upon, settled and named; then it is drawn in ink on parchment as in the front of
an old book. The modules of this package each own one of these.
"""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from worker.providers.landscape.noise import Dice
from worker.providers.map.drawing import draw, land_mask, relief_picture
from worker.providers.map.furniture import FRAME, rhumbs
from worker.providers.map.lettering import Letters
from worker.providers.map.paper import INKS, Painting
from worker.providers.map.plan import Plan, Wish, plan_map
from worker.providers.map.vocabulary import canonical

__all__ = ["MapSpec", "Reporter", "draw_map", "plan_of"]

Reporter = Callable[[float, str], None]

SMALLEST: Final = 256
LARGEST: Final = 2048
MOST_TOWNS: Final = 30
# A map of this many pixels is drawn one pixel to the map unit.
_USUAL: Final = 1280 * 960
# Smaller than this to the unit, no letter can be read: a small map shows a smaller world instead.
_LEAST_UNIT: Final = 0.72
# Up to this many pixels a sheet is drawn three times too large; beyond, twice, for memory.
_FINE: Final = 2_000_000


@dataclass(frozen=True)
class MapSpec:
    """What to draw.

    Attributes:
        description: a sentence; its words choose the land, all of it chooses the shapes.
        title: the name of the land; None invents one.
        width, height: of the picture, 256 to 2048 pixels.
        seed: for another land of the same description; None takes one from the whole spec.
        towns: how many towns at most; None as the land and the words have it.

    Raises:
        ValueError: a side or the number of towns is out of range.
    """

    description: str
    title: str | None = None
    width: int = 1280
    height: int = 960
    seed: int | None = None
    towns: int | None = None

    def __post_init__(self) -> None:
        for side in (self.width, self.height):
            if not SMALLEST <= side <= LARGEST:
                raise ValueError(f"a side of {side} pixels is outside {SMALLEST} to {LARGEST}")
        if self.towns is not None and not 0 <= self.towns <= MOST_TOWNS:
            raise ValueError(f"{self.towns} towns are outside 0 to {MOST_TOWNS}")

    @property
    def seed_used(self) -> int:
        """The seed, or the 32-bit number that the canonical JSON of the spec stands for."""
        if self.seed is not None:
            return self.seed
        wanted = {
            "description": canonical(self.description),
            "height": self.height,
            "title": self.title,
            "towns": self.towns,
            "width": self.width,
        }
        text = json.dumps(wanted, sort_keys=True, separators=(",", ":"))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    @property
    def unit(self) -> float:
        """Pixels to the map unit."""
        return max(_LEAST_UNIT, float((self.width * self.height / _USUAL) ** 0.5))


def plan_of(spec: MapSpec, report: Reporter) -> Plan:
    """Return what a map shows and where, in map units, without drawing it."""
    report(0.0, "reading the description")
    size = (spec.width / spec.unit, spec.height / spec.unit)
    letters = Letters(_scale(spec))
    wish = Wish(*size, spec.description, spec.title, spec.towns)
    return plan_map(wish, _dice(spec), letters, report)


def draw_map(spec: MapSpec, report: Reporter) -> tuple[bytes, dict[str, object]]:
    """Draw a map and return the PNG file and what is worth knowing about it.

    Equal specs give equal bytes in any process with the same libraries.

    Args:
        spec: what to draw.
        report: told the part done (0 to 1, rising) and what comes next; what it raises stops the work.
    """
    plan = plan_of(spec, report)
    image = _paint(spec, plan, report)
    report(0.95, "encoding")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    facts: dict[str, object] = {
        "width": spec.width,
        "height": spec.height,
        "name": plan.name,
        "seed": spec.seed_used,
        "shape": plan.nature.shape,
        "climate": plan.nature.climate,
        "towns": [
            {
                "name": town.name,
                "x": round(town.site.x * spec.unit),
                "y": round(town.site.y * spec.unit),
                "kind": town.site.kind,
            }
            for town in plan.towns
        ],
        "rivers": len(plan.drainage.rivers),
        "labels": [label.text for label in plan.labels],
        "recognised": {group: list(features) for group, features in plan.nature.recognised.items()},
    }
    report(1.0, "finished")
    return file.getvalue(), facts


def _paint(spec: MapSpec, plan: Plan, report: Reporter) -> Image.Image:
    size, dice, letters = (spec.width, spec.height), _dice(spec), Letters(_scale(spec))
    report(0.52, "drawing coasts and rivers")
    prints = draw(plan, letters, dice, report).reduced(size)
    report(0.84, "washing with colour")
    land = land_mask(plan, letters.scale, size)
    painting = Painting(spec.unit, INKS[plan.nature.climate], prints, land, dice)
    painting.wash_sea(FRAME)
    painting.wash_land(relief_picture(plan, size), FRAME)
    if plan.furniture.compass is not None:
        x, y, _ = plan.furniture.compass
        painting.bear(rhumbs(x, y, plan.width + plan.height), FRAME)
    report(0.9, "printing")
    painting.print_drawing()
    return painting.aged()


def _scale(spec: MapSpec) -> float:
    return spec.unit * (3 if spec.width * spec.height <= _FINE else 2)


def _dice(spec: MapSpec) -> Dice:
    return Dice(canonical(spec.description), spec.seed_used)
