"""Owns composing: from a description and what is fixed to a finished score."""

# ruff: noqa: PLR2004 - dynamics and distances of voices read best where they are used

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.providers.landscape.noise import Dice
from worker.providers.music.accompaniment import Ground, accompany, drum
from worker.providers.music.form import Form, plan
from worker.providers.music.harmony import harmonise
from worker.providers.music.melody import Reach
from worker.providers.music.moods import MOODS, Layer, Mood
from worker.providers.music.orchestra import CENTRES
from worker.providers.music.rhythm import METRES, TICKS
from worker.providers.music.score import Note, Part, Phrase, Score, Span
from worker.providers.music.theme import Manner, Tone, Tunesmith
from worker.providers.music.theory import HOME_KEYS, Scale
from worker.providers.music.vocabulary import read

# How loud a phrase is, by its letter and by how often it was heard.
_DYNAMICS: Final = {"A": (0.78, 0.84, 0.92, 1.0), "B": (0.9, 0.95), "C": (0.86, 0.92)}
_INTRO: Final = 0.86
# All gains of what is under the tune, against the tune.
_UNDER: Final = 1.25
_BRIGHT: Final = frozenset({"major", "lydian", "mixolydian"})
_STANDSTILL_S: Final = 2.7
_SLOWEST: Final = 40.0
_FASTEST: Final = 200.0


@dataclass(frozen=True)
class Wishes:
    """What a client fixed; None leaves it to the words and the lots."""

    description: str
    key: str | None
    mode: str | None
    tempo_bpm: float | None
    duration_s: float


@dataclass(frozen=True)
class Piece:
    """A composition and what was decided for it."""

    score: Score
    form: Form
    mood_name: str
    mood: Mood


def compose(wishes: Wishes, dice: Dice) -> Piece:
    """Compose a piece; equal wishes and dice give equal pieces."""
    reading = read(wishes.description)
    rng = dice.stream("choices")
    lots = rng.random(6).tolist()
    name = reading.mood or "journey"
    mood = _with_asked_players(MOODS[name], reading.instruments)
    mode = wishes.mode or _fitting_mode(mood, reading.mode, lots[0])
    scale = Scale(wishes.key or HOME_KEYS[int(lots[1] * len(HOME_KEYS))], mode)
    metre = METRES[mood.metres[int(lots[2] ** 1.5 * len(mood.metres))]]
    form = plan(
        metre,
        _tempi(mood, reading.pace, wishes.tempo_bpm),
        wishes.duration_s,
        dice.stream("form"),
        slow=mood.pace == "calm" and metre.beats == 4,
    )
    spans = harmonise(scale, form.metre, form.intro, form.phrases, dice.stream("harmony"))
    parts, notes = _Arranger(scale, mood, form, spans, dice).arrange()
    score = Score(scale, form.metre, form.tempo_bpm, form.bars, form.phrases, spans, parts, notes)
    return Piece(score, form, name, mood)


def _with_asked_players(mood: Mood, instruments: Sequence[str]) -> Mood:
    leads = (*instruments, *(lead for lead in mood.leads if lead not in instruments))
    return replace(mood, leads=(leads[0], leads[1]))


def _fitting_mode(mood: Mood, asked: str | None, lot: float) -> str:
    if asked in {"major", "minor"}:
        # Words for bright and dark choose among the modes that the mood likes, if they can.
        bright = asked == "major"
        modes = [mode for mode in mood.modes if (mode in _BRIGHT) == bright] or [asked]
    else:
        modes = [asked] if asked else list(mood.modes)
    # The first of the list more often than the last.
    return modes[int(lot**1.5 * len(modes))]


def _tempi(mood: Mood, pace: str | None, asked: float | None) -> tuple[float, float]:
    if asked is not None:
        return asked, asked
    factor = {"slow": 0.86, "fast": 1.2, None: 1.0}[pace]
    low, high = (min(max(tempo * factor, _SLOWEST), _FASTEST) for tempo in mood.tempi)
    return low, high


class _Arranger:
    """Gives the tune and what is under it to players."""

    def __init__(self, scale: Scale, mood: Mood, form: Form, spans: Sequence[Span], dice: Dice) -> None:
        self._scale, self._mood, self._form, self._spans, self._dice = scale, mood, form, spans, dice
        self._parts: dict[str, Part] = {}

    def arrange(self) -> tuple[dict[str, Part], list[Note]]:
        notes = [*self._tune(), *self._layers()]
        notes = [replace(note, velocity=min(note.velocity * self._dynamic(note.start), 1.0)) for note in notes]
        used = {note.part for note in notes}
        parts = {name: part for name, part in self._parts.items() if name in used}
        return parts, sorted(notes, key=lambda note: (note.start, note.part, note.pitch))

    def _dynamic(self, tick: int) -> float:
        phrase = self._phrase_at(tick)
        if phrase is None:
            return _INTRO if tick < self._form.intro * self._form.metre.bar else 0.92
        levels = _DYNAMICS[phrase.letter]
        return 1.0 if phrase.ending == "final" else levels[min(phrase.visit, len(levels) - 1)]

    def _phrase_at(self, tick: int) -> Phrase | None:
        bar = tick // self._form.metre.bar
        return next((p for p in self._form.phrases if p.start <= bar < p.start + p.bars), None)

    def _tune(self) -> Iterator[Note]:
        first, second = self._mood.leads
        centre = CENTRES[first]
        steps = self._scale.steps(centre - 8, centre + 9)
        home = min(steps, key=lambda step: abs(self._scale.pitch(step) - centre + 1))
        smith = Tunesmith(
            self._scale, self._form.metre, Manner(self._pace(), self._mood.bold), Reach(steps, home), self._dice
        )
        for place, phrase in enumerate(self._form.phrases):
            tones = smith.write(phrase, self._spans)
            last = place == len(self._form.phrases) - 1
            away = phrase.letter in "BC"
            yield from self._sing("tune", second if away else first, tones, 1.0)
            returns = phrase.letter == "A" and phrase.visit >= 1
            if last and len(self._form.phrases) >= 3:
                # Both have the last word.
                yield from self._sing(
                    "descant", second, tones if not self._mood.duet else self._below(tones), 0.45
                )
            elif returns and self._mood.duet:
                yield from self._sing("descant", second, self._below(tones), 0.45)

    def _pace(self) -> str:
        """Return how busy the tune is: in long bars, calm would be a standstill."""
        bar_s = self._form.metre.beats * 60 / self._form.tempo_bpm
        return "flowing" if self._mood.pace == "calm" and bar_s > _STANDSTILL_S else self._mood.pace

    def _sing(self, role: str, instrument: str, tones: Sequence[Tone], gain: float) -> Iterator[Note]:
        part = f"{role} {instrument}"
        self._parts[part] = Part(instrument, gain, -0.08 if role == "tune" else 0.28)
        written, own = CENTRES[self._mood.leads[0]], CENTRES[instrument]
        octaves = round((own - written) / 12)
        metre = self._form.metre
        for tone in tones:
            accent = 0.1 if metre.is_strong(tone.start) else 0.04 if tone.start % TICKS == 0 else 0.0
            length = max(1, round(tone.length * self._mood.touch))
            yield Note(part, tone.start, length, tone.pitch(self._scale) + 12 * octaves, 0.74 + accent)

    def _below(self, tones: Sequence[Tone]) -> list[Tone]:
        """Return a second voice a third below, or a fourth where only that is of the chord."""
        voice: list[Tone] = []
        for tone in tones:
            strong = self._form.metre.is_strong(tone.start) or tone.chord.holds(tone.step)
            downs = [down for down in (2, 3, 4, 5) if not strong or tone.chord.holds(tone.step - down)]
            voice.append(replace(tone, step=tone.step - (downs[0] if downs else 7)))
        return voice

    def _layers(self) -> Iterator[Note]:
        for layers, play in ((self._mood.layers, accompany), (self._mood.drums, drum)):
            for number, layer in enumerate(layers):
                spans = self._from_entry(layer)
                part = f"{layer.pattern} {layer.instrument} {number}"
                self._parts[part] = Part(layer.instrument, layer.gain * _UNDER, layer.pan)
                ground = Ground(self._scale, self._form.metre, part, CENTRES[layer.instrument], spans)
                yield from play(layer.pattern, ground)

    def _from_entry(self, layer: Layer) -> Sequence[Span]:
        phrases = self._form.phrases
        if layer.enters == 0 or not phrases:
            return self._spans
        # Short pieces have everybody in their last two phrases.
        place = max(min(layer.enters - 1, len(phrases) - 2), 0)
        start = phrases[place].start * self._form.metre.bar
        return [span for span in self._spans if span.start >= start]
