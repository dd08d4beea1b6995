"""Owns what is struck: bells and chimes as sums of their partials, drums as membranes with a stick's noise."""

# ruff: noqa: PLR2004 - ratios of partials and times of decay, as measured on real ones

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.music.sound import RATE, Wave, envelope, levelled

# A circular membrane's modes over its lowest.
_MEMBRANE: Final = (1.0, 1.594, 2.136, 2.296, 2.653, 2.918)


@dataclass(frozen=True)
class Bell:
    """A bell or a chime.

    Attributes:
        partials: (frequency over the pitch, amplitude, seconds to fall by 60 dB) at a pitch of 440 Hz.
        strike: share of the mallet's click.
    """

    partials: Sequence[tuple[float, float, float]]
    strike: float

    def play(self, hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> Wave:
        """Return one note; it rings as long as it is let."""
        slower = (440 / hz) ** 0.5
        ring = min(seconds, max(decay for _, _, decay in self.partials) * slower)
        samples = int(ring * RATE)
        t = np.arange(samples) / RATE
        wave = np.zeros(samples)
        for ratio, amplitude, decay in self.partials:
            if ratio * hz > 14_000:
                continue
            force = amplitude * velocity ** (0.25 * (ratio - 1))
            wave += force * np.exp(-6.9 * t / (decay * slower)) * np.sin(2 * np.pi * ratio * hz * t)
        click = min(samples, int(0.012 * RATE))
        wave[:click] += self.strike * rng.standard_normal(click) * np.exp(-np.arange(click) / (0.002 * RATE))
        return levelled(wave * envelope(samples, 0.0008, min(0.4, ring * 0.3)), velocity)


@dataclass(frozen=True)
class Drum:
    """A drum with two strokes: 0 is the open middle, 1 the rim.

    Attributes:
        hz: of its lowest mode.
        ring_s: seconds in which the open stroke falls by 60 dB.
        drop: by how much its pitch sinks after the stroke.
        rim_hz: about which the rim's noise lies.
    """

    hz: float
    ring_s: float
    drop: float
    rim_hz: float

    def stroke(self, which: int, velocity: float, rng: np.random.Generator) -> Wave:
        """Return one stroke."""
        open_stroke = which == 0
        ring = self.ring_s if open_stroke else self.ring_s * 0.3
        samples = int(ring * RATE)
        t = np.arange(samples) / RATE
        base = self.hz * (1.0 if open_stroke else 2.6)
        bend = 1 + self.drop * np.exp(-t / 0.03) * velocity
        turn = np.cumsum(base * bend) / RATE
        wave = np.zeros(samples)
        for place, ratio in enumerate(_MEMBRANE):
            share = (
                (1.0, 0.45, 0.3, 0.2, 0.14, 0.1)[place] if open_stroke else (0.5, 0.7, 0.8, 0.6, 0.5, 0.4)[place]
            )
            fade = np.exp(-6.9 * t / ring * (1 + 0.9 * place))
            wave += share * fade * np.sin(2 * np.pi * ratio * turn)
        centre, width = (self.rim_hz * 0.3, 1.2) if open_stroke else (self.rim_hz, 0.8)
        hit = _coloured(samples, centre, width, rng) * np.exp(-t / (0.012 if open_stroke else 0.022))
        wave += hit * (0.35 if open_stroke else 0.55)
        peak = float(np.abs(wave).max())
        level = 0.42 if open_stroke else 0.26
        return np.asarray(
            wave / peak * level * velocity**1.4 * envelope(samples, 0.0015, ring * 0.4), dtype=np.float32
        )


@dataclass(frozen=True)
class Tambourine:
    """Jingles: a shake of small plates, each stroke a flurry of them."""

    def stroke(self, which: int, velocity: float, rng: np.random.Generator) -> Wave:
        """Return one stroke; 1 is the accent of the hand's heel."""
        ring = 0.32
        samples = int(ring * RATE)
        t = np.arange(samples) / RATE
        shake = np.zeros(samples)
        for late in (0.0, 0.011, 0.026, 0.043):
            at = late * (0.8 + 0.4 * float(rng.random()))
            shake += (t >= at) * np.exp(-np.maximum(t - at, 0) / 0.045) * float(rng.uniform(0.4, 1))
        wave = _coloured(samples, 8200, 0.5, rng) * shake
        for hz in (5320.0, 6910.0, 8830.0, 10_400.0):
            wave += 0.4 * shake * np.sin(2 * np.pi * hz * (1 + 0.01 * float(rng.standard_normal())) * t)
        peak = float(np.abs(wave).max())
        level = 0.3 + 0.06 * which
        shape = envelope(samples, 0.004, 0.2)
        return np.asarray(wave / peak * level * velocity**1.4 * shape, dtype=np.float32)


def _coloured(samples: int, centre: float, octaves: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise about a frequency, a bell curve so many octaves wide."""
    f = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 1)
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * np.exp(-((np.log2(f / centre) / octaves) ** 2))
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / max(float(np.abs(noise).max()), 1e-9))
