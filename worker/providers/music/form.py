"""Owns the form of a piece: how many bars, at which tempo, in which phrases, so that it ends in time."""

# ruff: noqa: PLR2004 - proportions of a form read best where they are used

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.providers.music.rhythm import METRES, Metre
from worker.providers.music.score import Phrase, broadened

# Songs by their number of phrases; longer ones go round once more before they end with A.
_SONGS: Final = ("A", "AA", "ABA", "AABA", "AABBA", "AABABA", "AABACBA", "AABACCBA")
_ROUND: Final = "BACCBA"
# A piece begins so long after its file does.
LEAD_IN_S: Final = 0.06


@dataclass(frozen=True)
class Form:
    """The plan of a piece.

    Attributes:
        intro: bars before the first phrase.
        phrases: in order.
        bars: of the whole piece, with the final chord's.
    """

    metre: Metre
    tempo_bpm: float
    intro: int
    phrases: Sequence[Phrase]
    bars: int

    @property
    def text(self) -> str:
        """The form as musicians write it, such as "intro A A' B A'' cadence"."""
        return " ".join([*(["intro"] if self.intro else []), *(phrase.name for phrase in self.phrases), "cadence"])


def ring_s(duration_s: float) -> float:
    """Return how long the final chord has at least to fade away."""
    return min(max(0.13 * duration_s, 1.2), 4.5)


def plan(
    metre: Metre, tempi: tuple[float, float], duration_s: float, rng: np.random.Generator, *, slow: bool
) -> Form:
    """Plan a piece that fills a time.

    Args:
        metre: what the mood likes; too short a time for it gets bars of one beat.
        tempi: lowest and highest beats a minute; the same twice where the tempo is given.
        duration_s: of the whole file.
        rng: lots between plans that fit alike.
        slow: phrases may be of two bars even where four would fit, because their bars are long.
    """
    time = duration_s - LEAD_IN_S - ring_s(duration_s)
    low, high = tempi
    candidates = [low] if low == high else np.round(np.linspace(low, high, 25), 1).tolist()
    plans = [_lay_out(metre, tempo, time, slow=slow) for tempo in candidates]
    if all(form is None for form in plans):
        brief = METRES["1/4"]
        plans = [_lay_out(brief, tempo, time, slow=False) for tempo in candidates]
    lots = rng.random(len(plans))

    def price(index: int) -> float:
        form = plans[index]
        if form is None:
            return np.inf
        phrases, idle = len(form.phrases), form.intro
        short = form.phrases[0].bars if form.phrases else 0
        # Whole songs please; an intro of one or two bars does, a long one tires; so does a long wait at the end.
        spare = time - broadened(form.bars - 1, _bar_s(form.metre, form.tempo_bpm))
        return float(
            2.0 * (phrases < 4)
            + 0.5 * (phrases in {5, 6})
            + 0.8 * max(idle - 2, 0)
            + 0.7 * (idle == 0 and duration_s > 12)
            + 0.4 * (short == 2)
            + 0.7 * spare / _bar_s(form.metre, form.tempo_bpm)
            + 0.5 * lots[index]
        )

    best = plans[min(range(len(plans)), key=price)]
    # A single beat always fits: the shortest piece is longer than the slowest beat and its ring.
    return best or Form(METRES["1/4"], low, 0, (), 1)


def _bar_s(metre: Metre, tempo_bpm: float) -> float:
    return metre.beats * 60 / tempo_bpm


def _lay_out(metre: Metre, tempo_bpm: float, time: float, *, slow: bool) -> Form | None:
    bar_s = _bar_s(metre, tempo_bpm)
    body = int(time / bar_s)
    while body and broadened(body, bar_s) > time:
        body -= 1
    if body < 1:
        return None
    # With two bars to a phrase, a song of four phrases fits where four bars would leave room for two.
    enough = 20 if slow else 12
    length = 4 if body >= enough or (metre.beats == 3 and body >= 8) else 2 if body >= 4 else 1
    number = body // length
    intro = body - number * length
    if intro == 0 and number > 4 and length == 4:
        number -= 1
        intro = 4
    letters = _letters(number)
    return Form(metre, tempo_bpm, intro, _phrases(letters, intro, length), body + 1)


def _letters(number: int) -> str:
    if number <= len(_SONGS):
        return _SONGS[number - 1]
    return (_SONGS[-1] + _ROUND * number)[: number - 1] + "A"


def _phrases(letters: str, start: int, bars: int) -> list[Phrase]:
    phrases: list[Phrase] = []
    for place, letter in enumerate(letters):
        visit = letters[:place].count(letter)
        if place == len(letters) - 1:
            ending = "final"
        elif letter == "B":
            ending = "open"
        else:
            # Question and answer.
            ending = "closed" if place and letters[place - 1] == letter else "open"
        if letter == "A" and place + 1 < len(letters) and letters[place + 1] != "A":
            ending = "closed"
        phrases.append(Phrase(letter, visit, ending, start + place * bars, bars))
    return phrases
