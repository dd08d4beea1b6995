"""Owns the score: the notes of a piece, the chords under them and when each tick sounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.providers.music.rhythm import TICKS, Metre
from worker.providers.music.theory import Chord, Scale

# The last bar before the final chord broadens by this much.
_BROADENING: Final = 0.22
_PRIMES: Final = 3


@dataclass(frozen=True, slots=True)
class Note:
    """One note of one part.

    Attributes:
        part: name of the part that plays it.
        start, length: ticks.
        pitch: MIDI number; of a drum, which stroke.
        velocity: 0 to 1.
    """

    part: str
    start: int
    length: int
    pitch: int
    velocity: float

    @property
    def end(self) -> int:
        """The tick after its last."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Span:
    """A chord and how long it reigns, in ticks."""

    start: int
    length: int
    chord: Chord


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase of the form.

    Attributes:
        letter: phrases of one letter share their theme.
        visit: 0 where the theme is heard for the first time.
        ending: open (on the dominant), closed (on the tonic) or final (the dominant before the last chord).
        start: bar number, from 0.
        bars: its length.
    """

    letter: str
    visit: int
    ending: str
    start: int
    bars: int

    @property
    def name(self) -> str:
        """The letter with a prime for each return, three at most."""
        return self.letter + "'" * min(self.visit, _PRIMES)


@dataclass(frozen=True, slots=True)
class Part:
    """Who plays.

    Attributes:
        instrument: its name in the orchestra.
        gain: loudness against a melody's 1.
        pan: -1 (left) to 1 (right).
    """

    instrument: str
    gain: float
    pan: float


@dataclass(frozen=True)
class Score:
    """A finished composition.

    Attributes:
        bars: with the last one, on which the final chord begins.
        spans: the chords, without gaps; the last one is the final tonic.
        notes: of all parts, in order of their start.
    """

    scale: Scale
    metre: Metre
    tempo_bpm: float
    bars: int
    phrases: Sequence[Phrase]
    spans: Sequence[Span]
    parts: Mapping[str, Part]
    notes: Sequence[Note]

    @property
    def last_bar(self) -> int:
        """The tick of the final chord."""
        return (self.bars - 1) * self.metre.bar

    def seconds(self, tick: float) -> float:
        """Return when a tick sounds, counted from the first bar; the bar before the final chord broadens."""
        spell = 60 / self.tempo_bpm / TICKS
        start = max(self.last_bar - self.metre.bar, 0)
        into = min(max(tick - start, 0), self.metre.bar)
        # Tempo falls evenly through the bar; behind it, time runs evenly again.
        return spell * (tick + _BROADENING * into * into / (2 * self.metre.bar))

    def chord_at(self, tick: int) -> Chord:
        """Return the chord that reigns at a tick."""
        return next((span.chord for span in reversed(self.spans) if span.start <= tick), self.spans[0].chord)


def broadened(bars: float, bar_s: float) -> float:
    """Return how long so many bars before the final chord take, in seconds, with the broadening at their end."""
    return bars * bar_s + (_BROADENING / 2 * bar_s if bars >= 1 else 0)
