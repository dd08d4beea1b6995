"""Owns keys, modes and chords: which pitches belong together.

Pitches are MIDI numbers (60 is the C of 261.6 Hz). A *step* counts along the scale; step 0 is the tonic next to
middle C, and steps an octave apart differ by seven in every mode here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# Mode → semitones above the tonic. `minor` borrows the raised seventh for its dominant, `aeolian` never does.
MODES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "major": (0, 2, 4, 5, 7, 9, 11),
        "minor": (0, 2, 3, 5, 7, 8, 10),
        "dorian": (0, 2, 3, 5, 7, 9, 10),
        "phrygian": (0, 1, 3, 5, 7, 8, 10),
        "lydian": (0, 2, 4, 6, 7, 9, 11),
        "mixolydian": (0, 2, 4, 5, 7, 9, 10),
        "aeolian": (0, 2, 3, 5, 7, 8, 10),
    }
)
# The keys that a lute, a harp or a whistle of these worlds is at ease in.
HOME_KEYS: Final = ("C", "D", "E", "F", "G", "A", "Bb")

_LETTERS: Final[Mapping[str, int]] = MappingProxyType({"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11})
_KEY: Final = re.compile(r"([A-G])([#b]?)")
# Tonics above this pitch class lie nearer to middle C when they are taken from the octave below.
_HIGHEST_ABOVE_C: Final = 5
_MIDDLE_C: Final = 60
_OCTAVE: Final = 12
_DEGREES: Final = 7
_LEADING: Final = 6
_DOMINANT: Final = 4


def pitch_class(key: str) -> int:
    """Return 0 (C) to 11 (B) for a key such as `D`, `F#` or `Bb`.

    Raises:
        ValueError: it is not a key.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key!r} is not a key such as D, F# or Bb")
    shift = {"#": 1, "b": -1, "": 0}[match[2]]
    return (_LETTERS[match[1]] + shift) % _OCTAVE


def frequency(pitch: float) -> float:
    """Return hertz of a MIDI number, in equal temperament from an A of 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


@dataclass(frozen=True, slots=True)
class Chord:
    """A triad of the scale.

    Attributes:
        degree: of its root; 0 is the tonic.
        raised: its bar sharpens the seventh degree, as the dominant of minor does.
    """

    degree: int
    raised: bool = False

    @property
    def degrees(self) -> frozenset[int]:
        """The three degrees that it holds."""
        return frozenset((self.degree + third) % _DEGREES for third in (0, 2, 4))

    def holds(self, step: int) -> bool:
        """Tell whether a step of the scale is one of its tones."""
        return step % _DEGREES in self.degrees


@dataclass(frozen=True)
class Scale:
    """A key in a mode.

    Raises:
        ValueError: it is not a key.
        KeyError: it is not a mode.
    """

    key: str
    mode: str

    def __post_init__(self) -> None:
        pitch_class(self.key)
        MODES[self.mode]

    def pitch(self, step: int, *, raised: bool = False) -> int:
        """Return the pitch of a step."""
        tonic = pitch_class(self.key)
        base = _MIDDLE_C + tonic - (_OCTAVE if tonic > _HIGHEST_ABOVE_C else 0)
        octave, degree = divmod(step, _DEGREES)
        return base + _OCTAVE * octave + MODES[self.mode][degree] + (1 if raised and degree == _LEADING else 0)

    def steps(self, low: int, high: int) -> list[int]:
        """Return every step whose pitch lies in `low` to `high`."""
        return [step for step in range(-35, 36) if low <= self.pitch(step) <= high]

    def chord(self, degree: int) -> Chord:
        """Return the triad on a degree as its mode uses it."""
        return Chord(degree % _DEGREES, raised=self.mode == "minor" and degree % _DEGREES == _DOMINANT)

    def classes(self, chord: Chord) -> frozenset[int]:
        """Return the pitch classes that are in use while `chord` sounds."""
        return frozenset(self.pitch(degree, raised=chord.raised) % _OCTAVE for degree in range(_DEGREES))

    def tones(self, chord: Chord, low: int, high: int) -> list[int]:
        """Return the pitches of a chord between `low` and `high`, rising."""
        return [
            pitch
            for step in range(-35, 36)
            if chord.holds(step) and low <= (pitch := self.pitch(step, raised=chord.raised)) <= high
        ]
