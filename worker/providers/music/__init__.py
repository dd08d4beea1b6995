"""Owns music: from a description to a short piece in WAV, offline and always the same.

Words choose mood, mode, pace and players; a form is planned that ends in time; chords are drawn, a tune is
written over them and figures under it; instruments made of numbers play it in a room. The modules of this
package each own one of these.
"""

import hashlib
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Dice
from worker.providers.landscape.vocabulary import canonical
from worker.providers.music.composer import Piece, Wishes, compose
from worker.providers.music.performance import Stage
from worker.providers.music.sound import RATE, Wave
from worker.providers.music.theory import MODES, pitch_class

__all__ = ["MusicSpec", "Reporter", "play", "write_score"]

Reporter = Callable[[float, str], None]

_FULL_SCALE: Final = 32_767


@dataclass(frozen=True)
class MusicSpec:
    """What to play.

    Attributes:
        description: a sentence; its words choose mood and players, all of it chooses the notes.
        key: such as `D`, `F#` or `Bb`; None leaves it open, like the other fields that may be None.
        mode: one of `MODES`.
        tempo_bpm: beats a minute, 40 to 200; a beat of 6/8 is a dotted quarter.
        duration_s: exact length of the file, 4 to 120 seconds.
        seed: for another piece of the same description.

    Raises:
        ValueError: a value is out of range.
    """

    description: str
    key: str | None = None
    mode: str | None = None
    tempo_bpm: float | None = None
    duration_s: float = 30.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.key is not None:
            pitch_class(self.key)
        if self.mode is not None and self.mode not in MODES:
            raise ValueError(f"{self.mode!r} is not one of the modes {', '.join(MODES)}")
        if self.tempo_bpm is not None and not 40 <= self.tempo_bpm <= 200:  # noqa: PLR2004
            raise ValueError(f"a tempo of {self.tempo_bpm} is outside 40 to 200")
        if not 4 <= self.duration_s <= 120:  # noqa: PLR2004
            raise ValueError(f"a duration of {self.duration_s} s is outside 4 to 120")

    @property
    def seed_used(self) -> int:
        """The seed, or the 32-bit number that the description stands for."""
        if self.seed is not None:
            return self.seed
        digest = hashlib.sha256(canonical(self.description).encode()).digest()
        return int.from_bytes(digest[:4], "big")

    @property
    def dice(self) -> Dice:
        """The lots of this piece."""
        return Dice(canonical(self.description), self.seed_used)


def write_score(spec: MusicSpec) -> Piece:
    """Compose without playing."""
    wishes = Wishes(canonical(spec.description), spec.key, spec.mode, spec.tempo_bpm, spec.duration_s)
    return compose(wishes, spec.dice)


def play(spec: MusicSpec, path: Path, report: Reporter) -> dict[str, object]:
    """Write a piece of music to `path` as WAV (16 bit, 44.1 kHz, stereo); equal specs give equal bytes.

    Args:
        spec: what to play.
        path: is overwritten.
        report: told the part done (0 to 1, rising) and what comes next; what it raises stops the work.

    Returns:
        What is worth knowing about the piece.
    """
    report(0.0, "composing")
    piece = write_score(spec)
    mix = Stage(piece.score, spec.duration_s, spec.dice).perform(piece.mood.room, report)
    report(0.97, "writing")
    _write(mix, path)
    score = piece.score
    facts: dict[str, object] = {
        "key": score.scale.key,
        "mode": score.scale.mode,
        "tempo_bpm": score.tempo_bpm,
        "metre": score.metre.name,
        "mood": piece.mood_name,
        "form": piece.form.text,
        "bars": score.bars,
        "instruments": sorted({part.instrument for part in score.parts.values()}),
        "sample_rate": RATE,
        "channels": 2,
        "codec": "pcm_s16le",
        "duration_seconds": mix.shape[1] / RATE,
        "seed": spec.seed_used,
    }
    report(1.0, "finished")
    return facts


def _write(mix: Wave, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        # A second at a time: the whole piece again as integers would be held in memory.
        for start in range(0, mix.shape[1], RATE):
            part = mix[:, start : start + RATE].T * np.float32(_FULL_SCALE)
            file.writeframesraw(np.round(part).astype("<i2").tobytes())
