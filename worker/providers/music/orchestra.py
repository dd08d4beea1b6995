"""Owns the orchestra: every instrument by its name, where it lies and how it sounds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from worker.providers.music.breath import Soloist
from worker.providers.music.ensemble import Ensemble
from worker.providers.music.pluck import PluckedString
from worker.providers.music.struck import Bell, Drum, Tambourine

# The pitch about which each lies.
CENTRES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "lute": 65,
        "harp": 64,
        "bass": 41,
        "flute": 77,
        "fiddle": 71,
        "horn": 63,
        "strings": 60,
        "low strings": 43,
        "choir": 64,
        "organ": 52,
        "hurdy-gurdy": 50,
        "bell": 57,
        "chime": 79,
        "frame drum": 0,
        "war drum": 0,
        "tambourine": 0,
    }
)
# What the ear wants added or taken from equal loudness: short sounds seem softer, long ones louder.
TRIMS: Final[Mapping[str, float]] = MappingProxyType(
    {"chime": 1.55, "flute": 0.82, "harp": 1.4, "lute": 1.45, "bass": 1.2, "organ": 1.5, "choir": 0.95}
)

STRINGS: Final[Mapping[str, PluckedString]] = MappingProxyType(
    {
        "lute": PluckedString(
            2.6, 1.9, 0.19, 2100, 0.35, ((115, 0.5, 40), (225, 0.9, 70), (430, 0.6, 120), (1200, 0.4, 600))
        ),
        "harp": PluckedString(
            4.6, 1.1, 0.42, 1500, 0.2, ((180, 0.5, 90), (350, 0.6, 160), (900, 0.35, 500)), release_s=0.5
        ),
        "bass": PluckedString(2.2, 2.6, 0.24, 520, 0.25, ((75, 0.8, 40), (150, 0.7, 70), (320, 0.4, 150))),
    }
)
SOLOISTS: Final[Mapping[str, Soloist]] = MappingProxyType(
    {
        "flute": Soloist(
            (1.0, 0.32, 0.16, 0.05, 0.025, 0.012),
            0.35,
            ((800, 0.3, 600),),
            attack_s=0.045,
            release_s=0.09,
            vibrato_hz=5.1,
            vibrato_cents=11,
            breath=0.055,
            scoop_cents=14,
        ),
        "fiddle": Soloist(
            tuple(n**-1.35 for n in range(1, 33)),
            0.3,
            ((290, 0.8, 90), (460, 0.7, 120), (1100, 0.5, 350), (2600, 0.7, 700)),
            attack_s=0.055,
            release_s=0.1,
            vibrato_hz=5.7,
            vibrato_cents=15,
            breath=0.018,
            scoop_cents=10,
        ),
        "horn": Soloist(
            (1.0, 0.8, 0.55, 0.36, 0.22, 0.13, 0.08, 0.05, 0.03, 0.02, 0.014, 0.01),
            0.6,
            ((480, 0.9, 220), (1100, 0.4, 500)),
            attack_s=0.06,
            release_s=0.11,
            vibrato_hz=4.8,
            vibrato_cents=4,
            breath=0.006,
            scoop_cents=22,
        ),
    }
)
ENSEMBLES: Final[Mapping[str, Ensemble]] = MappingProxyType(
    {
        "strings": Ensemble(1.25, 14, ((300, 0.8, 150), (700, 0.6, 300), (2500, 0.5, 900)), 0.32, 0.4),
        "low strings": Ensemble(1.15, 11, ((120, 0.6, 60), (280, 0.8, 140), (900, 0.4, 400)), 0.05, 0.16),
        "choir": Ensemble(
            1.0,
            17,
            ((660, 1.6, 110), (1080, 0.9, 130), (2600, 0.35, 250), (3300, 0.2, 300)),
            0.16,
            0.3,
            floor=0.07,
        ),
        "organ": Ensemble(1.5, 3, ((500, 0.4, 400),), 0.12, 0.3, odd=1.5),
        "hurdy-gurdy": Ensemble(0.75, 5, ((450, 0.8, 180), (1300, 0.9, 400), (2700, 0.6, 700)), 0.12, 0.2),
    }
)
BELLS: Final[Mapping[str, Bell]] = MappingProxyType(
    {
        # Hum, prime, tierce, quint, nominal and above; the prime is the pitch that is written.
        "bell": Bell(
            (
                (0.5, 0.4, 8.0),
                (1.0, 1.0, 6.0),
                (1.2, 0.35, 4.0),
                (1.5, 0.2, 3.0),
                (2.0, 0.7, 3.4),
                (2.52, 0.2, 1.6),
                (3.01, 0.18, 1.4),
                (4.1, 0.12, 0.9),
            ),
            0.05,
        ),
        "chime": Bell(((1.0, 1.0, 2.6), (2.0, 0.08, 1.6), (4.0, 0.22, 0.8), (9.2, 0.05, 0.25)), 0.04),
    }
)
DRUMS: Final[Mapping[str, Drum | Tambourine]] = MappingProxyType(
    {
        "frame drum": Drum(92, 0.55, 0.35, 2600),
        "war drum": Drum(58, 1.1, 0.45, 1400),
        "tambourine": Tambourine(),
    }
)
