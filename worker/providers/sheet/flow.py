"""Owns the flow of a sheet: title, picture, facts and paragraphs put one below the other, page after page."""

# ruff: noqa: PLR2004 - distances on paper read best where they are taken

from collections.abc import Sequence
from typing import Final

from reportlab.lib.utils import ImageReader

from worker.providers.sheet.letters import CAPITAL, ITALIC, ROMAN
from worker.providers.sheet.lines import Face, Line, justify, words_of
from worker.providers.sheet.page import (
    GOLD,
    INK,
    RUBRIC,
    Format,
    Mark,
    Page,
    Panel,
    Picture,
    Rule,
    Text,
    centred,
    fleuron,
)

_BODY: Final = Face(ROMAN, 11.8)
_LEADING: Final = 15.6
_INDENT: Final = 15.0
_HEADINGS: Final = {1: Face(ROMAN, 18), 2: Face(ITALIC, 14.5), 3: Face(ITALIC, 12.2)}
_TITLES: Final = (38, 34, 30, 26, 22)
_SUBTITLE: Final = Face(ITALIC, 14.5)
_FACT_NAME: Final = Face(ITALIC, 10.8)
_FACT_VALUE: Final = Face(ROMAN, 10.8)
_FACT_LEADING: Final = 13.6
# An initial takes the height of so many lines.
_DROPPED: Final = 3


class Flow:
    """Fills pages from top to bottom.

    Attributes:
        pages: that were begun.
    """

    def __init__(self, form: Format) -> None:
        self._form = form
        self.pages: list[Page] = []
        self._y = 0.0
        self._indents = False
        self._turn()

    def title(self, title: str, subtitle: str) -> None:
        """Open the sheet with its title in the largest letters that let it fit into three lines."""
        form, middle = self._form, self._form.wide / 2
        for size in _TITLES:
            face = Face(ROMAN, size)
            lines = _even(title, face, form.measure)
            if len(lines) <= (2 if size > 30 else 3):
                break
        self._y += 10
        for line in lines:
            self._y -= face.size * 1.12
            self._put(centred(" ".join(line.words), face, middle, self._y + face.size * 0.2, RUBRIC))
        if subtitle:
            self._y -= 3
            for line in _even(subtitle, _SUBTITLE, form.measure * 0.9):
                self._y -= 18.5
                self._put(centred(" ".join(line.words), _SUBTITLE, middle, self._y + 4))
        self._y -= 22
        self._put(*fleuron(middle, self._y))
        self._y -= 20

    def picture(self, image: ImageReader) -> None:
        """Put a picture across the column."""
        wide, high = image.getSize()
        height = self._form.measure * high / wide
        self._room(height + 30)
        self._y -= height
        self._put(Picture(image, self._form.left, self._y, self._form.measure, height))
        self._y -= 24

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Set facts in two columns on a tinted panel; what one page cannot hold goes on on the next."""
        gutter, pad = 22.0, 13.0
        column = (self._form.measure - gutter - 2 * pad) / 2
        rows = [_fact_rows(name, value, column) for name, value in facts]
        while rows:
            room = int((self._y - self._form.bottom - 2 * pad - 8) / _FACT_LEADING)
            taken = _balance(rows, room)
            if taken is None:
                self._turn()
                continue
            left, right = taken
            rows = rows[len(left) + len(right) :]
            high = max(_height(left), _height(right)) * _FACT_LEADING + 2 * pad - 3
            lower = self._y - high
            form = self._form
            self._put(Panel(form.left, lower, form.measure, high))
            middle = form.left + form.measure / 2
            if right:
                self._put(Rule((middle, lower + pad - 2), (middle, self._y - pad + 2), 0.4))
            for x, block in ((form.left + pad, left), (middle + gutter / 2, right)):
                base = self._y - pad + 3
                for row in block:
                    for mark in row:
                        base -= _FACT_LEADING
                        self._put(*(Text(line, face, x, base, colour) for line, face, colour in mark))
            self._y = lower - 22
            if rows:
                self._turn()

    def heading(self, text: str, level: int) -> None:
        """Set a heading; three lines of text have room below it on its page."""
        face = _HEADINGS[level]
        lines = _ragged(text, face, self._form.measure)
        before = 0.0 if self._fresh() else 20.0 - 4 * level
        self._room(before + len(lines) * face.size * 1.2 + 6 + 3 * _LEADING)
        self._y -= 0.0 if self._fresh() else before
        for line in lines:
            self._y -= face.size * 1.2
            self._put(Text(line, face, self._form.left, self._y + face.size * 0.25, RUBRIC if level < 3 else INK))
        if level == 1:
            self._put(Rule((self._form.left, self._y - 1), (self._form.left + 46, self._y - 1), 0.8, GOLD))
            self._y -= 5
        self._y -= 4
        self._indents = False

    def ornament(self) -> None:
        """Set the break between two scenes."""
        self._room(_LEADING * 4)
        self._y -= _LEADING * 1.5
        self._put(*fleuron(self._form.wide / 2, self._y, 12))
        self._y -= _LEADING * 0.8
        self._indents = False

    def paragraph(self, text: str, *, initial: bool = False) -> None:
        """Set a paragraph; neither its first nor its last line stands alone on a page.

        Args:
            text: of the paragraph.
            initial: whether it opens with a large initial, if it is long enough for one.
        """
        lines, dropped = self._initialled(text) if initial else ([], None)
        if dropped is None:
            indents = [_INDENT] if self._indents else []
            lines = justify(
                words_of(text, _BODY, self._form.measure - _INDENT), _BODY, self._form.measure, indents
            )
        if dropped is not None:
            self._room(_DROPPED * _LEADING)
            letter, face = dropped
            base = self._y - _LEADING * _DROPPED + _LEADING * 0.3
            self._put(Text(Line((letter,), 0.0, 0.0), face, self._form.left - face.size * 0.02, base, RUBRIC))
        self._indents = True
        done = 0
        while done < len(lines):
            left = len(lines) - done
            fits = int((self._y - self._form.bottom + 0.01) / _LEADING)
            if fits < left:
                if left - fits == 1:
                    fits -= 1
                if fits < 2:
                    self._turn()
                    continue
            for line in lines[done : done + fits]:
                self._y -= _LEADING
                self._put(Text(line, _BODY, self._form.left, self._y + _LEADING * 0.3))
            done += min(fits, left)
            if done < len(lines):
                self._turn()

    def close(self) -> None:
        """End with the ornament, if the page has room for it."""
        if self._y - self._form.bottom > 2.5 * _LEADING:
            self._y -= 2 * _LEADING
            self._put(*fleuron(self._form.wide / 2, self._y, 13))

    def _initialled(self, text: str) -> tuple[list[Line], tuple[str, Face] | None]:
        letter, rest = text[:1], text[1:]
        if not letter.isalpha():
            return [], None
        # The letter's foot stands on the third line, its head reaches the first line's capitals.
        size = (_LEADING * (_DROPPED - 1) + _BODY.size * CAPITAL) / CAPITAL
        face = Face(ROMAN, size)
        inset = face.width(letter.upper()) + 5
        joined = rest[:1] not in {"", " ", "\n"}
        words = words_of(rest, _BODY, self._form.measure - inset - 30)
        # A letter that is a word stands off a little more.
        first = inset - 2.5 if joined else inset + 2
        lines = justify(words, _BODY, self._form.measure, [first, inset, inset])
        return (lines, (letter.upper(), face)) if len(lines) >= _DROPPED else ([], None)

    def _fresh(self) -> bool:
        return self._y >= self._form.top - 1

    def _room(self, height: float) -> None:
        if self._y - height < self._form.bottom and not self._fresh():
            self._turn()

    def _turn(self) -> None:
        self.pages.append(Page(len(self.pages) + 1))
        self._y = self._form.top

    def _put(self, *marks: Mark) -> None:
        self.pages[-1].marks += marks


_Piece = tuple[Line, Face, str]
_Row = list[list[_Piece]]


def _ragged(text: str, face: Face, measure: float) -> list[Line]:
    return justify(words_of(text, face, measure), face, measure, ragged=True)


def _even(text: str, face: Face, measure: float) -> list[Line]:
    """Break a text into lines of nearly one length, for lines that are centred."""
    lines = _ragged(text, face, measure)
    for part in range(19, 9, -1):
        narrower = _ragged(text, face, measure * part / 20)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _fact_rows(name: str, value: str, column: float) -> _Row:
    """Return the lines of a fact: its name, and its value behind it or, where that is narrow, below it."""
    names = _ragged(name, _FACT_NAME, column)
    used = _FACT_NAME.width(" ".join(names[-1].words)) + 7
    hang = 12.0
    words = words_of(value, _FACT_VALUE, column - hang)
    beside = len(names) == 1 and used + _FACT_VALUE.width(words[0]) <= column if words else False
    first = used if beside else hang
    values = justify(words, _FACT_VALUE, column - hang, [first - hang], ragged=True) if words else []
    rows: _Row = [[(line, _FACT_NAME, RUBRIC)] for line in names]
    for number, line in enumerate(values):
        moved = Line(line.words, line.space, line.indent + hang)
        if number == 0 and beside:
            rows[-1].append((moved, _FACT_VALUE, INK))
        else:
            rows.append([(Line(line.words, line.space, hang), _FACT_VALUE, INK)])
    return rows


def _height(rows: Sequence[_Row]) -> int:
    return sum(len(row) for row in rows)


def _balance(rows: Sequence[_Row], room: int) -> tuple[list[_Row], list[_Row]] | None:
    """Return how many facts go into each column: as many as the room holds, in columns of nearly one height."""
    best: tuple[int, int, int, int] | None = None
    for split in range(1, len(rows) + 1):
        left = _height(rows[:split])
        if left > room:
            break
        end, right = split, 0
        while end < len(rows) and right + len(rows[end]) <= room and right + len(rows[end]) <= left:
            right += len(rows[end])
            end += 1
        taken = (-end, max(left, right), split, end)
        best = taken if best is None else min(best, taken)
    if best is None:
        return None
    return list(rows[: best[2]]), list(rows[best[2] : best[3]])
