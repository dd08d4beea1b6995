"""Owns letters: the typeface of maps, how wide a text is, and writing it straight or along a bow."""

import math
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from io import BytesIO
from typing import Final

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from worker.providers.map.pen import FULL, Sheet

Box = tuple[float, float, float, float]

# EB Garamond (SIL Open Font License), from its own package. Style → file, weight.
_PACKAGE: Final = "fontpkg_eb_garamond"
_STYLES: Final = {
    "roman": ("EBGaramond[wght].ttf", 500),
    "bold": ("EBGaramond[wght].ttf", 700),
    "italic": ("EBGaramond-Italic[wght].ttf", 500),
}


@dataclass(frozen=True)
class Glyph:
    """A piece of text that stands straight: the middle of its baseline, and its turn in radians, clockwise."""

    text: str
    x: float
    y: float
    turn: float


@dataclass(frozen=True)
class Hand:
    """How a text is written.

    Attributes:
        style: a key of the styles above.
        size: of the letters, in map units.
        spacing: added between letters, in map units.
        value: how dark it is, to 255.
    """

    style: str
    size: float
    spacing: float = 0.0
    value: int = FULL


@dataclass(frozen=True)
class Label:
    """A text in its place.

    Attributes:
        text: what it says.
        hand: how it is written.
        glyphs: its pieces.
        boxes: what it covers, left, top, right, bottom in map units, one for each piece.
    """

    text: str
    hand: Hand
    glyphs: tuple[Glyph, ...]
    boxes: tuple[Box, ...]


@dataclass
class Letters:
    """The typeface at one scale (pixels to the map unit)."""

    scale: float
    _fonts: dict[tuple[str, int], ImageFont.FreeTypeFont] = field(default_factory=dict)
    _lengths: dict[tuple[str, str, float], float] = field(default_factory=dict)
    _measured: dict[tuple[str, str, float], list[tuple[str, float, float]]] = field(default_factory=dict)

    def font(self, style: str, size: float) -> ImageFont.FreeTypeFont:
        """Return the face of a style at a size in map units."""
        pixels = max(4, round(size * self.scale))
        if (style, pixels) not in self._fonts:
            name, weight = _STYLES[style]
            with as_file(files(_PACKAGE) / "files" / name) as path:
                # Read whole: a face that is opened by its path is found by a path cache in some builds.
                face = ImageFont.truetype(BytesIO(path.read_bytes()), pixels)
            face.set_variation_by_axes([weight])
            self._fonts[style, pixels] = face
        return self._fonts[style, pixels]

    def width(self, text: str, hand: Hand) -> float:
        """Return how long a text is, in map units."""
        key = (text, hand.style, hand.size)
        if key not in self._lengths:
            self._lengths[key] = self.font(hand.style, hand.size).getlength(text) / self.scale
        return self._lengths[key] + hand.spacing * max(len(text) - 1, 0)

    def straight(self, text: str, hand: Hand, middle: float, baseline: float) -> Label:
        """Return a text that stands on a baseline around `middle`."""
        half = self.width(text, hand) / 2
        box = (middle - half - 1, baseline - 0.78 * hand.size, middle + half + 1, baseline + 0.27 * hand.size)
        return Label(text, hand, (Glyph(text, middle, baseline, 0.0),), (box,))

    def bowed(
        self, text: str, hand: Hand, middle: tuple[float, float], turn: float = 0.0, sag: float = 0.0
    ) -> Label:
        """Return a letterspaced text along a bow.

        Args:
            text: what to write.
            hand: how.
            middle: of the bow.
            turn: of the whole, in radians, clockwise.
            sag: how far its ends hang below its middle; negative where they rise.
        """
        size = hand.size
        long = self.width(text, hand)
        glyphs: list[Glyph] = []
        boxes: list[Box] = []
        cos, sin = math.cos(turn), math.sin(turn)
        for index, (letter, at, advance) in enumerate(self._advances(text, hand)):
            if letter == " ":
                continue
            t = at + index * hand.spacing + advance / 2 - long / 2
            u = 2 * t / long
            dy = sag * (u * u - 0.33)
            angle = turn + math.atan(4 * sag * u / long)
            x, y = middle[0] + t * cos - dy * sin, middle[1] + t * sin + dy * cos
            glyphs.append(Glyph(letter, x, y, angle))
            # The letter's own middle is above its baseline.
            up_x, up_y = x + 0.33 * size * math.sin(angle), y - 0.33 * size * math.cos(angle)
            half, tall = max(0.36 * size, advance / 2 + 0.5), 0.48 * size
            boxes.append((up_x - half, up_y - tall, up_x + half, up_y + tall))
        return Label(text, hand, tuple(glyphs), tuple(boxes))

    def _advances(self, text: str, hand: Hand) -> list[tuple[str, float, float]]:
        """Return each letter with where it begins and how wide it is, in map units, without spacing."""
        key = (text, hand.style, hand.size)
        if key not in self._measured:
            font = self.font(hand.style, hand.size)
            wide = [font.getlength(letter) / self.scale for letter in text]
            # Up to a letter's end, the text's own kerning counts.
            ends = [font.getlength(text[: index + 1]) / self.scale for index in range(len(text))]
            self._measured[key] = [
                (letter, end - own, own) for letter, end, own in zip(text, ends, wide, strict=True)
            ]
        return self._measured[key]

    def write(self, sheet: Sheet, label: Label, *, halo: float = 1.6) -> None:
        """Write a label; lines within `halo` map units of it are wiped out."""
        font = self.font(label.hand.style, label.hand.size)
        edge = max(1, round(halo * self.scale))
        for glyph in label.glyphs:
            wide = math.ceil(font.getlength(glyph.text)) + 4 * edge + 8
            tall = math.ceil(2.6 * label.hand.size * self.scale) + 4 * edge
            side = (max(wide, tall), max(wide, tall)) if glyph.turn else (wide, tall)
            mask = Image.new("L", side)
            ImageDraw.Draw(mask).text((side[0] / 2, side[1] / 2), glyph.text, fill=FULL, font=font, anchor="ms")
            if glyph.turn:
                mask = mask.rotate(-math.degrees(glyph.turn), Image.Resampling.BICUBIC)
            place = (round(glyph.x * self.scale - side[0] / 2), round(glyph.y * self.scale - side[1] / 2))
            if halo:
                wiped = mask.filter(ImageFilter.GaussianBlur(edge * 0.7)).point(lambda value: min(value * 7, 255))
                sheet.lay("ink", wiped, place, 0)
                sheet.lay("water", wiped, place, 0)
            sheet.lay("text", mask, place, label.hand.value)
