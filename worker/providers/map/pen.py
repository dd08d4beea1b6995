"""Owns the sheet that a map is drawn on: layers of coverage, drawn several times too large and reduced."""

# ruff: noqa: PLR2004 - grey values

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from PIL import Image, ImageDraw

Point = tuple[float, float]
Line = Sequence[Point]

FULL: Final = 255
# What a layer's coverage means: lines in brown ink, shadow, colour of plants, blue lines of rivers; solid is
# where a symbol hides what is behind it; text is written over all.
LAYERS: Final = ("ink", "shade", "leaf", "water", "text", "solid")


@dataclass
class Sheet:
    """A drawing in progress; all coordinates are map units.

    Attributes:
        width, height: in map units.
        scale: pixels of a layer to the map unit.
    """

    width: float
    height: float
    scale: float
    layers: dict[str, Image.Image] = field(init=False)
    _pens: dict[str, ImageDraw.ImageDraw] = field(init=False)

    def __post_init__(self) -> None:
        size = (max(1, math.ceil(self.width * self.scale)), max(1, math.ceil(self.height * self.scale)))
        self.layers = {name: Image.new("L", size) for name in LAYERS}
        self._pens = {name: ImageDraw.Draw(layer) for name, layer in self.layers.items()}

    def fill(self, outline: Line, *, layer: str, value: int = FULL) -> None:
        """Fill a polygon."""
        self._pens[layer].polygon(self._at(outline), fill=value)

    def cover(self, outline: Line, *, leaf: int = 0, shade: int = 0) -> None:
        """Fill a polygon so that it hides everything behind it."""
        place = self._at(outline)
        for layer, value in (("ink", 0), ("water", 0), ("leaf", leaf), ("shade", shade), ("solid", FULL)):
            self._pens[layer].polygon(place, fill=value)

    def line(self, points: Line, width: float, *, layer: str = "ink", value: int = FULL) -> None:
        """Draw a line of even width."""
        thick = max(1, round(width * self.scale))
        joint = "curve" if thick > 3 else None
        self._pens[layer].line(self._at(points), fill=value, width=thick, joint=joint)

    def stroke(  # noqa: PLR0913 - how a pen is held
        self, points: Line, start: float, end: float, *, layer: str = "ink", value: int = FULL, belly: float = 0.0
    ) -> None:
        """Draw a line whose width goes from `start` to `end`, with `belly` more in the middle."""
        last = len(points) - 1
        left: list[Point] = []
        right: list[Point] = []
        for place, (x, y) in enumerate(points):
            before, after = points[max(place - 1, 0)], points[min(place + 1, last)]
            dx, dy = after[0] - before[0], after[1] - before[1]
            length = math.hypot(dx, dy) or 1.0
            part = place / last if last else 0.0
            half = (start + (end - start) * part + belly * 4 * part * (1 - part)) / 2
            left.append((x - dy / length * half, y + dx / length * half))
            right.append((x + dy / length * half, y - dx / length * half))
        self._pens[layer].polygon(self._at([*left, *reversed(right)]), fill=value)

    def dot(self, x: float, y: float, radius: float, *, layer: str = "ink", value: int = FULL) -> None:
        """Draw a filled circle."""
        k = self.scale
        box = ((x - radius) * k, (y - radius) * k, (x + radius) * k, (y + radius) * k)
        self._pens[layer].ellipse(box, fill=value)

    def ring(self, x: float, y: float, radius: float, width: float, *, value: int = FULL) -> None:
        """Draw a circle."""
        k = self.scale
        box = ((x - radius) * k, (y - radius) * k, (x + radius) * k, (y + radius) * k)
        self._pens["ink"].ellipse(box, outline=value, width=max(1, round(width * k)))

    def stamp(self, symbol: "Sheet", x: float, y: float) -> None:
        """Print a small sheet with the middle of its lower edge at a point."""
        mask = symbol.layers["solid"]
        place = (round(x * self.scale) - mask.width // 2, round(y * self.scale) - mask.height)
        for name in ("ink", "shade", "leaf", "water", "solid"):
            self.layers[name].paste(symbol.layers[name], place, mask)

    def lay(self, layer: str, mask: Image.Image, place: tuple[int, int], value: int) -> None:
        """Print a value through a mask at a position in pixels of the layer."""
        self.layers[layer].paste(value, (*place, place[0] + mask.width, place[1] + mask.height), mask)

    def reduced(self, size: tuple[int, int]) -> dict[str, Image.Image]:
        """Return the layers at the size of the map."""
        return {name: layer.resize(size, Image.Resampling.BOX) for name, layer in self.layers.items()}

    def _at(self, points: Iterable[Point]) -> list[Point]:
        k = self.scale
        return [(x * k, y * k) for x, y in points]
