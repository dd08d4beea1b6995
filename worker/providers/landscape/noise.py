"""Owns the randomness of a landscape: named streams of numbers and the noise fields made from them.

Every stream is keyed by SHA-256 of the description, the seed and the stream's name, so a new feature that
draws numbers never shifts the numbers of another one, and no process-wide state takes part.
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

# Samples beyond each border that the bicubic kernel may read; wrapping them makes the octave tile.
_PAD: Final = 3


class Dice:
    """Deterministic random streams of one picture.

    Args:
        canonical: the normalised description.
        seed: any integer; other seeds give unrelated streams.
    """

    def __init__(self, canonical: str, seed: int) -> None:
        self._key = f"{canonical}\0{seed}\0"

    def stream(self, name: str) -> np.random.Generator:
        """Return a fresh generator for `name`; the same name always starts the same stream."""
        digest = hashlib.sha256((self._key + name).encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def smoothstep(low: float, high: float, value: Field) -> Field:
    """Return the Hermite ramp 3t² - 2t³ of `value` between `low` (0) and `high` (1)."""
    ramp = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def octave(rng: np.random.Generator, cells: int, size: int) -> Field:
    """Return a `size`² tile of smooth noise in about -1..1 with `cells` bumps to a side.

    Enlarging a small random grid with a bicubic kernel costs a tenth of gradient noise per pixel.
    """
    grid = rng.random((cells, cells), dtype=np.float32) * 2 - 1
    padded = Image.fromarray(np.pad(grid, _PAD, mode="wrap"))
    box = (_PAD, _PAD, _PAD + cells, _PAD + cells)
    return np.asarray(padded.resize((size, size), Image.Resampling.BICUBIC, box=box), dtype=np.float32)


def spectral(rng: np.random.Generator, size: int, slope: float) -> Field:
    """Return a `size`² tile of fractional Brownian motion, mean 0 and deviation 1.

    Spectral synthesis (Saupe, in *The Science of Fractal Images*, 1988): white noise whose amplitude falls
    with frequency as f to the power of minus `slope`. Clouds want about 1.6, grass and rock about 1.1.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    rows = np.fft.fftfreq(size).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(size).astype(np.float32)[None, :]
    frequency = np.sqrt(rows * rows + columns * columns)
    frequency[0, 0] = 1
    spectrum *= frequency ** np.float32(-slope)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32)
    return np.asarray(field / field.std(), dtype=np.float32)


def sample(tile: Field, column: Field, row: Field) -> Field:
    """Look `tile` up bilinearly at coordinates in tiles (1.0 is one whole tile); it repeats for ever.

    The side of `tile` must be a power of two.
    """
    size = tile.shape[0]
    mask = size - 1
    x = column * np.float32(size)
    y = row * np.float32(size)
    x0 = np.floor(x)
    y0 = np.floor(y)
    fx = x - x0
    fy = y - y0
    left = x0.astype(np.int32) & mask
    top = (y0.astype(np.int32) & mask) * size
    right = (left + 1) & mask
    below = (top + size) & (size * size - 1)
    flat = tile.ravel()
    upper = flat[top + left]
    upper += (flat[top + right] - upper) * fx
    lower = flat[below + left]
    lower += (flat[below + right] - lower) * fx
    lower -= upper
    lower *= fy
    upper += lower
    return np.asarray(upper, dtype=np.float32)


def sample_layers(layers: Field, column: Field, row: Field) -> Field:
    """Look several tiles up at once; `layers` is side by side by tile, the answer has a row for each tile.

    One gather of neighbouring numbers for all tiles costs little more than one for a single tile.
    """
    size = layers.shape[0]
    mask = size - 1
    x = column * np.float32(size)
    y = row * np.float32(size)
    x0 = np.floor(x)
    y0 = np.floor(y)
    fx = (x - x0)[..., None]
    fy = (y - y0)[..., None]
    left = x0.astype(np.int32) & mask
    top = (y0.astype(np.int32) & mask) * size
    right = (left + 1) & mask
    below = (top + size) & (size * size - 1)
    flat = layers.reshape(size * size, -1)
    upper = flat.take(top + left, axis=0)
    upper += (flat.take(top + right, axis=0) - upper) * fx
    lower = flat.take(below + left, axis=0)
    lower += (flat.take(below + right, axis=0) - lower) * fx
    lower -= upper
    lower *= fy
    upper += lower
    return np.ascontiguousarray(np.moveaxis(upper, -1, 0))


def curve(rng: np.random.Generator, knots: int, position: Field) -> Field:
    """Return a smooth random curve in -1..1 with `knots` bumps over positions 0..1."""
    values = rng.random(knots + 3, dtype=np.float32) * 2 - 1
    place = np.clip(position, 0, 1) * np.float32(knots)
    index = place.astype(np.int32)
    part = place - index
    part = part * part * (3 - 2 * part)
    return np.asarray(values[index] * (1 - part) + values[index + 1] * part, dtype=np.float32)
