"""Owns the day: which light a landscape has at any instant between dawn and midnight."""

# ruff: noqa: PLR2004 - a painter's proportions

from dataclasses import fields, replace
from itertools import pairwise
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Dice
from worker.providers.landscape.palette import Light, choose_light
from worker.providers.landscape.vocabulary import Scene

_HOURS: Final = ((0.0, "dawn"), (0.28, "noon"), (0.56, "dusk"), (0.74, "night"), (1.0, "night"))
"""When each of the painter's skies is reached, as a part of the film. The last one stays."""
_SUNSET: Final = 0.62
_MOONRISE: Final = 0.66
_TURN: Final = 0.64
"""Between sun and moon: nothing casts light, so nobody sees it change sides."""


class Day:
    """The light over one landscape.

    Args:
        scene: what is shown; its own hour does not count.
        dice: the lots of the landscape.
    """

    def __init__(self, scene: Scene, dice: Dice) -> None:
        self._scenes = {time: replace(scene, time=time) for _, time in _HOURS}
        lights = {time: choose_light(shown, dice) for time, shown in self._scenes.items()}
        self._skies = [(instant, lights[time]) for instant, time in _HOURS]
        self._side = -1.0 if self.first.sun_x < 0.5 else 1.0

    @property
    def first(self) -> Light:
        """The light of the dawn, after which the land is shaped."""
        return self._skies[0][1]

    def scene(self, instant: float) -> Scene:
        """Return the scene with the hour that an instant of the film, 0 to 1, belongs to."""
        if instant >= _TURN:
            return self._scenes["night"]
        return self._scenes["noon" if instant > 0.12 else "dawn"]

    def stars(self, instant: float) -> float:
        """Return how bright the stars are, 0 to 1."""
        return _ramp(0.64, 0.82, instant)

    def light(self, instant: float) -> Light:
        """Return the light at an instant of the film, 0 to 1."""
        before, after = next(
            (one, two) for one, two in pairwise(self._skies) if instant <= two[0] or two is self._skies[-1]
        )
        share = _ramp(before[0], after[0], instant)
        mixed = _mixed(before[1], after[1], share)
        night = instant >= _TURN
        # Direct light goes before its disc has gone, and comes when the other one has come.
        strength = np.float32(_ramp(0.0, 0.08, abs(instant - _TURN)))
        x, rise = self._moon(instant) if night else self._sun(instant)
        toward = np.array([(x - 0.5) * 2.6, 0.22 + 1.1 * max(rise, 0.0), 0.12 - 0.5 * max(rise, 0.0)])
        right, up, away = (toward / np.linalg.norm(toward)).tolist()
        return replace(
            mixed,
            sun=mixed.sun * strength,
            glow=mixed.glow * strength,
            sun_x=x,
            sun_rise=rise,
            direction=(right, up, away),
            night=night,
        )

    def _sun(self, instant: float) -> tuple[float, float]:
        """Return place and height of the sun: an arc from where the valley opens to the other side."""
        part = instant / _SUNSET
        return 0.5 + self._side * (0.36 - 0.72 * part), -0.06 + 0.57 * float(np.sin(np.pi * (0.06 + 0.94 * part)))

    def _moon(self, instant: float) -> tuple[float, float]:
        part = (instant - _MOONRISE) / (1 - _MOONRISE)
        return 0.5 + self._side * (0.27 - 0.14 * part), -0.08 + 0.44 * float(np.sin(np.pi / 2 * max(part, 0.0)))


def _mixed(first: Light, second: Light, share: float) -> Light:
    """Return a light between two: what is a number or a colour is mixed, the rest is the first's."""
    part = np.float32(share)
    changed = {}
    for each in fields(Light):
        one, two = getattr(first, each.name), getattr(second, each.name)
        if isinstance(one, np.ndarray):
            changed[each.name] = one * (1 - part) + two * part
        elif isinstance(one, float):
            changed[each.name] = one + (two - one) * share
    return replace(first, **changed)


def _ramp(low: float, high: float, value: float) -> float:
    part = min(max((value - low) / (high - low), 0.0), 1.0)
    return part * part * (3 - 2 * part)
