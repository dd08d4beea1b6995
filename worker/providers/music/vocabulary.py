"""Owns what words mean to a musician: from a description to mood, mode, pace and the instruments it names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# Mood → words, in the singular. Whichever mood most words ask for wins; of equal ones the first in the sentence.
MOOD_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tavern": "tavern inn pub ale beer mead dance dancing jig reel feast fair festival festive wedding merry"
        " drunken drinking minstrel bard celebration harvest carnival party",
        "battle": "battle war warrior army siege fight fighting charge attack duel sword march marching horde orc"
        " combat boss chase raid invasion dragon fury rage conquest battlefield",
        "lament": "lament lamentation sad sorrow mourning mourn grief funeral farewell loss lost tears dirge elegy"
        " lonely melancholy melancholic fallen widow grave exile weeping autumn rain",
        "mystery": "mystery mysterious dungeon cave cavern crypt ruin haunted ghost dark darkness shadow eerie"
        " secret catacomb labyrinth fog mist swamp necromancer undead sinister ominous underground thief spooky"
        " abyss horror curse cursed vampire witch tomb night",
        "pastoral": "pastoral dawn morning sunrise meadow spring village shepherd field countryside farm sunny"
        " summer flower garden brook peaceful hill valley bird shire orchard gentle",
        "sea": "sea ocean ship sail sailing sailor pirate shanty harbour harbor island wave tide coast"
        " voyage mermaid port whale river",
        "sacred": "sacred temple holy prayer monk monastery cathedral church chapel shrine priest hymn chant"
        " divine angel god goddess ritual blessing solemn pilgrim ancient heaven",
        "lullaby": "lullaby cradle sleep sleeping sleepy child baby dreaming bedtime nursery goodnight tender",
        "royal": "royal king queen throne court coronation crown noble palace castle triumph triumphant victory"
        " victorious heroic hero knight tournament fanfare glory majestic empire emperor proud parade",
        "enchanted": "enchanted magic magical fairy fae elf elven wizard spell crystal glow glowing moon moonlit"
        " star starlit dream forest wonder aurora snow winter ethereal sprite mystical",
        "desert": "desert dune sand oasis caravan bazaar sultan nomad spice camel scorching exotic serpent market",
        "journey": "journey travel traveller traveler road path adventure quest wander wanderer wandering explore"
        " exploration ride riding tale story horizon mountain expedition",
    }
)
_MODE_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "major": "happy joyful joyous cheerful bright hopeful jubilant major glad",
        "minor": "sad sorrowful tragic dark grim gloomy minor melancholy melancholic mournful bleak",
        "dorian": "dorian",
        "phrygian": "phrygian",
        "lydian": "lydian",
        "mixolydian": "mixolydian",
        "aeolian": "aeolian",
    }
)
_PACE_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "slow": "slow slowly calm quiet gentle peaceful solemn still lento adagio mournful soft",
        "fast": "fast quick quickly lively furious energetic frantic wild presto allegro racing rapid",
    }
)
_INSTRUMENT_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "flute": "flute recorder whistle pipe fife ocarina",
        "fiddle": "fiddle violin viola viol cello rebec",
        "lute": "lute guitar mandolin oud cittern banjo",
        "harp": "harp lyre zither",
        "chime": "chime celesta glockenspiel musicbox",
        "horn": "horn trumpet brass bugle",
        "choir": "choir choral chorus voice singing",
    }
)
_NEGATIONS: Final = frozenset({"no", "without", "not", "never"})


@dataclass(frozen=True)
class Reading:
    """What a description asks for.

    Attributes:
        mood: a key of `MOODS`; None where no word names one.
        mode: a key of `MODES`, or None.
        pace: slow, fast or None.
        instruments: named in the description, in its order.
    """

    mood: str | None
    mode: str | None
    pace: str | None
    instruments: tuple[str, ...]


def _reversed(table: Mapping[str, str]) -> Mapping[str, str]:
    """Return word → meaning; a word of two meanings keeps the first."""
    meanings: dict[str, str] = {}
    for meaning, words in table.items():
        for word in words.split():
            meanings.setdefault(word, meaning)
    return MappingProxyType(meanings)


_MOODS: Final = _reversed(MOOD_WORDS)
_MODES: Final = _reversed(_MODE_WORDS)
_PACES: Final = _reversed(_PACE_WORDS)
_INSTRUMENTS: Final = _reversed(_INSTRUMENT_WORDS)


def read(description: str) -> Reading:
    """Read a description; a word after "no", "not", "never" or "without" is passed over."""
    moods: dict[str, int] = {}
    modes: list[str] = []
    paces: list[str] = []
    instruments: dict[str, None] = {}
    for forms in _words(description.casefold()):
        for form in forms:
            if form in _MOODS:
                moods[_MOODS[form]] = moods.get(_MOODS[form], 0) + 1
                break
        modes += [_MODES[form] for form in forms if form in _MODES][:1]
        paces += [_PACES[form] for form in forms if form in _PACES][:1]
        instruments.update(dict.fromkeys([_INSTRUMENTS[form] for form in forms if form in _INSTRUMENTS][:1]))
    mood = max(moods, key=lambda name: moods[name]) if moods else None
    return Reading(mood, next(iter(modes), None), next(iter(paces), None), tuple(instruments))


def _words(text: str) -> Iterator[tuple[str, ...]]:
    """Yield each word with what it may be the plural of."""
    tokens = re.findall(r"[^\W\d_]+", text)
    for place, token in enumerate(tokens):
        if place and tokens[place - 1] in _NEGATIONS:
            continue
        yield token, token.removesuffix("s"), token.removesuffix("es"), token.removesuffix("ies") + "y"
