"""Owns plucked strings: Karplus and Strong's string, solved in the frequency domain.

A string is a delay of one period whose output, a little duller, is fed back. As a filter this is
X / (1 - G·z^-P), which a Fourier transform evaluates at once: the period P need not be whole, so every pitch is
exact, and the damping G may be any curve. The transform repeats in time; moving off the unit circle (z = r·e^jω,
undone by r^n afterwards) makes that repetition inaudible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.music.sound import RATE, Wave, envelope, levelled, power_of_two

# The transform's repetition is weaker than the sound by this.
_GUARD: Final = 1e4
_TOP_HZ: Final = 15_000.0
# How long a finger takes to leave the string.
_FINGER_S: Final = 0.0012


@dataclass(frozen=True)
class PluckedString:
    """A lute, a harp or a plucked bass.

    Attributes:
        ring_s: seconds until an A of 220 Hz has fallen by 60 dB.
        dulling: how much faster high partials fade.
        place: where it is plucked, as part of its length.
        softness_hz: how dull the finger is: where the pluck's spectrum begins to fall.
        noise: share of the finger's noise in the pluck.
        body: resonances as (Hz, height, width in Hz).
        release_s: how long a damped string still sounds.
    """

    ring_s: float
    dulling: float
    place: float
    softness_hz: float
    noise: float
    body: Sequence[tuple[float, float, float]]
    release_s: float = 0.12

    def play(self, hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> Wave:
        """Return one note."""
        return self.damp(self.ring(hz, seconds, velocity, rng), seconds)

    def damp(self, ringing: Wave, seconds: float) -> Wave:
        """Return the string damped after a while; one that rings longer can be damped again and again."""
        wave = ringing[: int((seconds + self.release_s) * RATE)]
        return wave * envelope(len(wave), 0, self.release_s)

    def ring(self, hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> Wave:
        """Return the plucked string that nobody damps, so long that it can be damped after `seconds`."""
        samples = int((seconds + self.release_s) * RATE)
        size = power_of_two(samples)
        period = RATE / hz
        bins = int(_TOP_HZ * size / RATE)
        f = np.arange(bins, dtype=np.float64) * (RATE / size)
        radius = np.log(_GUARD) / size
        # z to the power of minus a sample.
        delay = -(2j * np.pi / RATE * f + radius)

        burst = max(int(period), 8)
        noise = rng.standard_normal(burst) * np.hanning(burst) * np.exp(-radius * np.arange(burst))
        noise *= self.noise / np.sqrt(burst)
        corner = self.softness_hz * (0.55 + 0.75 * velocity) + hz
        finger = 0.5 + 0.5 * np.cos(np.pi / _TOP_HZ * f)
        finger /= 1 + (f / corner) ** 2
        # Nothing below the string's own pitch: the box would only thump.
        finger /= 1 + (0.6 * hz / np.maximum(f, 1)) ** 6
        pluck = (1 - np.exp(delay * (period * self.place))) * (1 - self.noise) + np.fft.rfft(noise, size)[:bins]
        loss = 6.9 / self.ring_s * np.sqrt(hz / 220) + self.dulling * (f / 1000) ** 2
        spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
        spectrum[:bins] = pluck / (1 - np.exp(delay * period - loss / hz)) * (finger * self._box(f))
        wave = np.fft.irfft(spectrum, size)[:samples] * np.exp(radius * np.arange(samples))
        return levelled(wave * envelope(samples, _FINGER_S, 0), velocity)

    def _box(self, f: NDArray[np.float64]) -> NDArray[np.float64]:
        box = np.full_like(f, 0.35)
        for at, height, width in self.body:
            box += height / (1 + ((f - at) / width) ** 2)
        return box
