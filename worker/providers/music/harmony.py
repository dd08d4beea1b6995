"""Owns progressions: which chords each phrase goes through, and how it ends.

A phrase is a head of two chords, shared by all phrases of its letter, and a tail of two that opens towards the
dominant, closes on the tonic, or prepares the final chord.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from worker.providers.music.rhythm import Metre
from worker.providers.music.score import Phrase, Span
from worker.providers.music.theory import Chord, Scale

_Pair = tuple[int, int]


@dataclass(frozen=True)
class _Habits:
    """What a mode likes to do; degrees count from 1, as musicians do."""

    themes: Sequence[_Pair]
    bridges: Sequence[_Pair]
    opening: Sequence[_Pair]
    closing: Sequence[_Pair]
    final: Sequence[_Pair]


# Diminished triads are left out everywhere: nothing here would resolve them. In the modes without a leading
# tone, the chord below the tonic (in Phrygian and Lydian: the one above it) takes the dominant's place.
_HABITS: Final[Mapping[str, _Habits]] = MappingProxyType(
    {
        "major": _Habits(
            themes=((1, 6), (1, 4), (1, 5), (1, 3)),
            bridges=((4, 1), (6, 3), (6, 4), (2, 6)),
            opening=((4, 5), (2, 5), (1, 5)),
            closing=((5, 1), (4, 1)),
            final=((4, 5), (2, 5)),
        ),
        "minor": _Habits(
            themes=((1, 6), (1, 4), (1, 7), (1, 3), (1, 5)),
            bridges=((3, 7), (6, 3), (4, 1), (6, 7)),
            opening=((6, 5), (4, 5), (1, 5)),
            closing=((5, 1), (4, 1)),
            final=((4, 5), (6, 5)),
        ),
        "aeolian": _Habits(
            themes=((1, 6), (1, 7), (1, 4), (1, 3)),
            bridges=((3, 7), (6, 3), (4, 6), (6, 4)),
            opening=((6, 7), (4, 7), (1, 7)),
            closing=((7, 1), (4, 1)),
            final=((6, 7), (4, 7)),
        ),
        "dorian": _Habits(
            themes=((1, 4), (1, 7), (1, 3)),
            bridges=((3, 7), (4, 1), (7, 4), (3, 4)),
            opening=((4, 7), (1, 7), (3, 7)),
            closing=((7, 1), (4, 1)),
            final=((4, 7), (3, 7)),
        ),
        "phrygian": _Habits(
            themes=((1, 2), (1, 6), (1, 7)),
            bridges=((6, 3), (4, 1), (3, 6)),
            opening=((3, 2), (1, 2), (4, 2)),
            closing=((2, 1), (7, 1)),
            final=((3, 2), (4, 2)),
        ),
        "lydian": _Habits(
            themes=((1, 2), (1, 5), (1, 6)),
            bridges=((6, 3), (6, 2), (3, 6)),
            opening=((2, 5), (1, 5)),
            closing=((5, 1), (2, 1)),
            final=((2, 5), (6, 5)),
        ),
        "mixolydian": _Habits(
            themes=((1, 7), (1, 4), (1, 5)),
            bridges=((4, 1), (7, 4), (6, 4)),
            opening=((4, 7), (1, 7), (5, 7)),
            closing=((7, 1), (4, 1)),
            final=((4, 7), (5, 7)),
        ),
    }
)
# A bar changes its chord in the middle where phrases are this short.
_SHORT: Final = 2


def harmonise(
    scale: Scale, metre: Metre, intro: int, phrases: Sequence[Phrase], rng: np.random.Generator
) -> list[Span]:
    """Return the chords of a piece from its first bar to the final tonic, one bar long."""
    habits = _HABITS[scale.mode]
    heads = {"A": _draw(habits.themes, rng), "B": _draw(habits.bridges, rng)}
    heads["C"] = _draw([pair for pair in habits.bridges if pair != heads["B"]], rng)
    tails = {"open": habits.opening, "closed": habits.closing, "final": habits.final}
    drawn: dict[tuple[str, str], _Pair] = {}

    spans = [Span(bar * metre.bar, metre.bar, scale.chord(0)) for bar in range(intro)]
    for phrase in phrases:
        key = phrase.letter, phrase.ending
        if key not in drawn:
            head = heads[phrase.letter]
            fresh = [tail for tail in tails[phrase.ending] if tail[0] != head[1]]
            drawn[key] = _draw(fresh or tails[phrase.ending], rng)
        degrees = _fit((*heads[phrase.letter], *drawn[key]), phrase.bars, metre)
        length = phrase.bars * metre.bar // len(degrees)
        start = phrase.start * metre.bar
        spans += [Span(start + at * length, length, scale.chord(root - 1)) for at, root in enumerate(degrees)]
    spans.append(Span(spans[-1].start + spans[-1].length if spans else 0, metre.bar, scale.chord(0)))
    return spans


def voice(scale: Scale, chord: Chord, centre: int, before: Sequence[int]) -> list[int]:
    """Return three tones of a chord about `centre`, in the position that moves least from those `before`."""
    tones = scale.tones(chord, centre - 10, centre + 10)
    stacks = [tones[at : at + 3] for at in range(len(tones) - 2)]

    def moved(stack: list[int]) -> float:
        home = abs(sum(stack) / 3 - centre)
        if not before:
            return home
        return sum(abs(new - old) for new, old in zip(stack, before, strict=True)) + 0.3 * home

    return min(stacks, key=moved)


def root(scale: Scale, chord: Chord, centre: int) -> int:
    """Return the chord's root next to `centre`."""
    pitch = scale.pitch(chord.degree, raised=chord.raised)
    return min((pitch + 12 * octave for octave in range(-5, 5)), key=lambda at: (abs(at - centre), at))


def _fit(degrees: tuple[int, int, int, int], bars: int, metre: Metre) -> Sequence[int]:
    """Return the chords that so many bars have room for; a phrase's first and last are what must stay."""
    if bars >= len(degrees) or (bars == _SHORT and metre.beats % 2 == 0):
        return degrees
    return (degrees[0], degrees[-1]) if bars >= _SHORT else degrees[-1:]


def _draw(pairs: Sequence[_Pair], rng: np.random.Generator) -> _Pair:
    return pairs[int(rng.integers(0, len(pairs)))]
