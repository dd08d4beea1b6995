"""Owns players of one line: flute, fiddle and horn, each a wavetable with vibrato, swell and breath."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.music.sound import RATE, Wave, envelope, levelled

_TABLE: Final = 2048
_NOISE: Final = 1 << 16
_TOP_HZ: Final = 12_000.0


@dataclass(frozen=True)
class Soloist:
    """A player of one line.

    Attributes:
        partials: amplitude of each harmonic when played softly.
        bright: how much the upper harmonics grow with force: each is multiplied by its number to this power.
        formants: resonances as (Hz, height, width in Hz).
        attack_s, release_s: how the note begins and ends.
        vibrato_hz, vibrato_cents: speed and depth; it sets in after a third of a second.
        breath: share of noise beside the tone.
        scoop_cents: how far below its pitch a note begins.
    """

    partials: Sequence[float]
    bright: float
    formants: Sequence[tuple[float, float, float]]
    attack_s: float
    release_s: float
    vibrato_hz: float
    vibrato_cents: float
    breath: float
    scoop_cents: float

    def play(self, hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> Wave:
        """Return one note."""
        samples = int((seconds + self.release_s) * RATE)
        t = np.arange(samples) / RATE
        speed = self.vibrato_hz * (1 + 0.06 * float(rng.standard_normal()))
        onset = np.clip((t - 0.22) / 0.35, 0, 1)
        swing = np.sin(2 * np.pi * speed * (t - 0.22)) * onset
        cents = self.vibrato_cents * swing - self.scoop_cents * np.exp(-t / 0.035)
        phase = np.cumsum(hz / RATE * np.exp2(cents / 1200))
        shape = envelope(samples, self.attack_s, self.release_s)
        # A long note grows a little, then sinks; force brings out the upper partials.
        arc = 0.86 + 0.14 * np.sin(np.pi * np.clip(t / max(seconds, 0.2), 0, 1))
        force = np.clip(velocity * shape * arc * (1 + 0.12 * swing), 0, 1)
        soft, loud = self._tables(hz)
        tone = _look_up(soft, phase) * (1 - force) + _look_up(loud, phase) * force
        start = int(rng.integers(0, _NOISE))
        hiss = np.resize(np.roll(_breath_noise(), -start), samples)
        chiff = 1 + 2.2 * np.exp(-t / 0.045)
        air = hiss * (self.breath * chiff * float(np.sqrt(np.mean(tone * tone))))
        return levelled((tone + air) * shape * arc * (1 + 0.07 * swing), velocity)

    def _tables(self, hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        number = np.arange(1, min(len(self.partials), int(_TOP_HZ / hz)) + 1)
        amplitude = np.asarray(self.partials[: len(number)])
        at = number * hz
        box = 0.5 + sum(height / (1 + ((at - peak) / width) ** 2) for peak, height, width in self.formants)
        tables = []
        for power in (0.0, self.bright):
            spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex128)
            # Phases by the number's square keep the crest low (Schroeder).
            turn = np.exp(-1j * np.pi * number * number / max(len(number), 1))
            spectrum[1 : len(number) + 1] = amplitude * number**power * box * turn
            table = np.fft.irfft(spectrum, _TABLE)
            table /= np.sqrt(np.mean(table * table))
            tables.append(np.append(table, table[0]))
        return tables[0], tables[1]


def _look_up(table: NDArray[np.float64], phase: NDArray[np.float64]) -> NDArray[np.float64]:
    place = (phase % 1.0) * _TABLE
    index = place.astype(np.intp)
    low = table[index]
    return np.asarray(low + (table[index + 1] - low) * (place - index))


@cache
def _breath_noise() -> NDArray[np.float64]:
    """Return a loop of air: noise about 2 kHz, falling off on both sides."""
    rng = np.random.Generator(np.random.PCG64(11))
    f = np.fft.rfftfreq(_NOISE, 1 / RATE)
    spectrum = np.fft.rfft(rng.standard_normal(_NOISE)) * (f / 1400) ** 2 / (1 + (f / 1900) ** 4)
    noise = np.fft.irfft(spectrum, _NOISE)
    return np.asarray(noise / noise.std())
