"""Owns sound as numbers: the rate, what an instrument is, and envelopes that begin and end in silence."""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

RATE: Final = 44_100
# Every instrument is brought to this loudness (root mean square of its first part) at full velocity.
_LEVEL: Final = 0.1
_HEARD_S: Final = 0.35


class Instrument(Protocol):
    """Turns a note into sound."""

    def play(self, hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> Wave:
        """Return one note, its release behind `seconds` included, at the level of all instruments."""


def levelled(wave: NDArray[np.floating], velocity: float) -> Wave:
    """Bring a note to the common level: full at velocity 1, and softer by its square below."""
    head = wave[: int(_HEARD_S * RATE)]
    loud = float(np.sqrt(np.mean(np.square(head, dtype=np.float64)))) if head.size else 0.0
    return np.asarray(wave * (_LEVEL * velocity**1.6 / max(loud, 1e-9)), dtype=np.float32)


def envelope(samples: int, attack_s: float, release_s: float) -> Wave:
    """Return an amplitude that rises from 0 and falls back to it in raised cosines."""
    shape = np.ones(samples, dtype=np.float32)
    rise = min(int(attack_s * RATE), samples // 2)
    fall = min(int(release_s * RATE), samples - rise)
    if rise:
        shape[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    if fall:
        shape[samples - fall :] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(fall) + 1) / fall)).astype(np.float32)
    return shape


def power_of_two(samples: float) -> int:
    """Return the next length that a Fourier transform likes."""
    return 1 << max(int(np.ceil(np.log2(max(samples, 2)))), 1)
