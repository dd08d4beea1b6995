"""Owns the choice of a melody's pitches: the cheapest line through the chords that keeps its motifs.

Rules of thumb of voice leading are prices, and dynamic programming finds the line that pays least (after
Viterbi). What is never allowed has an infinite price: a foreign tone on a strong beat, a tritone leap, an
augmented second.
"""

# ruff: noqa: PLR2004 - prices and intervals read best where they are charged

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.music.theory import Chord, Scale

_Costs = NDArray[np.float64]

_NEVER: Final = np.inf
# Price of a leap by semitones: steps are free, thirds cheap, wide or rough intervals dear.
_LEAPS: Final = (1.3, 0.0, 0.0, 0.35, 0.4, 0.8, _NEVER, 0.9, 2.2, 2.4, 4.0, _NEVER, 1.9)
_BY_SEMITONES: Final = np.asarray([*_LEAPS, *[_NEVER] * (128 - len(_LEAPS))])


@dataclass(frozen=True, slots=True)
class Slot:
    """A note whose pitch is wanted.

    Attributes:
        start, length: ticks.
        chord: that reigns when it begins.
        weight: 2 on a strong beat, 1 on another one, 0 between beats.
        shape: steps from the note before that its motif asks for; None across motifs.
        lift: where the line should be, in steps above its centre.
        rests_on: degrees that it should be, best first; empty for no wish.
    """

    start: int
    length: int
    chord: Chord
    weight: int
    shape: int | None
    lift: float
    rests_on: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """The steps that a melody may use, in a row, and the one about which it lies."""

    steps: Sequence[int]
    centre: int


@dataclass(frozen=True, slots=True)
class _Place:
    """A slot with the pitch of each step in it, and whether its chord lacks that step."""

    slot: Slot
    pitches: NDArray[np.int_]
    foreign: NDArray[np.bool_]


def line(
    scale: Scale, slots: Sequence[Slot], reach: Reach, rng: np.random.Generator, prefix: Sequence[int] = ()
) -> list[int]:
    """Return a step for each slot; the first ones are those of `prefix`."""
    steps = np.asarray(reach.steps)
    count = len(steps)
    bends = _bends(steps)
    places = [
        _Place(
            slot,
            np.asarray([scale.pitch(step, raised=slot.chord.raised) for step in reach.steps]),
            np.asarray([not slot.chord.holds(step) for step in reach.steps]),
        )
        for slot in slots
    ]
    prices = [_own_price(place, steps, reach.centre) for place in places]
    for index, step in enumerate(prefix):
        prices[index] = np.where(steps == step, 0.0, _NEVER)
    for index in range(len(prefix), len(slots)):
        # Lots of the seed decide between lines of nearly the same price.
        prices[index] = prices[index] + rng.random(count) * 0.55

    if len(slots) == 1:
        return [int(steps[int(np.argmin(prices[0]))])]
    # best[p, q]: the price of the cheapest line whose last two notes are p and q.
    best = prices[0][:, None] + prices[1][None, :] + _move_price(places[0], places[1], scale, steps)
    back: list[NDArray[np.intp]] = []
    for index in range(2, len(slots)):
        through = best[:, :, None] + bends
        back.append(np.argmin(through, axis=0))
        best = np.min(through, axis=0) + _move_price(places[index - 1], places[index], scale, steps)
        best += prices[index]
    before, last = divmod(int(np.argmin(best)), count)
    path = [last, before]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1], path[-2]]))
    return [int(steps[at]) for at in reversed(path)]


def _own_price(place: _Place, steps: NDArray[np.int_], centre: int) -> _Costs:
    """Return what each step costs in a slot, whatever stands beside it."""
    slot, foreign = place.slot, place.foreign
    price = 0.045 * (steps - centre - slot.lift) ** 2
    if slot.weight == 2:
        price = np.where(foreign, _NEVER, price)
    else:
        # A foreign tone is salt between beats, a mistake where it stays.
        price = (
            price + foreign * (0.15 if slot.weight == 0 else 0.7) + foreign * (3.0 if slot.length > 12 else 0.0)
        )
    if slot.rests_on:
        price = price + np.asarray(
            [
                2.2 * slot.rests_on.index(int(step) % 7) if int(step) % 7 in slot.rests_on else _NEVER
                for step in steps
            ]
        )
    return np.asarray(price, dtype=np.float64)


def _move_price(before: _Place, here: _Place, scale: Scale, steps: NDArray[np.int_]) -> _Costs:
    """Return what it costs to go from each step in the slot before to each step in this one."""
    semitones = np.abs(here.pitches[None, :] - before.pitches[:, None])
    moved = steps[None, :] - steps[:, None]
    price = _BY_SEMITONES[semitones]
    # Two names of one pitch beside each other are heard as a slip: the seventh and the raised seventh.
    price = np.where((moved == 0) & (semitones != 0), _NEVER, price)
    # An augmented second.
    price = np.where((np.abs(moved) == 1) & (semitones > 2), _NEVER, price)
    # Foreign tones pass or neighbour: they are reached and left by step.
    rough = (np.abs(moved) != 1) & (before.foreign[:, None] | here.foreign[None, :])
    price = price + rough * 9.0
    if here.slot.chord != before.slot.chord:
        # Root to root and fifth to fifth run parallel to the bass: then two voices are heard as one.
        role = (steps - before.slot.chord.degree) % 7
        same = role[:, None] == ((steps - here.slot.chord.degree) % 7)[None, :]
        price = price + (same & np.isin(role, (0, 4))[:, None] & (moved != 0)) * 0.9
    if here.slot.chord != before.slot.chord and here.slot.chord.degree == 0:
        # The leading tone leads.
        leads = (steps % 7 == 6) & ~before.foreign & (before.pitches + 1 == _tonics(scale, steps))
        price = price + leads[:, None] * (moved != 1) * 1.6
    if here.slot.shape is not None:
        price = price + 0.95 * np.minimum(np.abs(moved - here.slot.shape), 3)
    elif here.slot.weight == 2:
        # A motif's last note does not stutter into the next bar.
        price = price + (moved == 0) * 0.6
    return np.asarray(price, dtype=np.float64)


def _tonics(scale: Scale, steps: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return the pitch of the tonic above each step."""
    return np.asarray([scale.pitch((int(step) // 7 + 1) * 7) for step in steps])


def _bends(steps: NDArray[np.int_]) -> _Costs:
    """Return what three steps in a row cost together: wide leaps want to be answered, nothing goes on for long."""
    first = (steps[None, :] - steps[:, None])[:, :, None]
    second = (steps[None, :] - steps[:, None])[None, :, :]
    wide = np.abs(first) >= 3
    answered = (np.sign(second) == -np.sign(first)) & (np.abs(second) <= 2)
    price = wide * ~answered * 1.3
    price = price + (np.abs(first) >= 2) * (np.abs(second) >= 2) * (np.sign(first) == np.sign(second)) * 0.5
    price = price + (np.abs(first + second) > 7) * 4.0
    price = price + ((first == 0) & (second == 0)) * 2.5
    # Swinging between two notes soon tires.
    price = price + ((first + second == 0) & (first != 0)) * 0.3
    return np.asarray(price, dtype=np.float64)
