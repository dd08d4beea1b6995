"""Owns pages: their sizes and margins, what stands on them, and how it is printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from worker.providers.sheet.letters import ITALIC, ROMAN, width
from worker.providers.sheet.lines import Face, Line

# Points. The column is narrow enough for the eye to find the next line: some seventy letters.
SIZES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"A4": (595.28, 841.89), "letter": (612.0, 792.0)}
)
_SIDE: Final = 92.0
_TOP: Final = 92.0
_FOOT: Final = 98.0

INK: Final = "#2a2119"
RUBRIC: Final = "#8c2f1f"
GOLD: Final = "#b3935a"
PAPER: Final = "#fcf8ee"
PANEL: Final = "#f4ebd6"
_QUIET: Final = "#7d6c55"

_FLEURON: Final = "❦"
_RUNNING: Final = Face(ITALIC, 10.5)
_FOLIO: Final = Face(ROMAN, 10.5)
_FRAME: Final = 30.0


@dataclass(frozen=True)
class Format:
    """A page's size and the column that text fills."""

    name: str

    @property
    def wide(self) -> float:
        """Width of the page."""
        return SIZES[self.name][0]

    @property
    def high(self) -> float:
        """Height of the page."""
        return SIZES[self.name][1]

    @property
    def left(self) -> float:
        """Where the column begins."""
        return _SIDE

    @property
    def measure(self) -> float:
        """Width of the column."""
        return self.wide - 2 * _SIDE

    @property
    def top(self) -> float:
        """Where the column begins, from the foot of the page."""
        return self.high - _TOP

    @property
    def bottom(self) -> float:
        """Where the column ends."""
        return _FOOT


@dataclass(frozen=True, slots=True)
class Text:
    """A line at a place; `y` is its base."""

    line: Line
    face: Face
    x: float
    y: float
    colour: str = INK

    def print(self, canvas: Canvas) -> None:
        """Print it."""
        run = canvas.beginText()
        run.setFont(self.face.name, self.face.size)
        run.setFillColor(self.colour)
        x = self.x + self.line.indent
        for place, word in enumerate(self.line.words):
            run.setTextOrigin(x, self.y)
            # The space is printed too: whoever copies the text wants it.
            run.textOut(word if place == len(self.line.words) - 1 else f"{word} ")
            x += self.face.width(word) + self.line.space
        canvas.drawText(run)


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin line from one place to another."""

    start: tuple[float, float]
    end: tuple[float, float]
    thick: float = 0.6
    colour: str = GOLD

    def print(self, canvas: Canvas) -> None:
        """Print it."""
        canvas.setStrokeColor(self.colour)
        canvas.setLineWidth(self.thick)
        canvas.line(*self.start, *self.end)


@dataclass(frozen=True, slots=True)
class Panel:
    """A tinted rectangle with a frame; `y` is its lower edge."""

    x: float
    y: float
    wide: float
    high: float

    def print(self, canvas: Canvas) -> None:
        """Print it."""
        canvas.setFillColor(PANEL)
        canvas.setStrokeColor(GOLD)
        canvas.setLineWidth(0.6)
        canvas.rect(self.x, self.y, self.wide, self.high, stroke=1, fill=1)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a double frame; `y` is its lower edge."""

    image: ImageReader
    x: float
    y: float
    wide: float
    high: float

    def print(self, canvas: Canvas) -> None:
        """Print it."""
        canvas.drawImage(self.image, self.x, self.y, self.wide, self.high)
        canvas.setStrokeColor(GOLD)
        for gap, thick in ((0.0, 0.5), (3.5, 0.9)):
            canvas.setLineWidth(thick)
            canvas.rect(self.x - gap, self.y - gap, self.wide + 2 * gap, self.high + 2 * gap, stroke=1, fill=0)


Mark = Text | Rule | Panel | Picture


@dataclass
class Page:
    """One page: its number from 1, and what stands on it in the order of printing."""

    number: int
    marks: list[Mark] = field(default_factory=list)


def print_page(canvas: Canvas, page: Page, form: Format, running_title: str) -> None:
    """Print a page with its paper, frame, running title and number, and begin the next."""
    canvas.setFillColor(PAPER)
    canvas.rect(0, 0, form.wide, form.high, stroke=0, fill=1)
    canvas.setStrokeColor(GOLD)
    for gap, thick in ((_FRAME, 1.1), (_FRAME + 4, 0.4)):
        canvas.setLineWidth(thick)
        canvas.rect(gap, gap, form.wide - 2 * gap, form.high - 2 * gap, stroke=1, fill=0)
    furniture: list[Mark] = []
    middle = form.wide / 2
    if page.number > 1:
        title = _shortened(running_title, form.measure * 0.8)
        furniture.append(centred(title, _RUNNING, middle, form.high - 62, _QUIET))
        furniture.append(Rule((middle - 24, form.high - 69), (middle + 24, form.high - 69), 0.5))
    furniture.append(centred(f"{page.number}", _FOLIO, middle, 58, _QUIET))
    furniture += [Rule((middle + side * 14, 61.5), (middle + side * 44, 61.5), 0.5) for side in (-1, 1)]
    for mark in [*furniture, *page.marks]:
        mark.print(canvas)
    canvas.showPage()


def centred(text: str, face: Face, middle: float, y: float, colour: str = INK) -> Text:
    """Return a line about the middle of the page."""
    words = tuple(text.split(" "))
    return Text(Line(words, face.width(" "), 0.0), face, middle - face.width(text) / 2, y, colour)


def fleuron(middle: float, y: float, size: float = 15) -> Sequence[Mark]:
    """Return the ornament between two rules."""
    wide = width(_FLEURON, ROMAN, size)
    mark = Text(Line((_FLEURON,), 0.0, 0.0), Face(ROMAN, size), middle - wide / 2, y, RUBRIC)
    level = y + size * 0.3
    return [
        mark,
        *(
            Rule((middle + side * (wide / 2 + 8), level), (middle + side * (wide / 2 + 68), level))
            for side in (-1, 1)
        ),
    ]


def _shortened(text: str, measure: float) -> str:
    if _RUNNING.width(text) <= measure:
        return text
    words = text.split(" ")
    while len(words) > 1 and _RUNNING.width(" ".join(words) + " …") > measure:
        words.pop()
    text = " ".join(words)
    while _RUNNING.width(text + " …") > measure:
        text = text[:-1]
    return text + " …"
