"""Owns the tune of a piece: motifs, their return, and how phrases with the same letter answer each other."""

# ruff: noqa: PLR2004 - musical proportions read best where they are used

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Dice
from worker.providers.music.melody import Reach, Slot, line
from worker.providers.music.rhythm import TICKS, Cell, Metre, cells, ending
from worker.providers.music.score import Phrase, Span
from worker.providers.music.theory import Chord, Scale

# What a motif does, in steps from note to note: a leap is filled, a rise falls again.
_SHAPES: Final = (
    (1, 1, 1, -2, 1),
    (2, 1, -1, -1, -1),
    (3, -1, -1, -1, 2),
    (-1, -1, -1, 4, -1),
    (4, -1, -1, -1, 2),
    (-3, 1, 1, 1, 1),
    (2, 2, -1, -1, -1),
    (1, 2, 1, -1, -1),
    (-1, 2, 1, 1, -1),
    (5, -1, -1, -2, 1),
    (0, 3, -1, -1, -1),
    (-2, -1, 1, 1, 2),
)
# Chords walked through, for horns.
_BOLD: Final = ((2, 2, -1, -1, -1), (4, -1, -1, -1, 2), (2, 2, 3, -1, -1), (3, 2, 2, -1, -2), (-3, 3, 2, -1, -1))
# Two bars of motif are enough to know a theme again.
_KNOWN_AGAIN: Final = 0.5
# How far the line rises towards its highest part, in steps.
_ARCH: Final = 4.0


@dataclass(frozen=True, slots=True)
class Tone:
    """One note of the tune; `step` counts along the scale, `chord` reigns when it begins."""

    start: int
    length: int
    step: int
    chord: Chord

    def pitch(self, scale: Scale) -> int:
        """Return its MIDI number."""
        return scale.pitch(self.step, raised=self.chord.raised)


@dataclass(frozen=True, slots=True)
class _Motif:
    """What makes a theme known again: the cells of its bars and the shape of each cell."""

    bars: tuple[Cell, ...]
    shapes: Mapping[Cell, tuple[int, ...]]
    lift: float


@dataclass(frozen=True, slots=True)
class Manner:
    """How a tune goes: its pace (calm, flowing or lively), and whether it strides in leaps, as fanfares do."""

    pace: str
    bold: bool


class Tunesmith:
    """Writes the tune phrase by phrase and remembers its themes.

    Args:
        scale, metre, manner: of the piece.
        reach: the steps that the tune may use.
        dice: lots; each letter has its own.
    """

    def __init__(self, scale: Scale, metre: Metre, manner: Manner, reach: Reach, dice: Dice) -> None:
        self._scale, self._metre, self._manner, self._reach, self._dice = scale, metre, manner, reach, dice
        self._motifs: dict[str, _Motif] = {}
        self._themes: dict[str, list[Tone]] = {}

    def write(self, phrase: Phrase, spans: Sequence[Span]) -> list[Tone]:
        """Return the tune of a phrase, and of the final chord behind a final one."""
        # An answer is known by heart; a bridge goes on otherwise each time.
        again = phrase.visit if phrase.letter != "A" else 0
        rng = self._dice.stream(f"tune {phrase.letter} {phrase.ending} {again}")
        motif = self._motifs.setdefault(phrase.letter, self._invent(phrase))
        slots = self._slots(phrase, motif, spans)
        prefix: list[int] = []
        theme = self._themes.get(phrase.letter, [])
        half = (phrase.start + phrase.bars * _KNOWN_AGAIN) * self._metre.bar
        if theme:
            known = sum(1 for slot in slots if slot.start < half)
            prefix = [tone.step for tone in theme[:known]]
            if any(
                not slot.chord.holds(step) for slot, step in zip(slots, prefix, strict=False) if slot.weight == 2
            ):
                prefix = []
        steps = line(self._scale, slots, self._reach, rng, prefix)
        tones = [Tone(slot.start, slot.length, step, slot.chord) for slot, step in zip(slots, steps, strict=True)]
        self._themes.setdefault(phrase.letter, tones)
        # The first answer is plain, so that the theme is known; later returns are sung more freely.
        free = phrase.visit >= (2 if phrase.letter == "A" else 1) or (phrase.ending == "final" and phrase.visit)
        return self._adorn(tones, phrase) if free else tones

    def _invent(self, phrase: Phrase) -> _Motif:
        rng = self._dice.stream(f"motif {phrase.letter}")
        first, second = cells(self._metre, self._manner.pace, rng, 2)
        last = ending(self._metre, self._manner.pace, rng)
        order = ((first, first, second), (first, second, first))[int(rng.integers(0, 2))]
        bars = (*order, last) if phrase.bars >= 4 else (first, last) if phrase.bars == 2 else (last,)
        pool = _BOLD if self._manner.bold else _SHAPES
        shapes = {cell: pool[int(rng.integers(0, len(pool)))] for cell in {first: 0, second: 0}}
        # The middle of a piece lies higher.
        lift = {"A": 0.0, "B": 2.2, "C": 1.2}[phrase.letter]
        return _Motif(bars, shapes, lift)

    def _slots(self, phrase: Phrase, motif: _Motif, spans: Sequence[Span]) -> list[Slot]:
        metre = self._metre
        slots: list[Slot] = []
        for number in range(phrase.bars):
            cell = motif.bars[number % len(motif.bars)]
            shape = motif.shapes.get(cell)
            start = (phrase.start + number) * metre.bar
            sounding = 0
            for length in cell:
                if length > 0:
                    along = (start - phrase.start * metre.bar) / (phrase.bars * metre.bar)
                    wanted = shape[(sounding - 1) % len(shape)] if shape and sounding else None
                    # The line arches towards its third quarter.
                    lift = motif.lift + _ARCH * float(np.sin(np.pi * along / 1.3))
                    slots.append(self._slot(start, length * metre.unit, spans, (wanted, lift)))
                    sounding += 1
                start += abs(length) * metre.unit
        rests = {"open": (1, 4, 6, 3, 0, 2, 5), "closed": (0, 2), "final": (1, 6, 4, 3, 0, 2, 5)}[phrase.ending]
        slots[-1] = _resting(slots[-1], rests)
        if phrase.ending == "final":
            last = (phrase.start + phrase.bars) * metre.bar
            slots.append(_resting(self._slot(last, metre.bar, spans, (None, motif.lift)), (0,)))
        return slots

    def _slot(self, start: int, length: int, spans: Sequence[Span], aim: tuple[int | None, float]) -> Slot:
        span = next(span for span in reversed(spans) if span.start <= start)
        weight = 2 if self._metre.is_strong(start) else 1 if start % TICKS == 0 else 0
        return Slot(start, length, span.chord, weight, *aim)

    def _adorn(self, tones: Sequence[Tone], phrase: Phrase) -> list[Tone]:
        """Fill thirds with the note between and repeated notes with the one above, now and then."""
        rng = self._dice.stream(f"ornament {phrase.letter} {phrase.visit}")
        adorned: list[Tone] = []
        for tone, after in pairwise(tones):
            gap = after.step - tone.step
            half = tone.length // 2
            fits = half >= self._metre.unit and half % self._metre.unit == 0
            weak = not self._metre.is_strong(tone.start + half)
            between = tone.step + gap // 2 if abs(gap) == 2 else tone.step + 1 if gap == 0 else None
            touches = after.start == tone.start + tone.length
            if between is None or not (fits and weak and touches and rng.random() < 0.6):
                adorned.append(tone)
                continue
            extra = Tone(tone.start + half, tone.length - half, between, tone.chord)
            smooth = self._smooth(tone, extra) and self._smooth(extra, after)
            adorned += [Tone(tone.start, half, tone.step, tone.chord), extra] if smooth else [tone]
        return [*adorned, tones[-1]]

    def _smooth(self, first: Tone, second: Tone) -> bool:
        return 1 <= abs(first.pitch(self._scale) - second.pitch(self._scale)) <= 2


def _resting(slot: Slot, degrees: tuple[int, ...]) -> Slot:
    """Return the slot with the wish to come to rest on the first of `degrees` that its chord holds."""
    wish = tuple(degree for degree in degrees if slot.chord.holds(degree))
    return Slot(slot.start, slot.length, slot.chord, slot.weight, None, slot.lift, wish)
