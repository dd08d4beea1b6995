"""Owns time inside a bar: metres, ticks and the rhythmic cells that motifs are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

# A beat divides into halves, thirds and quarters without a rest.
TICKS: Final = 12


@dataclass(frozen=True)
class Metre:
    """How a bar counts.

    Attributes:
        name: as it is written; a beat of 6/8 is a dotted quarter.
        beats: in a bar.
        division: equal parts of a beat that melodies are made of.
        strong: beats whose melody note belongs to the chord.
    """

    name: str
    beats: int
    division: int
    strong: tuple[int, ...]

    @property
    def bar(self) -> int:
        """Ticks of a bar."""
        return self.beats * TICKS

    @property
    def unit(self) -> int:
        """Ticks of the smallest part that melodies are made of."""
        return TICKS // self.division

    def is_strong(self, tick: int) -> bool:
        """Tell whether a strong beat falls on a tick of the piece."""
        beat, rest = divmod(tick % self.bar, TICKS)
        return rest == 0 and beat in self.strong


METRES: Final[Mapping[str, Metre]] = MappingProxyType(
    {
        "4/4": Metre("4/4", 4, 2, (0, 2)),
        "3/4": Metre("3/4", 3, 2, (0,)),
        "6/8": Metre("6/8", 2, 3, (0, 1)),
        # For pieces of a few seconds, in which no longer bar fits twice.
        "1/4": Metre("1/4", 1, 2, (0,)),
    }
)

Cell = tuple[int, ...]

# Metre → how busy → cells: lengths in units, a negative one is a rest.
_CELLS: Final[Mapping[str, Mapping[str, Sequence[Cell]]]] = MappingProxyType(
    {
        "4/4": {
            "calm": ((4, 2, 2), (3, 1, 4), (2, 2, 4), (4, 4), (3, 1, 2, 2), (4, 3, 1)),
            "flowing": ((2, 2, 2, 2), (3, 1, 2, 2), (2, 1, 1, 4), (2, 2, 3, 1), (4, 2, 1, 1), (3, 1, 3, 1)),
            "lively": ((2, 1, 1, 2, 2), (1, 1, 2, 1, 1, 2), (3, 1, 2, 1, 1), (2, 2, 1, 1, 2), (3, 1, 1, 1, 2)),
        },
        "3/4": {
            "calm": ((4, 2), (2, 4), (3, 1, 2), (2, 2, 2)),
            "flowing": ((2, 2, 2), (3, 1, 2), (4, 1, 1), (2, 1, 1, 2), (2, 2, 1, 1)),
            "lively": ((1, 1, 1, 1, 2), (2, 1, 1, 2), (2, 1, 1, 1, 1), (3, 1, 1, 1)),
        },
        "6/8": {
            "calm": ((3, 2, 1), (2, 1, 3), (3, 3)),
            "flowing": ((2, 1, 2, 1), (3, 2, 1), (2, 1, 1, 1, 1), (1, 1, 1, 3)),
            "lively": ((2, 1, 1, 1, 1), (1, 1, 1, 2, 1), (1, 1, 1, 1, 1, 1), (2, 1, 2, 1), (1, 1, 1, 3)),
        },
        "1/4": {"calm": ((2,),), "flowing": ((2,), (1, 1)), "lively": ((1, 1),)},
    }
)
# How phrases end: come to rest, then breathe.
_ENDINGS: Final[Mapping[str, Sequence[Cell]]] = MappingProxyType(
    {
        "4/4": ((2, 2, 3, -1), (3, 1, 3, -1), (4, 3, -1), (2, 1, 1, 3, -1)),
        "3/4": ((5, -1), (2, 3, -1), (1, 1, 3, -1)),
        "6/8": ((3, 2, -1), (2, 1, 2, -1), (1, 1, 1, 2, -1)),
        "1/4": ((2,),),
    }
)


def cells(metre: Metre, pace: str, rng: np.random.Generator, number: int) -> list[Cell]:
    """Draw different cells of a bar, as many as there are up to `number`; the first repeats where they run out."""
    pool = _CELLS[metre.name][pace]
    drawn = [pool[index] for index in rng.permutation(len(pool))[:number].tolist()]
    return drawn + [drawn[0]] * (number - len(drawn))


def ending(metre: Metre, pace: str, rng: np.random.Generator) -> Cell:
    """Draw the cell of a phrase's last bar."""
    pool = _ENDINGS[metre.name]
    # The longer lists come first in a hurry, the shorter ones where there is calm.
    ranked = sorted(pool, key=len, reverse=pace == "lively")
    return ranked[int(rng.integers(0, max(1, len(ranked) - 1)))]
