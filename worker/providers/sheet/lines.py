"""Owns the breaking of paragraphs into lines: all of a paragraph at once, so that its spaces come out even.

Knuth and Plass's idea without hyphenation: of all ways to break, the one whose lines need the least stretching.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from worker.providers.sheet.letters import width

# What a space may shrink to and what it grows to before it looks like a hole, against its natural width.
_TIGHTEST: Final = 0.78
_LOOSE: Final = 1.6
_HOLE: Final = 50.0
# A last line of one short word looks lost.
_LOST: Final = 4
_LOST_PRICE: Final = 6.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a paragraph.

    Attributes:
        words: in order.
        space: points between them.
        indent: points before the first.
    """

    words: tuple[str, ...]
    space: float
    indent: float


@dataclass(frozen=True, slots=True)
class Face:
    """Letters of one kind and size."""

    name: str
    size: float

    def width(self, text: str) -> float:
        """Return how wide a text is, in points."""
        return width(text, self.name, self.size)


def words_of(text: str, face: Face, measure: float) -> list[str]:
    """Split a text at its spaces, and words that no line can hold wherever the line ends."""
    words: list[str] = []
    for word in text.replace("\n", " ").split(" "):
        if face.width(word) <= measure:
            words += [word] if word else []
            continue
        part, long = "", 0.0
        for letter in word:
            long += face.width(letter)
            if part and long > measure:
                words.append(part)
                part, long = "", face.width(letter)
            part += letter
        words.append(part)
    return words


def justify(
    words: Sequence[str], face: Face, measure: float, indents: Sequence[float] = (), *, ragged: bool = False
) -> list[Line]:
    """Break words into lines of one measure.

    Args:
        words: none is wider than a line.
        face: that they are set in.
        measure: width of a line, in points.
        indents: of the first lines, taken from their measure.
        ragged: spaces keep their natural width.
    """
    if not words:
        return []
    space = face.width(" ")
    shape = _Shape(measure, tuple(indents), space)
    lengths = [face.width(word) for word in words]
    lines: list[Line] = []
    for number, (start, end) in enumerate(pairwise(_breaks(lengths, shape))):
        gaps = end - start - 1
        full = (shape.room(number) - sum(lengths[start:end])) / gaps if gaps else space
        natural = ragged or end == len(words)
        lines.append(Line(tuple(words[start:end]), min(full, space) if natural else full, shape.indent(number)))
    return lines


@dataclass(frozen=True, slots=True)
class _Shape:
    """The paragraph's shape: its measure, the indents of its first lines, and the natural space."""

    measure: float
    indents: tuple[float, ...]
    space: float

    def indent(self, number: int) -> float:
        return self.indents[number] if number < len(self.indents) else 0.0

    def room(self, number: int) -> float:
        return self.measure - self.indent(number)


def _breaks(lengths: Sequence[float], shape: _Shape) -> list[int]:
    """Return where lines begin, and the end of the last one."""
    alike = len(shape.indents)
    # The cheapest way to have set all words before the first number in so many lines, and what came before;
    # lines past the indented ones are alike.
    best: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for key in ((start, number) for start in range(len(lengths)) for number in range(alike + 1)):
        if key not in best:
            continue
        start, number = key
        paid = best[key][0]
        for end, price, last in _ends(lengths, start, shape.space, shape.room(number)):
            reached = end, 0 if last else min(number + 1, alike)
            if reached not in best or paid + price < best[reached][0]:
                best[reached] = paid + price, key
    at = len(lengths), 0
    breaks = [at[0]]
    while at[0]:
        at = best[at][1]
        breaks.append(at[0])
    return breaks[::-1]


def _ends(lengths: Sequence[float], start: int, space: float, room: float) -> Sequence[tuple[int, float, bool]]:
    """Return where a line that begins at `start` may end, what that costs, and whether it is the last."""
    ends: list[tuple[int, float, bool]] = []
    natural = -space
    for end in range(start + 1, len(lengths) + 1):
        natural += lengths[end - 1] + space
        gaps = end - start - 1
        if end - start > 1 and natural - gaps * space * (1 - _TIGHTEST) > room:
            break
        if end == len(lengths):
            short = _LOST_PRICE if gaps == 0 and start > 0 and lengths[-1] < _LOST * 2 * space else 0.0
            ends.append((end, short, True))
            continue
        stretch = (room - natural) / gaps / space if gaps else (0.0 if room - natural < space else _HOLE)
        ends.append((end, _badness(stretch), False))
    return ends


def _badness(stretch: float) -> float:
    """Price a line by how far its spaces are from natural, in natural spaces."""
    scaled = stretch / (_LOOSE - 1) if stretch > 0 else stretch / (1 - _TIGHTEST)
    return float(min(abs(scaled), _HOLE) ** 3 + 0.1)
