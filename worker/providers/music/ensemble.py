"""Owns many who play as one: strings, choir, organ and drones, by Paul Nasca's PADsynth.

Each harmonic is smeared over a band as wide as players differ, gets random phases, and one inverse transform
turns it into a loop without a seam that never seems to repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.music.sound import RATE, Wave, envelope, levelled

_LOOP: Final = 1 << 17
_TOP_HZ: Final = 11_000.0


@dataclass(frozen=True)
class Ensemble:
    """A section, a choir or a drone.

    Attributes:
        falloff: harmonic n has the amplitude n to the power of minus this.
        width_cents: how far the players are apart.
        formants: resonances as (Hz, height, width in Hz).
        attack_s, release_s: how a note begins and ends.
        floor: share of the spectrum that the formants do not shape.
        odd: how much stronger odd harmonics are, as in a stopped pipe.
    """

    falloff: float
    width_cents: float
    formants: Sequence[tuple[float, float, float]]
    attack_s: float
    release_s: float
    floor: float = 0.4
    odd: float = 1.0

    def loop(self, hz: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return the endless sound of a pitch, of level 1."""
        spectrum = np.zeros(_LOOP // 2 + 1)
        resolution = RATE / _LOOP
        spread = 2 ** (self.width_cents / 1200) - 1
        for number in range(1, max(int(_TOP_HZ / hz), 1) + 1):
            at = hz * number
            width = max(at * spread, resolution * 0.6)
            low = max(int((at - 4 * width) / resolution), 1)
            high = min(int((at + 4 * width) / resolution) + 2, len(spectrum))
            offset = (np.arange(low, high) * resolution - at) / width
            box = self.floor + sum(height / (1 + ((at - peak) / w) ** 2) for peak, height, w in self.formants)
            strength = number**-self.falloff * box * (self.odd if number % 2 else 1.0)
            # Energy, not height, is what a band keeps when it widens.
            spectrum[low:high] += strength * np.exp(-offset * offset / 2) / np.sqrt(width)
        turns = np.exp(2j * np.pi * rng.random(len(spectrum)))
        wave = np.fft.irfft(spectrum * turns, _LOOP)
        return np.asarray(wave / wave.std(), dtype=np.float32)

    def shape(self, loop: NDArray[np.float32], seconds: float, velocity: float, start: int) -> Wave:
        """Return one note cut from a loop, from sample `start` of it on."""
        samples = int((seconds + self.release_s) * RATE)
        attack = min(self.attack_s, seconds * 0.5)
        rolled = np.roll(loop, -start)
        wave = rolled[:samples] if samples <= _LOOP else np.resize(rolled, samples)
        return levelled(wave, velocity) * envelope(samples, attack, self.release_s)

    def play(self, hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> Wave:
        """Return one note."""
        return self.shape(self.loop(hz, rng), seconds, velocity, int(rng.integers(0, _LOOP)))
