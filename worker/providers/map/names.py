"""Owns names: a language is drawn once for a land, and every name of its map is a word of it."""

# ruff: noqa: PLR2004 - chances read best where they are drawn

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from worker.providers.landscape.noise import Dice


@dataclass(frozen=True)
class _Tongue:
    """The sounds of a family of languages; a repeated one is frequent."""

    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...]
    towns: tuple[str, ...]
    lands: tuple[str, ...]


def _sounds(line: str) -> tuple[str, ...]:
    return tuple("" if sound == "-" else sound for sound in line.split())


_TONGUES: Final = MappingProxyType(
    {
        "norse": _Tongue(
            _sounds("h h b r s st th t v k sk hr sv g f d br n l m gr kv"),
            _sounds("a a o o e i u au ei ø y"),
            _sounds("r r l n rn ld nd lf rm sk g k - - -"),
            _sounds("vik heim stad nes borg fjell holm dal gard by sund havn"),
            _sounds("mark land heim gard"),
        ),
        "elder": _Tongue(
            _sounds("l l n n m r th s c f g h v d gl cel"),
            _sounds("a a e e i o ia ae ie io ea"),
            _sounds("l n r s th nd - - - - -"),
            _sounds("ion iel oth ond aril mir las wen dor anor el"),
            _sounds("ion oria iath andor ien"),
        ),
        "sand": _Tongue(
            _sounds("q k z sh s r m b h j t d n kh f l az al"),
            _sounds("a a a i u aa e"),
            _sounds("r m d sh f z l n b - - - -"),
            _sounds("abad ir ah esh am ud una azar et if"),
            _sounds("ara istan im ahar oum"),
        ),
        "west": _Tongue(
            _sounds("b c d g gw l ll m n p r t tr br c pen w"),
            _sounds("a e i o u y wy ae a e"),
            _sounds("n r l th dd nt rn g s - - -"),
            _sounds("wen aven mor byr gan dor fael wyn caer llan eth"),
            _sounds("wen ydd ia mor eth"),
        ),
        "old": _Tongue(
            _sounds("v c m t l p s r f b d g qu n st pr fl"),
            _sounds("a e i o u a e i o"),
            _sounds("l r n s x nt rc - - - - -"),
            _sounds("ium ona entia ara essa ova enza ino ola ate"),
            _sounds("ia ania oria entia ara"),
        ),
        "east": _Tongue(
            _sounds("v k d m b st z sl dr br r l p gr n t vl mir"),
            _sounds("a o e i u a o e"),
            _sounds("r v l n sk st k m - - - -"),
            _sounds("grad ov itza in sk ava ets nik dol gora"),
            _sounds("avia ia ova mark"),
        ),
        "shire": _Tongue(
            _sounds("b br w h st d f l m r th t gr c sw k n hal wick"),
            _sounds("a e o i u oa ea a e"),
            _sounds("r l n st ck m rn ll ld - -"),
            _sounds("ton ford bury wick ham ley dale mere stead mouth bridge haven"),
            _sounds("land shire mark ria or"),
        ),
    }
)
_BY_CLIMATE: Final = MappingProxyType(
    {
        "north": ("norse", "norse", "east"),
        "desert": ("sand",),
        "tropical": ("old", "elder", "sand"),
        "mild": ("elder", "west", "old", "east", "shire", "shire"),
    }
)
_ROUGH: Final = ("ww", "yy", "ii", "uu", "hh", "aaa", "eee", "ooo", "øø", "yi", "iy", "uo", "qq", "aea", "iei")


class Language:
    """Words that sound as if one people had made them.

    Args:
        dice: the lots of the map.
        climate: of the land, which says what its people may sound like.
    """

    def __init__(self, dice: Dice, climate: str) -> None:
        rng = dice.stream("language")
        choices = _BY_CLIMATE[climate]
        tongue = _TONGUES[choices[int(rng.integers(len(choices)))]]
        # A land speaks with two thirds of its family's sounds: another land of the family sounds akin, not alike.
        self._onsets = _some(rng, tongue.onsets)
        self._vowels = _some(rng, tongue.vowels)
        self._codas = (*_some(rng, tongue.codas), "")
        self._towns = _some(rng, tongue.towns)
        self._lands = tongue.lands
        self._rng = dice.stream("names")
        self._given: set[str] = set()

    def town(self) -> str:
        """Return a new name of a town."""
        return self._new(self._towns if self._rng.random() < 0.72 else None, 2)

    def land(self) -> str:
        """Return a new name of a country or a region."""
        return self._new(self._lands, 2)

    def word(self) -> str:
        """Return a new name of a river, a wood or a range."""
        return self._new(None, 2)

    def _new(self, endings: tuple[str, ...] | None, parts: int) -> str:
        for _ in range(200):
            stems = 1 if endings and self._rng.random() < 0.62 else parts
            name = "".join(self._syllable(last=endings is None and part == stems - 1) for part in range(stems))
            if endings:
                name = _join(name, self._pick(endings))
            if self._fits(name):
                self._given.add(name)
                self._given.add(name[:4])
                return name[0].upper() + name[1:]
        # Too many names for so few sounds: repeat rather than fail.
        return self._syllable(last=True).capitalize() + self._pick(self._towns)

    def _fits(self, name: str) -> bool:
        if not 4 <= len(name) <= 10 or name in self._given or name[:4] in self._given:
            return False
        if any(rough in name for rough in _ROUGH):
            return False
        run = 0
        for letter in name:
            run = 0 if letter in "aeiouyø" else run + 1
            if run > 3:
                return False
        return name[0] != "x" and not any(name[at] == name[at + 1] == name[at + 2] for at in range(len(name) - 2))

    def _syllable(self, *, last: bool) -> str:
        coda = self._pick(self._codas) if last or self._rng.random() < 0.45 else ""
        return self._pick(self._onsets) + self._pick(self._vowels) + coda

    def _pick(self, sounds: tuple[str, ...]) -> str:
        return sounds[int(self._rng.integers(len(sounds)))]


def _some(rng: np.random.Generator, sounds: tuple[str, ...]) -> tuple[str, ...]:
    kept = rng.permutation(len(sounds))[: max(4, len(sounds) * 2 // 3)]
    return tuple(sounds[place] for place in sorted(kept.tolist()))


def _join(stem: str, ending: str) -> str:
    """Join without a hiatus: of two vowels that meet, the stem's is dropped."""
    vowels = "aeiouyø"
    if ending[0] in vowels:
        stem = stem.rstrip(vowels)
    elif stem[-1] == ending[0]:
        stem = stem[:-1]
    return stem + ending
