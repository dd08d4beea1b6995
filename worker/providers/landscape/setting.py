"""Owns the setting: what every painting step works with, and never changes."""

from dataclasses import dataclass

from worker.providers.landscape.noise import Dice
from worker.providers.landscape.palette import Light
from worker.providers.landscape.perspective import View
from worker.providers.landscape.terrain import Terrain
from worker.providers.landscape.vocabulary import Scene


@dataclass(frozen=True)
class Setting:
    """One landscape before it is painted: what to show, its light, its ground, the frame and the lots."""

    scene: Scene
    light: Light
    terrain: Terrain
    view: View
    dice: Dice
