"""Owns what words mean to a map: the table from the words of a description to the nature of a land."""

# ruff: noqa: PLR2004 - chances and proportions read best where they are drawn

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from worker.providers.landscape.noise import Dice

# Group → feature → words, in the singular.
WORDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "shape": {
            "archipelago": "archipelago isles islands atolls skerries",
            "island": "island isle",
            "peninsula": "peninsula cape headland promontory",
            "inland": "inland landlocked interior basin heartland",
            "coast": "coast coastal shore seaboard bay gulf littoral",
            "continent": "continent mainland landmass subcontinent",
        },
        "climate": {
            "desert": "desert arid dry sand sandy dune sahara waste wasteland oasis",
            "north": "north northern icy ice arctic frozen snow snowy winter polar cold frost tundra fjord",
            "tropical": "tropical jungle palm lagoon rainforest equatorial",
        },
        "relief": {
            "mountainous": "mountain mountainous rocky alpine highland peak crag range volcano volcanic",
            "hilly": "hill hilly down vale valley shire",
            "flat": "flat plain steppe lowland prairie grassland savanna",
        },
        "cover": {
            "forested": "forest forested wood wooded woodland jungle taiga grove",
            "marshy": "marsh marshy swamp bog fen mire wetland moor",
        },
        "waters": {
            "one_river": "one_river great_river single_river mighty_river",
            "rivers": "river stream delta",
            "lakes": "lake mere loch tarn",
        },
        "people": {
            "inhabited": "inhabited populous populated town city village settlement civilised civilized crowded",
            "wild": "uninhabited wild wilderness empty desolate lonely forsaken abandoned untamed",
        },
        "rule": {
            "kingdom": "kingdom king queen crown",
            "empire": "empire emperor imperial",
            "duchy": "duchy duke earldom county barony",
            "republic": "republic league confederation",
            "realm": "realm dominion",
        },
    }
)

_NEGATIONS: Final = frozenset({"no", "not", "without", "never"})
_MANY: Final = frozenset({"many", "numerous", "countless", "several", "rich"})
_FEW: Final = frozenset({"few", "sparse", "scarce", "hardly"})


@dataclass(frozen=True)
class Nature:
    """What kind of land a map shows; the numbers are 0 (none) to about 1.5 (very much).

    Attributes:
        shape: one key of the shape group of `WORDS`.
        climate: desert, north, tropical or mild.
        mountains, hills, forest, marsh, rivers, lakes: how much of each.
        towns: how densely it is settled.
        rule: one key of the rule group of `WORDS`, or "" where no word says who rules.
        recognised: group → the features that words asked for.
    """

    shape: str
    climate: str
    mountains: float
    hills: float
    forest: float
    marsh: float
    rivers: float
    lakes: float
    towns: float
    rule: str
    recognised: Mapping[str, tuple[str, ...]]

    @property
    def great_river(self) -> bool:
        """Whether one river drains the land alone."""
        return "one_river" in self.recognised.get("waters", ())


def canonical(description: str) -> str:
    """Return `description` in lower case with every run of white space as one space."""
    return " ".join(description.casefold().split())


def read_nature(description: str, dice: Dice) -> Nature:
    """Turn a description into the nature of a land; what no word decides is drawn by lot from `dice`."""
    found, stress = _recognise(canonical(description))
    lots = dice.stream("nature").random(8)
    climate = next(iter(found.get("climate", ())), "mild")
    shape = _shape(found, lots[0])

    def amount(group: str, feature: str, base: float) -> float:
        if feature in found.get(group, ()):
            return max(base, 1.0) * stress.get(feature, 1.0)
        return base * stress.get(feature, 1.0)

    relief = found.get("relief", ())
    mountains = 0.25 if "flat" in relief else 0.45 if "hilly" in relief else 0.55 + 0.2 * lots[1]
    if shape == "inland":
        mountains = max(mountains, 0.8)
    dry = climate == "desert"
    return Nature(
        shape=shape,
        climate=climate,
        mountains=amount("relief", "mountainous", mountains * (0.8 if dry else 1)),
        hills=amount("relief", "hilly", 0.2 if "flat" in relief or dry else 0.45),
        forest=amount("cover", "forested", 0.06 if dry else 0.3 if climate == "north" else 0.4 + 0.2 * lots[2]),
        marsh=amount("cover", "marshy", 0.0 if dry else 0.3),
        rivers=amount("waters", "rivers", 0.25 if dry else 0.7),
        lakes=amount("waters", "lakes", 0.0 if dry else 0.4),
        towns=0.25 if "wild" in found.get("people", ()) else amount("people", "inhabited", 0.6),
        rule=next(iter(found.get("rule", ())), ""),
        recognised=found,
    )


def _shape(found: Mapping[str, tuple[str, ...]], lot: float) -> str:
    asked = found.get("shape", ())
    for shape in WORDS["shape"]:
        if shape in asked:
            return shape
    if lot < 0.35:
        return "continent"
    return "coast" if lot < 0.65 else "peninsula" if lot < 0.85 else "island"


def _recognise(text: str) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, float]]:
    """Return group → features in the order of the text, and how strongly some are asked for."""
    tokens = re.findall(r"[^\W\d_]+", text)
    found: dict[str, list[str]] = {}
    stress: dict[str, float] = {}
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        if before in _NEGATIONS:
            for _, feature in _meanings(token):
                stress[feature] = 0.0
            continue
        meanings = [*_meanings(f"{before}_{token}"), *_meanings(token)]
        for group, feature in meanings:
            features = found.setdefault(group, [])
            if feature not in features:
                features.append(feature)
            if before in _MANY or before in _FEW:
                stress[feature] = 1.4 if before in _MANY else 0.4
    return MappingProxyType({group: tuple(features) for group, features in found.items()}), stress


def _meanings(word: str) -> list[tuple[str, str]]:
    forms = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y")
    for form in forms:
        meanings = [
            (group, feature)
            for group, features in WORDS.items()
            for feature, words in features.items()
            if form in words.split()
        ]
        if meanings:
            return meanings
    return []
