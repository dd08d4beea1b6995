"""Owns the trees that stand on the terrain: where they grow and the outline of every row of them."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Dice, Field, smoothstep
from worker.providers.landscape.perspective import View
from worker.providers.landscape.terrain import Terrain
from worker.providers.landscape.vocabulary import Scene

# Distance between trees of a row and between rows, and the tallest tree, in world units.
_SPACING: Final = 0.12
_ROW: Final = 0.105
_CONIFER: Final = 0.34
_ROUND: Final = 0.2
_TABLE: Final = 8192


@dataclass(frozen=True)
class Trees:
    """Trees of every slice and column of a view.

    Attributes:
        tall: height of the outline over the ground, in world units; 0 without a tree.
        across: where in its tree the column lies, -1 (left rim) to 1.
        tone: a random number of the tree, 0 to 1.
    """

    tall: Field
    across: Field
    tone: Field


def growth(scene: Scene, terrain: Terrain) -> Field:
    """Return how densely trees grow on the map, 0 to 1."""
    height = terrain.height
    if not scene.has("conifers", "broadleaf", "jungle", "forest"):
        return np.zeros_like(height)
    asked = bool(scene.recognised.get("vegetation")) and not scene.has("meadow")
    line = {"mountains": 3.6, "volcano": 2.6, "islands": 3.4, "ice": 1.6, "dunes": 0.4}.get(scene.terrain, 4.5)
    size = height.shape[0]
    step = np.float32(size / 64)
    steep = np.abs(np.diff(height, axis=1, append=height[:, -1:])) * step
    steep += np.abs(np.diff(height, axis=0, append=height[-1:])) * step
    # Woods grow in patches; the lower-frequency part of the openness serves as their border.
    patch = (terrain.openness - 1) * np.float32(0.9) + np.float32(
        0.78 if asked else 0.12 if scene.terrain == "plain" else 0.42
    )
    dense = patch * smoothstep(0.04, 0.22, height) * (1 - smoothstep(line * 0.6, line, height))
    if scene.has("castle", "ruins", "tower", "city", "village"):
        # People fell what stands before their walls.
        place = np.arange(size, dtype=np.float32) / step
        along = place[:, None] - np.float32(terrain.site.z)
        across = place[None, :] - np.float32(terrain.site.x + 32)
        dense = dense * smoothstep(1.6, 3.2, np.sqrt(across * across * np.float32(0.6) + along * along))
    return np.asarray(dense * (1 - smoothstep(1.3, 2.6, steep)), dtype=np.float32)


def plant(scene: Scene, view: View, density: Field, dice: Dice) -> Trees:
    """Grow trees on every slice where `density` (slices by columns, 0 to 1) lets them."""
    rng = dice.stream("forest")
    table = rng.random(_TABLE, dtype=np.float32)
    rounded = scene.has("broadleaf", "jungle") and not scene.has("conifers")
    # Near slices lie closer together than trees do: only the first slice of a row bears trees.
    row = np.floor(view.z / np.float32(_ROW)).astype(np.int32)
    bears = np.diff(row, prepend=row[0] - 1) > 0
    z = view.z[bears][:, None]
    number = row[bears][:, None]
    thick = density[bears]

    place = view.u[None, :] * z / np.float32(_SPACING) + table[(number * 7) % _TABLE]
    cell = np.floor(place).astype(np.int32)
    identity = (cell * 131 + number * 911) & (_TABLE - 1)
    tone = table[identity]
    size = table[(identity + 4057) & (_TABLE - 1)]
    shift = (table[(identity + 977) & (_TABLE - 1)] - np.float32(0.5)) * np.float32(0.3)
    half = np.float32(0.42 if rounded else 0.27) + size * np.float32(0.16 if rounded else 0.13)
    across = (place - cell - np.float32(0.5) - shift) / half
    reach = np.abs(across)
    if rounded:
        # Clumps of leaves, other ones in every tree.
        clumps = np.abs(np.sin(across * np.float32(4.2) + tone * 40))
        outline = (
            np.sqrt(np.maximum(1 - reach * reach, 0))
            * (np.float32(0.72) + clumps * np.float32(0.28))
            * np.float32(_ROUND)
        )
    else:
        # Boughs: the outline steps in and out on its way to the top.
        bough = reach * 5
        outline = 1 - reach - (bough - np.floor(bough) - np.float32(0.5)) * np.float32(0.12)
        outline = np.where(reach < 1, outline, 0) * np.float32(_CONIFER)
    grown = tone < thick
    tall = np.where(grown, outline * (np.float32(0.5) + np.float32(0.5) * size), 0)
    shape = (view.z.shape[0], view.u.shape[0])
    fields = []
    for part in (tall, across, tone):
        whole = np.zeros(shape, dtype=np.float32)
        whole[bears] = part
        fields.append(whole)
    # Trees next to the viewer would be a wall across the picture.
    fields[0] *= smoothstep(2.6, 4.2, view.z)[:, None]
    return Trees(*fields)
