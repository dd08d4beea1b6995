"""Owns the last steps from light to file: bloom, exposure, film curve, grain and PNG."""

# ruff: noqa: PLR2004 - constants of published formulas

import io
from typing import Final

import numpy as np
from PIL import Image

from worker.providers.landscape.noise import Dice, Field
from worker.providers.landscape.palette import LUMA, Light

_LEVELS: Final = 4096
# A little grain hides the steps of 8-bit gradients; more would only make the file larger.
_GRAIN: Final = 0.9


def bloom(picture: Field) -> None:
    """Let what is brighter than paper spill over its surroundings, in place."""
    bright = np.maximum(picture - np.float32(0.85), 0)
    np.minimum(bright, 4, out=bright)
    height, width = picture.shape[:2]
    for channel in range(3):
        image = Image.fromarray(np.ascontiguousarray(bright[..., channel]))
        near = image.reduce(4)
        total: Field | None = None
        for factor, share in ((1, 0.16), (3, 0.13), (8, 0.10)):
            small = near.reduce(factor) if factor > 1 else near
            wide = small.resize(near.size, Image.Resampling.BICUBIC) if factor > 1 else small
            layer = np.asarray(wide, dtype=np.float32) * np.float32(share)
            total = layer if total is None else total + layer
        spread = Image.fromarray(np.asarray(total, dtype=np.float32)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        picture[..., channel] += np.maximum(np.asarray(spread, dtype=np.float32), 0)


def develop(picture: Field, light: Light, dice: Dice) -> Image.Image:
    """Turn linear light into an 8-bit sRGB picture.

    The exposure goes half way to the key of the light, so a description of darkness stays dark. The curve is
    K. Narkowicz's fit of the ACES film curve (2016).
    """
    thin = picture[::4, ::4] @ LUMA
    mean = float(np.exp(np.mean(np.log(np.maximum(thin, 1e-4)))))
    exposure = light.exposure * (light.key / max(mean, 1e-3)) ** 0.6
    exposure = float(np.clip(exposure, 0.3, 3.2))
    light_in = picture * np.float32(exposure * 0.78)
    # Lens falloff leads the eye inwards.
    height, width = picture.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    light_in *= (1 - np.float32(0.20) * np.clip(x * x * np.float32(0.6) + y * y * np.float32(0.5), 0, 1))[
        ..., None
    ]
    np.clip(light_in, 0, 16, out=light_in)
    # The curve and the sRGB encoding as one table over the square root of light.
    index = np.sqrt(light_in * np.float32(1 / 16)) * np.float32(_LEVELS - 1)
    coded = _curve()[index.astype(np.int32)]
    grain = dice.stream("grain").random((height, width), dtype=np.float32)
    coded += ((grain - np.float32(0.5)) * np.float32(2 * _GRAIN))[..., None]
    coded += np.float32(0.5)
    return Image.fromarray(np.clip(coded, 0, 255).astype(np.uint8))


def _curve() -> Field:
    root = np.linspace(0, 1, _LEVELS, dtype=np.float64)
    light = root * root * 16
    film = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    coded = np.where(film <= 0.0031308, film * 12.92, 1.055 * film ** (1 / 2.4) - 0.055)
    return np.asarray(coded * 255, dtype=np.float32)


def encode_png(image: Image.Image) -> bytes:
    """Return the picture as a PNG file; the same picture always gives the same bytes."""
    buffer = io.BytesIO()
    # Grain does not compress; higher levels cost time and save next to nothing.
    image.save(buffer, "PNG", compress_level=2)
    return buffer.getvalue()
