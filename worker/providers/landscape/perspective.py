"""Owns the view: how the height map becomes, for every pixel, the piece of ground that it shows.

The ground is cut into slices of equal distance. In every column a pixel shows the nearest slice that
reaches above it (the "voxel space" renderer of *Comanche*, K. Silverman and K. Freeman, 1992); counting the
slices that do, rather than walking them, finds all pixels at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Field

NEAREST: Final = 1.35
FARTHEST: Final = 54.0


@dataclass(frozen=True)
class View:
    """The viewer's frame.

    Attributes:
        width, height: of the picture, in pixels.
        horizon: row of the horizon, in pixels from the top.
        focal: world units seen in a unit's distance, in pixels.
        eye: height of the viewer, in world units.
        z: distance of every slice, in world units, rising.
        u: X over Z of every column.
    """

    width: int
    height: int
    horizon: float
    focal: float
    eye: float
    z: Field
    u: Field

    def row(self, height: Field | float, z: Field | float) -> Field:
        """Return the picture's row of a point at world `height` and distance `z`."""
        return np.asarray(self.horizon - self.focal * (height - self.eye) / z, dtype=np.float32)

    def column(self, x: float, z: float) -> float:
        """Return the picture's column of a point."""
        return self.width / 2 + x / z * self.width / (2 * float(-self.u[0]))


@dataclass(frozen=True)
class Hits:
    """What each pixel from row `top` down shows.

    Attributes:
        top: first row of the picture that shows any ground.
        slice_index: the slice, rows by columns; the number of slices where there is only sky.
        part: where between the slice before (0) and this one (1) the pixel lies.
        edge: coverage of the topmost pixel in each column, for a smooth skyline.
        crest: row of the topmost pixel in each column.
    """

    top: int
    slice_index: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    part: Field
    edge: Field
    crest: np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def open_view(width: int, height: int, eye: float, horizon: float) -> View:
    """Set the frame up; `horizon` is its part of the height from the top, 0 to 1."""
    across = 0.85 * max(width, height * 1.2)
    focal = min(across, 1.56 * height)
    count = int(np.clip(height, 128, 760))
    share = np.linspace(0, 1, count, dtype=np.float32)
    # Even steps on the screen for the near ground are too coarse for far mountains, so blend with even
    # steps in the world.
    grown = np.float32(NEAREST) * np.float32(FARTHEST / NEAREST) ** share
    even = np.float32(NEAREST) + np.float32(FARTHEST - NEAREST) * share
    z = grown * np.float32(0.55) + even * np.float32(0.45)
    z = np.float32(NEAREST) + (z - np.float32(NEAREST)) * (np.float32(0.35) + np.float32(0.65) * share)
    # A few slices more carry open water and plains on to the true horizon.
    z = np.concatenate([z, np.float32(FARTHEST) * np.float32(1.3) ** np.arange(1, 13, dtype=np.float32)])
    u = (np.arange(width, dtype=np.float32) + np.float32(0.5) - np.float32(width / 2)) / np.float32(across)
    return View(width, height, horizon * height, focal, eye, z.astype(np.float32), u)


def find_hits(view: View, ground: Field, tops: Field) -> Hits:
    """Find what every pixel shows.

    Args:
        view: the frame.
        ground: row of the ground's surface, slices by columns.
        tops: row of what stands on it (trees); equal to `ground` where nothing does.
    """
    count, width = ground.shape
    reach = np.minimum.accumulate(tops, axis=0)
    first = np.clip(np.ceil(reach), 0, view.height).astype(np.int64)
    top = int(first[-1].min())
    rows = view.height - top
    tally = np.bincount(((first - top) * width + np.arange(width)).ravel(), minlength=(rows + 1) * width).reshape(
        rows + 1, width
    )
    index = count - np.cumsum(tally[:rows], axis=0)
    here = np.minimum(index, count - 1) * width + np.arange(width)
    flat = ground.ravel()
    below = flat[np.maximum(here - width, here % width)]
    above = flat[here]
    y = np.arange(top, view.height, dtype=np.float32)[:, None]
    part = np.clip((below - y) / np.maximum(below - above, np.float32(1e-3)), 0, 1)
    crest = first[-1]
    edge = crest - reach[-1]
    return Hits(top, index, part.astype(np.float32), np.clip(edge, 0, 1).astype(np.float32), crest)
