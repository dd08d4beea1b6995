"""Owns what goes on under a tune: figures of broken chords, basses, drones and grooves of drums."""

# ruff: noqa: PLR2004 - intervals and velocities read best in the figure that they make

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from worker.providers.music.harmony import root, voice
from worker.providers.music.rhythm import TICKS, Metre
from worker.providers.music.score import Note, Span
from worker.providers.music.theory import Scale

# Strokes of a drum, as pitches of its part.
DUM: Final = 0
TAK: Final = 1


@dataclass(frozen=True)
class Ground:
    """What a figure is made over.

    Attributes:
        part: who plays it.
        centre: the pitch about which the instrument lies.
        spans: the chords; the last one is the final chord.
    """

    scale: Scale
    metre: Metre
    part: str
    centre: int
    spans: Sequence[Span]


_Figure = Callable[[Ground], Iterator[Note]]


def accompany(pattern: str, ground: Ground) -> list[Note]:
    """Return the notes of a figure over its chords."""
    return list(_FIGURES[pattern](ground))


def drum(groove: str, ground: Ground) -> list[Note]:
    """Return the strokes of a groove, with one more at the final chord."""
    *bars, last = ground.spans
    pattern = _GROOVES[groove].get(ground.metre.name)
    if pattern is None:
        return []
    notes: list[Note] = []
    step = ground.metre.bar // len(pattern)
    start, end = (bars[0].start, last.start) if bars else (last.start, last.start)
    for bar in range(start, end, ground.metre.bar):
        for place, stroke in enumerate(pattern):
            if stroke in _STROKES:
                pitch, velocity = _STROKES[stroke]
                notes.append(Note(ground.part, bar + place * step, step, pitch, velocity))
    return [*notes, Note(ground.part, last.start, TICKS, DUM, 0.8)]


def _voiced(ground: Ground) -> Iterator[tuple[Span, list[int], bool]]:
    """Yield each span with its chord in a position near the one before, and whether it is the final one."""
    before: list[int] = []
    for place, span in enumerate(ground.spans):
        before = voice(ground.scale, span.chord, ground.centre, before)
        yield span, before, place == len(ground.spans) - 1


def _pad(ground: Ground) -> Iterator[Note]:
    for span, stack, _ in _voiced(ground):
        for pitch in stack:
            yield Note(ground.part, span.start, span.length, pitch, 0.62)


def _root(ground: Ground) -> Iterator[Note]:
    for span in ground.spans:
        yield Note(ground.part, span.start, span.length, root(ground.scale, span.chord, ground.centre), 0.7)


def _drone(ground: Ground) -> Iterator[Note]:
    """Hold tonic and fifth; where a chord lies a semitone beside one of them, that one gives way."""
    scale = ground.scale
    tonic = root(scale, scale.chord(0), ground.centre)
    for pitch in (tonic, tonic + 7):
        start: int | None = None
        for span in ground.spans:
            tones = {tone % 12 for tone in scale.tones(span.chord, 60, 71)}
            clear = tones.isdisjoint({(pitch - 1) % 12, (pitch + 1) % 12})
            # Bowed anew every four bars, as an arm does.
            if start is not None and (not clear or span.start - start >= 4 * ground.metre.bar):
                yield Note(ground.part, start, span.start - start, pitch, 0.6)
                start = None
            if clear and start is None:
                start = span.start
        if start is not None:
            end = ground.spans[-1].start + ground.spans[-1].length
            yield Note(ground.part, start, end - start, pitch, 0.6)


def _arpeggio(ground: Ground) -> Iterator[Note]:
    """Rise from the bass through the chord and fall back."""
    yield from _broken_chord(ground, (0, 1, 2, 3, 2, 1), gap=1)


def _broken(ground: Ground) -> Iterator[Note]:
    """Spread the chord slowly, with air between."""
    yield from _broken_chord(ground, (0, 2, 3, 1), gap=2)


def _swell(ground: Ground) -> Iterator[Note]:
    """Roll up and down like a wave, loudest at its crest."""
    yield from _broken_chord(ground, (0, 1, 2, 3, 2, 1), gap=1, crest=0.24)


def _broken_chord(ground: Ground, order: Sequence[int], gap: int, crest: float = 0.0) -> Iterator[Note]:
    unit = ground.metre.unit * gap
    for span, stack, last in _voiced(ground):
        bass = root(ground.scale, span.chord, ground.centre - 13)
        tones = [bass, *stack]
        if last:
            yield from _rolled(ground, span, [*tones, stack[0] + 12], 3)
            continue
        for place in range(span.length // unit):
            tone = tones[order[place % len(order)]]
            start = span.start + place * unit
            first = 0.14 if place == 0 else 0.0
            rise = crest * (order[place % len(order)] / 3)
            # Strings ring on until the chord changes.
            yield Note(ground.part, start, span.start + span.length - start, tone, 0.5 + first + rise)


def _rolled(ground: Ground, span: Span, tones: Sequence[int], spread: int) -> Iterator[Note]:
    for place, pitch in enumerate(tones):
        start = span.start + place * spread
        yield Note(ground.part, start, span.start + span.length - start, pitch, 0.62 - 0.03 * place)


def _strum(ground: Ground) -> Iterator[Note]:
    """Strum the weak parts of the bar; the bass has the strong ones."""
    metre = ground.metre
    for span, stack, last in _voiced(ground):
        if last:
            yield from _rolled(ground, span, stack, 1)
            continue
        for start in range(span.start, span.start + span.length, TICKS):
            weak = start + 2 * metre.unit if metre.division == 3 else start + metre.unit
            for at, velocity in ((start, 0.34), (weak, 0.58)):
                # A hand takes a sixtieth of a second from string to string; a tick is close to that.
                for place, pitch in enumerate(stack):
                    late = place if at != start else 0
                    yield Note(ground.part, at + late, metre.unit - late, pitch, velocity)


def _stride(ground: Ground) -> Iterator[Note]:
    """Step from root to fifth, and lead into the next chord by a step."""
    metre, scale = ground.metre, ground.scale
    for span, after in pairwise(ground.spans):
        low = root(scale, span.chord, ground.centre)
        tones = scale.tones(span.chord, low - 8, low + 8)
        fifth = min((tone for tone in tones if (tone - low) % 12 == 7), key=lambda tone: abs(tone - ground.centre))
        pitches = [low, fifth]
        beats = [at for at in range(0, span.length, TICKS) if metre.is_strong(span.start + at)] or [0]
        if metre.beats == 3:
            beats = [0, 2 * TICKS] if span.length >= 2 * TICKS else [0]
        for place, at in enumerate(beats):
            end = beats[place + 1] if place + 1 < len(beats) else span.length
            pitch = pitches[place % 2]
            aim = root(scale, after.chord, ground.centre)
            lead = _leading(ground, span, pitch, aim)
            if place == len(beats) - 1 and end - at >= TICKS and lead is not None and after.chord != span.chord:
                cut = metre.unit if end - at == TICKS else TICKS
                yield Note(ground.part, span.start + at, end - at - cut, pitch, 0.72 - 0.1 * (place % 2))
                yield Note(ground.part, span.start + end - cut, cut, lead, 0.52)
            else:
                yield Note(ground.part, span.start + at, end - at, pitch, 0.72 - 0.1 * (place % 2))
    last = ground.spans[-1]
    yield Note(ground.part, last.start, last.length, root(scale, last.chord, ground.centre), 0.75)


def _leading(ground: Ground, span: Span, pitch: int, aim: int) -> int | None:
    """Return the scale's tone that lies between a bass note and the next one, next to the latter."""
    raised = span.chord.raised
    near = [
        tone
        for step in range(-28, 28)
        if abs((tone := ground.scale.pitch(step, raised=raised)) - aim) in {1, 2} and tone != pitch
    ]
    between = [tone for tone in near if min(pitch, aim) < tone < max(pitch, aim)]
    return between[0] if between else None


def _pulse(ground: Ground) -> Iterator[Note]:
    """Drive on in halves of a beat: the root, with the fifth above on the accents."""
    for span in ground.spans[:-1]:
        low = root(ground.scale, span.chord, ground.centre)
        for at in range(0, span.length, TICKS // 2):
            accent = at % (2 * TICKS) == 0
            # Short short long: the gallop that drives on.
            if at % (2 * TICKS) == TICKS // 2:
                for half in (0, TICKS // 4):
                    yield Note(ground.part, span.start + at + half, TICKS // 4, low, 0.5)
                continue
            yield Note(ground.part, span.start + at, TICKS // 2 - 1, low, 0.82 if accent else 0.6)
            if accent:
                yield Note(ground.part, span.start + at, TICKS // 2 - 1, low + 7, 0.6)
    last = ground.spans[-1]
    low = root(ground.scale, last.chord, ground.centre)
    for pitch in (low, low + 7, low + 12):
        yield Note(ground.part, last.start, last.length, pitch, 0.8)


def _toll(ground: Ground) -> Iterator[Note]:
    """Strike the root every fourth chord, and let it ring as long as the chord."""
    for place, span in enumerate(ground.spans):
        if place % 4 == 0 or place == len(ground.spans) - 1:
            end = next((s.start for s in ground.spans[place:] if s.chord != span.chord), span.start + span.length)
            yield Note(
                ground.part, span.start, end - span.start, root(ground.scale, span.chord, ground.centre), 0.66
            )


def _sparkle(ground: Ground) -> Iterator[Note]:
    """Let a few high tones of the chord fall after its beginning."""
    for bar, (span, stack, last) in enumerate(_voiced(ground)):
        if last:
            yield from _rolled(ground, span, [*stack, stack[0] + 12], 4)
        elif bar % 2:
            for place, pitch in enumerate(reversed([*stack, stack[0] + 12])):
                start = span.start + span.length // 2 + place * TICKS // 4
                length = min(TICKS * 2, span.start + span.length - start)
                if length > 0:
                    yield Note(ground.part, start, length, pitch, 0.5 - 0.05 * place)


_FIGURES: Final[Mapping[str, _Figure]] = MappingProxyType(
    {
        "pad": _pad,
        "root": _root,
        "drone": _drone,
        "arpeggio": _arpeggio,
        "broken": _broken,
        "swell": _swell,
        "strum": _strum,
        "stride": _stride,
        "pulse": _pulse,
        "toll": _toll,
        "sparkle": _sparkle,
    }
)
_STROKES: Final[Mapping[str, tuple[int, float]]] = MappingProxyType(
    {"D": (DUM, 0.9), "d": (DUM, 0.55), "T": (TAK, 0.8), "t": (TAK, 0.42)}
)
# Groove → metre → a bar in equal parts.
_GROOVES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "dance": {"6/8": "D.tT.t", "4/4": "D.t.T.tdD.t.T.t.", "3/4": "D...t.t.T.t."},
        "jingle": {"6/8": "t.tTtt", "4/4": "t.T.t.Tt", "3/4": "..T.T."},
        "march": {"4/4": "D...d.D.D...d.dd", "3/4": "D...d.d.d.d.", "6/8": "D..d.d"},
        "rattle": {"4/4": "..t.T.tt..t.T.t.", "3/4": "..t.T.t.T.tt", "6/8": "..tT.t"},
        "heartbeat": {"4/4": "Dd......", "3/4": "Dd....", "6/8": "D....."},
        "waves": {"6/8": "d.tD.t"},
        "caravan": {"4/4": "D.tT.tD.T.t.T.tt", "3/4": "D.tT.tT.t.T.", "6/8": "D.tD.t"},
        "walk": {"4/4": "D...t...d.D.t...", "3/4": "D...t...t...", "6/8": "D..t.t"},
    }
)
