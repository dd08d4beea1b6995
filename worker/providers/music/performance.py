"""Owns the performance: people play a score, a little early or late, and the desk mixes them."""

from collections.abc import Callable
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Dice
from worker.providers.music.form import LEAD_IN_S, ring_s
from worker.providers.music.moods import Room
from worker.providers.music.orchestra import BELLS, DRUMS, ENSEMBLES, SOLOISTS, STRINGS, TRIMS
from worker.providers.music.room import echo, master, spread
from worker.providers.music.score import Note, Part, Score
from worker.providers.music.sound import RATE, Instrument, Wave
from worker.providers.music.theory import frequency

# Standard deviation and limit of how early or late a hand is, in seconds.
_LOOSE_S: Final = 0.006
_LIMIT_S: Final = 0.015
# Strings and drums are played once for each shade of loudness, then heard again; a long ring is worth its own.
_SHADES: Final = 7
_RING_S: Final = 2.4
_STROKES: Final = 3
# Who cannot ring on when the final chord has been struck: they end it with their breath.
_BREATHING: Final = frozenset({*SOLOISTS, *ENSEMBLES})
_FINAL_BREATH: Final = 0.72
# Between two reports, so that a stopped piece does not play on for long.
_NOTES_A_REPORT: Final = 24
# A room takes less of what is low: rumble would blur the bass.
_SENDS: Final = {"bass": 0.35, "war drum": 0.5, "low strings": 0.6, "frame drum": 0.7}


class Stage:
    """Plays notes into a mix.

    Args:
        score: what is played.
        duration_s: of the file.
        dice: lots of hands and rooms.
    """

    def __init__(self, score: Score, duration_s: float, dice: Dice) -> None:
        self._score, self._dice = score, dice
        self._duration_s = duration_s
        samples = round(duration_s * RATE)
        self._dry = np.zeros((2, samples), dtype=np.float32)
        self._send = np.zeros((2, samples), dtype=np.float32)
        self._kept: dict[tuple[str, int, int], Wave] = {}

    def perform(self, room: Room, report: Callable[[float, str], None]) -> Wave:
        """Return the finished piece, 2 by samples in -1 to 1."""
        played, total = 0, max(len(self._score.notes), 1)
        for name, part in self._score.parts.items():
            rng = self._dice.stream(f"hands {name}")
            self._kept.clear()
            for note in (note for note in self._score.notes if note.part == name):
                if played % _NOTES_A_REPORT == 0:
                    report(0.05 + 0.75 * played / total, part.instrument)
                self._play(note, part, rng)
                played += 1
        self._kept.clear()
        report(0.82, "echo")
        echo(self._send, room.echo_s, self._dice.stream("room"))
        dry, wet = self._dry, self._send
        wet *= np.float32(room.share * 1.6)
        dry += wet
        report(0.92, "mastering")
        master(dry, min(ring_s(self._duration_s) * 0.6, 2.0))
        return dry

    def _play(self, note: Note, part: Part, rng: np.random.Generator) -> None:
        late = float(np.clip(rng.normal(0, _LOOSE_S), -_LIMIT_S, _LIMIT_S))
        start_s = max(LEAD_IN_S + self._score.seconds(note.start) + late, 0.0)
        velocity = float(np.clip(note.velocity * (1 + rng.normal(0, 0.05)), 0.05, 1.0))
        if note.start < self._score.last_bar:
            seconds = max(LEAD_IN_S + self._score.seconds(note.end) - start_s, 0.05)
            self._put(self._sound(note, part, seconds, velocity, rng), part, start_s)
            return
        # The final chord lasts until the file ends.
        rest = max(self._duration_s - start_s, 0.05)
        if part.instrument in _BREATHING:
            wave = self._sound(note, part, rest * _FINAL_BREATH, velocity, rng)
            self._put(wave * np.linspace(1, 0.12, len(wave), dtype=np.float32), part, start_s)
        else:
            self._put(self._sound(note, part, rest, velocity, rng), part, start_s)

    def _sound(self, note: Note, part: Part, seconds: float, velocity: float, rng: np.random.Generator) -> Wave:
        name, pitch = part.instrument, note.pitch
        shade = max(round(velocity * _SHADES), 1)
        if name in DRUMS:
            # No two strokes are alike, but three are enough to hide it.
            key = (name, pitch * _STROKES + int(rng.integers(0, _STROKES)), shade)
            return self._once(key, lambda: DRUMS[name].stroke(pitch, shade / _SHADES, rng))
        hz = frequency(pitch)
        if name in ENSEMBLES:
            loop = self._once((name, pitch, 0), lambda: ENSEMBLES[name].loop(hz, rng))
            return ENSEMBLES[name].shape(loop, seconds, velocity, int(rng.integers(0, len(loop))))
        if name in STRINGS and seconds <= _RING_S:
            key = (name, pitch, shade)
            ringing = self._once(key, lambda: STRINGS[name].ring(hz, _RING_S, shade / _SHADES, rng))
            return STRINGS[name].damp(ringing, seconds)
        player: Instrument = STRINGS.get(name) or SOLOISTS.get(name) or BELLS[name]
        return player.play(hz, seconds, velocity, rng)

    def _once(self, key: tuple[str, int, int], make: Callable[[], Wave]) -> Wave:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def _put(self, wave: Wave, part: Part, start_s: float) -> None:
        at = round(start_s * RATE)
        wave = wave[: max(self._dry.shape[1] - at, 0)]
        if not len(wave):
            # The last strings of a slow chord, after a very short piece.
            return
        trim = TRIMS.get(part.instrument, 1.0)
        sent = _SENDS.get(part.instrument, 1.0)
        for side, gain in enumerate(spread(part.pan)):
            heard = wave * np.float32(gain * part.gain * trim)
            self._dry[side, at : at + len(wave)] += heard
            self._send[side, at : at + len(wave)] += heard * np.float32(sent)
