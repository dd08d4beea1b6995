"""Owns what words mean: the table from the words of a description to what the picture shows."""

# ruff: noqa: PLR2004 - chances read best where they are drawn

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.providers.landscape.noise import Dice

# Group → feature → words, in the singular. A phrase of two words is matched before its parts.
WORDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "time_of_day": {
            "dawn": "dawn daybreak sunrise morning",
            "noon": "noon midday day daylight afternoon sunny summer",
            "dusk": "dusk sunset evening twilight sundown",
            "night": "night midnight moonlit moonlight nocturnal starry starlit moon star",
        },
        "terrain": {
            "floating": "floating_island sky_island floating_isle floating_rock floating skyland",
            "volcano": "volcano volcanic caldera eruption",
            "canyon": "canyon gorge ravine mesa badlands chasm",
            "dunes": "dune desert sand sahara oasis",
            "islands": "island isle archipelago atoll tropical lagoon reef",
            "ice": "ice glacier iceberg arctic frozen tundra icy polar",
            "swamp": "swamp marsh bog fen mire bayou wetland",
            "mountains": "mountain peak alps alpine summit cliff fjord range crag",
            "hills": "hill highland knoll moor shire vale valley downs countryside",
            "plain": "plain steppe prairie savanna grassland field",
        },
        "water": {
            "sea": "sea ocean coast bay beach harbour harbor port island archipelago fjord tropical",
            "lake": "lake pond mere loch tarn reservoir lagoon oasis",
            "river": "river stream brook creek",
        },
        "weather": {
            "storm": "storm thunder lightning tempest thunderstorm stormy",
            "snowfall": "snowstorm blizzard snowfall snowing snowy_sky flurry",
            "rain": "rain rainy drizzle downpour monsoon",
            "mist": "mist misty fog foggy haze hazy ethereal",
            "clouds": "cloud cloudy overcast",
            "clear": "clear cloudless",
        },
        "vegetation": {
            "conifers": "pine fir spruce conifer taiga cedar",
            "jungle": "jungle rainforest palm tropical oasis",
            "broadleaf": "oak beech grove woodland elven orchard",
            "meadow": "meadow flower grass blossom pasture spring",
            "forest": "forest wood tree",
        },
        "structures": {
            "castle": "castle fortress citadel keep stronghold palace",
            "ruins": "ruin ruined abandoned ancient temple crumbling broken",
            "tower": "tower spire lighthouse wizard obelisk",
            "city": "city metropolis capital town skyline kingdom",
            "village": "village hamlet cottage settlement house",
        },
        "ground": {
            "snow": "snow snowy winter frost snowcapped snowbound snowstorm blizzard wintry",
            "autumn": "autumn autumnal harvest october",
            "lava": "lava magma molten",
        },
        "sky": {
            "aurora": "aurora northern_light borealis",
            "nebula": "nebula galaxy cosmic milky_way starry celestial astral",
            "two_moons": "two_moon twin_moon double_moon",
            "moon": "moon moonlit moonlight",
            "comet": "comet meteor falling_star",
        },
        "mood": {
            "enchanted": "enchanted magic magical fairy mystical arcane dream dreamlike crystal",
            "cursed": "cursed haunted evil undead necromancer poisoned toxic doom",
            "blood": "blood bloody crimson scarlet red hell infernal",
            "golden": "golden gold amber honey",
            "dark": "dark gloomy grim shadow black ominous bleak",
        },
    }
)

_BY_WORD: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        word: tuple(
            (group, feature)
            for group, features in WORDS.items()
            for feature, words in features.items()
            if word in words.split()
        )
        for word in {w for features in WORDS.values() for words in features.values() for w in words.split()}
    }
)
Lots = NDArray[np.float64]

_NEGATIONS: Final = frozenset({"no", "without", "not", "never"})
_WATER_TERRAINS: Final = frozenset({"mountains", "hills", "ice"})


@dataclass(frozen=True)
class Scene:
    """What the picture shows.

    Attributes:
        time: dawn, noon, dusk or night.
        terrain: one key of the terrain group of `WORDS`, without "floating".
        water: sea, lake, river or none.
        features: every other feature that is shown.
        recognised: group → the features that words of the description asked for.
    """

    time: str
    terrain: str
    water: str
    features: frozenset[str]
    recognised: Mapping[str, tuple[str, ...]]

    def has(self, *features: str) -> bool:
        """Tell whether the picture shows any of `features`."""
        return not self.features.isdisjoint(features)


def canonical(description: str) -> str:
    """Return `description` in lower case with every run of white space as one space."""
    return " ".join(description.casefold().split())


def read_scene(description: str, dice: Dice) -> Scene:
    """Turn a description into a scene; what no word decides is drawn by lot from `dice`.

    A word after "no", "not", "never" or "without" is passed over.
    """
    found = _recognise(canonical(description))
    rng = dice.stream("scene")
    lots = rng.random(8)

    features = {feature for group in found.values() for feature in group}
    terrains = [terrain for terrain in found.get("terrain", ()) if terrain != "floating"]
    terrain = _main_terrain(terrains, found, lots[0])
    water = _water(terrain, found, lots[1])
    time = _time(found, lots[2])

    features |= _company(features, found, (terrain, water, time), lots)
    return Scene(time, terrain, water, frozenset(features), found)


def _company(
    asked: set[str], found: Mapping[str, tuple[str, ...]], place: tuple[str, str, str], lots: Lots
) -> set[str]:
    """Return the unasked-for plants and weather that keep a scene from being empty."""
    terrain, water, time = place
    more: set[str] = set()
    wooded = bool(found.get("vegetation"))
    if not wooded and terrain in {"mountains", "hills"} and lots[3] < 0.75:
        more.add("conifers" if terrain == "mountains" or "snow" in asked or lots[4] < 0.5 else "broadleaf")
    if not wooded and terrain == "plain" and lots[3] < 0.75:
        more.add("broadleaf")
    if "forest" in asked and not asked & {"jungle", "broadleaf"}:
        more.add("conifers")
    if terrain == "islands" and not wooded:
        more.add("jungle")
    if terrain in {"plain", "hills"} and not asked & {"snow", "cursed"}:
        more.add("meadow")
    more |= {"volcano": {"lava"}, "ice": {"snow"}, "swamp": {"mist"}}.get(terrain, set())
    misty_dawn = time == "dawn" and water == "lake" and not found.get("weather") and lots[6] < 0.6
    if misty_dawn or asked >= {"floating", "clouds"}:
        more.add("mist")
    if time == "night" and not asked & {"storm", "rain", "snowfall", "mist"} and lots[5] < 0.35:
        more.add("nebula")
    return more


def _recognise(text: str) -> Mapping[str, tuple[str, ...]]:
    tokens = re.findall(r"[^\W\d_]+", text)
    found: dict[str, list[str]] = {}
    skip = -1
    for place, token in enumerate(tokens):
        if place <= skip or (place and tokens[place - 1] in _NEGATIONS):
            continue
        meanings: tuple[tuple[str, str], ...] = ()
        if place + 1 < len(tokens):
            for second in _singulars(tokens[place + 1]):
                meanings = meanings or _BY_WORD.get(f"{token}_{second}", ())
            skip = place + 1 if meanings else skip
        for form in _singulars(token):
            meanings = meanings or _BY_WORD.get(form, ())
        for group, feature in meanings:
            features = found.setdefault(group, [])
            if feature not in features:
                features.append(feature)
    return MappingProxyType({group: tuple(features) for group, features in found.items()})


def _singulars(word: str) -> tuple[str, ...]:
    """Return the word and what it may be the plural of."""
    return word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y"


def _main_terrain(terrains: list[str], found: Mapping[str, tuple[str, ...]], lot: float) -> str:
    # The grandest shape wins: "a valley under a volcano" is about the volcano.
    for terrain in ("volcano", "canyon", "dunes", "islands", "swamp", "ice", "mountains", "hills", "plain"):
        if terrain in terrains:
            return terrain
    hints: tuple[tuple[bool, str], ...] = (
        ("lava" in found.get("ground", ()), "volcano"),
        ("sea" in found.get("water", ()), "islands" if lot < 0.5 else "mountains"),
        ("floating" in found.get("terrain", ()), "hills"),
        (bool(found.get("structures")), "hills" if lot < 0.6 else "mountains"),
        ("meadow" in found.get("vegetation", ()), "hills"),
    )
    return next((terrain for hinted, terrain in hints if hinted), "mountains" if lot < 0.7 else "hills")


def _water(terrain: str, found: Mapping[str, tuple[str, ...]], lot: float) -> str:
    asked = found.get("water", ())
    if asked:
        return asked[0]
    if terrain == "islands":
        return "sea"
    if terrain == "swamp":
        return "lake"
    if terrain in _WATER_TERRAINS and lot < 0.5:
        return "lake"
    return "none"


def _time(found: Mapping[str, tuple[str, ...]], lot: float) -> str:
    asked = found.get("time_of_day", ())
    if asked:
        # "Sunset with two moons": a moon alone means night, beside another time it is company.
        return next((time for time in asked if time != "night"), "night")
    if {"aurora", "nebula", "moon", "two_moons", "comet"} & set(found.get("sky", ())):
        return "night"
    return "dawn" if lot < 0.33 else "dusk" if lot < 0.66 else "noon" if lot < 0.86 else "night"
