"""Owns moods: for each, the modes, pace, players and room that make it what it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Layer:
    """Something under the tune.

    Attributes:
        pattern: a figure of `accompaniment`.
        instrument: who plays it.
        gain: loudness against a melody's 1.
        pan: -1 (left) to 1 (right).
        enters: 0 with the intro, 1 with the first phrase, 2 with the second, and so on; the last two phrases
            have everybody.
    """

    pattern: str
    instrument: str
    gain: float
    pan: float = 0.0
    enters: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """Where it sounds: seconds until the echo has fallen by 60 dB, and its share."""

    echo_s: float
    share: float


@dataclass(frozen=True)
class Mood:
    """How a piece feels.

    Attributes:
        modes: that fit, best first.
        tempi: lowest and highest beats a minute.
        metres: that fit.
        pace: how busy the tune is: calm, flowing or lively.
        leads: who plays the tune first, and who takes it over.
        duet: whether the second voice joins in thirds when a theme returns.
        layers: what is under the tune.
        drums: layers of percussion; `pattern` names a groove.
        bold: whether the tune strides in leaps, as fanfares do.
        touch: how much of its written length a note of the tune sounds.
    """

    modes: Sequence[str]
    tempi: tuple[int, int]
    metres: Sequence[str]
    pace: str
    leads: tuple[str, str]
    layers: Sequence[Layer]
    room: Room
    drums: Sequence[Layer] = ()
    duet: bool = False
    bold: bool = False
    touch: float = 0.95


MOODS: Final[Mapping[str, Mood]] = MappingProxyType(
    {
        "tavern": Mood(
            modes=("mixolydian", "major", "dorian"),
            tempi=(96, 120),
            metres=("6/8", "4/4"),
            pace="lively",
            leads=("fiddle", "flute"),
            layers=(
                Layer("strum", "lute", 0.5, -0.35),
                Layer("stride", "bass", 0.62),
                Layer("drone", "hurdy-gurdy", 0.16, 0.3, 2),
            ),
            drums=(Layer("dance", "frame drum", 0.5, 0.15, 1), Layer("jingle", "tambourine", 0.22, 0.45, 2)),
            room=Room(0.7, 0.14),
            duet=True,
            touch=0.8,
        ),
        "battle": Mood(
            modes=("minor", "phrygian", "dorian"),
            tempi=(132, 156),
            metres=("4/4",),
            pace="flowing",
            bold=True,
            leads=("horn", "fiddle"),
            layers=(
                Layer("pulse", "low strings", 0.62, 0.2),
                Layer("pad", "strings", 0.3, -0.2, 1),
                Layer("stride", "bass", 0.4, 0.0, 2),
            ),
            drums=(Layer("march", "war drum", 0.85), Layer("rattle", "frame drum", 0.4, -0.3, 1)),
            room=Room(1.6, 0.22),
            touch=0.9,
        ),
        "lament": Mood(
            modes=("minor", "aeolian", "dorian"),
            tempi=(56, 68),
            metres=("4/4", "3/4"),
            pace="calm",
            leads=("fiddle", "flute"),
            layers=(
                Layer("arpeggio", "harp", 0.5, -0.3),
                Layer("pad", "strings", 0.3, 0.2, 1),
                Layer("root", "low strings", 0.34, 0.1, 2),
            ),
            room=Room(2.4, 0.28),
            duet=True,
            touch=1.0,
        ),
        "mystery": Mood(
            modes=("phrygian", "aeolian", "dorian"),
            tempi=(66, 80),
            metres=("4/4", "3/4"),
            pace="calm",
            leads=("flute", "chime"),
            layers=(
                Layer("drone", "low strings", 0.42),
                Layer("broken", "harp", 0.42, 0.35),
                Layer("pad", "choir", 0.2, -0.25, 2),
                Layer("toll", "bell", 0.2, -0.4, 0),
            ),
            drums=(Layer("heartbeat", "war drum", 0.42, 0.0, 1),),
            room=Room(3.0, 0.34),
        ),
        "pastoral": Mood(
            modes=("major", "lydian", "mixolydian"),
            tempi=(84, 104),
            metres=("3/4", "6/8", "4/4"),
            pace="flowing",
            leads=("flute", "fiddle"),
            layers=(
                Layer("arpeggio", "harp", 0.5, -0.3),
                Layer("pad", "strings", 0.24, 0.25, 1),
                Layer("stride", "bass", 0.42, 0.0, 1),
            ),
            drums=(Layer("jingle", "tambourine", 0.08, 0.4, 3),),
            room=Room(1.3, 0.2),
            duet=True,
        ),
        "sea": Mood(
            modes=("dorian", "mixolydian", "aeolian"),
            tempi=(60, 74),
            metres=("6/8",),
            pace="flowing",
            leads=("fiddle", "flute"),
            layers=(
                Layer("swell", "harp", 0.48, -0.3),
                Layer("root", "bass", 0.5),
                Layer("pad", "strings", 0.26, 0.2, 1),
            ),
            drums=(Layer("waves", "frame drum", 0.4, 0.1, 2),),
            room=Room(1.5, 0.22),
            duet=True,
        ),
        "sacred": Mood(
            modes=("dorian", "mixolydian", "aeolian", "major"),
            tempi=(60, 72),
            metres=("4/4", "3/4"),
            pace="calm",
            leads=("choir", "flute"),
            layers=(
                Layer("drone", "organ", 0.26),
                Layer("pad", "strings", 0.26, 0.2, 2),
                Layer("toll", "bell", 0.24, -0.35),
                Layer("arpeggio", "harp", 0.3, 0.35, 1),
            ),
            room=Room(4.0, 0.4),
            duet=True,
            touch=1.05,
        ),
        "lullaby": Mood(
            modes=("major", "lydian"),
            tempi=(76, 90),
            metres=("3/4", "6/8"),
            pace="calm",
            leads=("chime", "flute"),
            layers=(
                Layer("arpeggio", "harp", 0.42, -0.25),
                Layer("pad", "strings", 0.2, 0.2, 2),
                Layer("root", "bass", 0.3, 0.0, 1),
            ),
            room=Room(1.6, 0.24),
        ),
        "royal": Mood(
            modes=("major", "mixolydian"),
            tempi=(92, 108),
            metres=("4/4",),
            pace="flowing",
            bold=True,
            leads=("horn", "fiddle"),
            layers=(
                Layer("pad", "strings", 0.34, -0.2),
                Layer("stride", "bass", 0.5, 0.1),
                Layer("pulse", "low strings", 0.36, 0.2, 2),
                Layer("toll", "bell", 0.16, 0.35, 3),
            ),
            drums=(Layer("march", "war drum", 0.6, 0.0, 1), Layer("rattle", "frame drum", 0.3, -0.3, 2)),
            room=Room(2.0, 0.24),
            duet=True,
        ),
        "enchanted": Mood(
            modes=("lydian", "major", "dorian"),
            tempi=(80, 96),
            metres=("3/4", "4/4", "6/8"),
            pace="flowing",
            leads=("chime", "flute"),
            layers=(
                Layer("broken", "harp", 0.46, -0.35),
                Layer("pad", "choir", 0.24, 0.2),
                Layer("root", "low strings", 0.3, 0.0, 1),
                Layer("sparkle", "chime", 0.16, 0.45, 2),
            ),
            room=Room(2.6, 0.3),
            duet=True,
        ),
        "desert": Mood(
            modes=("phrygian", "dorian", "mixolydian"),
            tempi=(88, 106),
            metres=("4/4",),
            pace="lively",
            leads=("lute", "flute"),
            layers=(
                Layer("drone", "hurdy-gurdy", 0.3, 0.25),
                Layer("stride", "bass", 0.46),
                Layer("pad", "strings", 0.18, -0.2, 3),
            ),
            drums=(Layer("caravan", "frame drum", 0.55, -0.1, 0), Layer("jingle", "tambourine", 0.18, 0.4, 2)),
            room=Room(1.1, 0.18),
            touch=0.9,
        ),
        "journey": Mood(
            modes=("dorian", "mixolydian", "minor", "major"),
            tempi=(88, 108),
            metres=("4/4", "6/8"),
            pace="flowing",
            leads=("lute", "flute"),
            layers=(
                Layer("arpeggio", "harp", 0.4, -0.35),
                Layer("stride", "bass", 0.5),
                Layer("pad", "strings", 0.24, 0.25, 2),
            ),
            drums=(Layer("walk", "frame drum", 0.42, 0.1, 2),),
            room=Room(1.3, 0.2),
            duet=True,
        ),
    }
)
