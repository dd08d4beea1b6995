"""Owns letters: the typeface, what it can print, and text made ready for it."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

import fontpkg_eb_garamond
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from services.errors import PermanentError

# Name in the document → file of the package. A variable font's outlines are those of its regular weight.
FACES: Final[Mapping[str, str]] = MappingProxyType(
    {"EBGaramond": "EBGaramond[wght].ttf", "EBGaramond-Italic": "EBGaramond-Italic[wght].ttf"}
)
ROMAN: Final = "EBGaramond"
ITALIC: Final = "EBGaramond-Italic"
# Height of a capital and of a lower-case x over the size.
CAPITAL: Final = 0.65

_EM_DASH: Final = "\u2014"
_EN_DASH: Final = "\u2013"
_OPEN: Final = "\u2018"
_CLOSE: Final = "\u2019"
_BEFORE: Final = rf"[\s(\[{{“{_OPEN}{_EN_DASH}{_EM_DASH}]"
# As many missing characters as an error names.
_NAMED: Final = 12


class UnprintableText(PermanentError):
    """The typeface lacks characters of the text; it never prints boxes in their place.

    Args:
        characters: the missing ones, each once, in order.
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        named = ", ".join(
            f"{character if character.isprintable() else ''} (U+{ord(character):04X})".strip()
            for character in characters[:_NAMED]
        )
        more = f" and {len(characters) - _NAMED} more" if len(characters) > _NAMED else ""
        super().__init__(
            "UNPRINTABLE_TEXT", f"the typeface has Latin, Greek and Cyrillic letters, but lacks {named}{more}"
        )

    def __reduce__(self) -> tuple[type["UnprintableText"], tuple[str]]:
        # Errors come back from the process that typesets; the base class cannot be rebuilt from its message.
        return type(self), (self.characters,)


@cache
def _faces() -> Mapping[str, TTFont]:
    """Register the typeface with the PDF library, once a process."""
    files = fontpkg_eb_garamond.ROOT / "files"
    faces = {name: TTFont(name, str(files / file)) for name, file in FACES.items()}
    for face in faces.values():
        pdfmetrics.registerFont(face)
    return faces


def width(text: str, face: str, size: float) -> float:
    """Return how wide a text is, in points."""
    _faces()
    return float(pdfmetrics.stringWidth(text, face, size))


def clean(text: str) -> str:
    """Return text as a typesetter wants it: composed accents, curly quotes, real dashes, no invisible marks."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))
    text = "".join(
        character for character in text if character == "\n" or unicodedata.category(character) not in {"Cc", "Cf"}
    )
    for plain, proper in (("...", "…"), ("---", _EM_DASH), ("--", _EN_DASH)):
        text = text.replace(plain, proper)
    # A quote opens after a space, a bracket, a dash or another quote, and closes everywhere else.
    text = re.sub(rf'(^|{_BEFORE})"', r"\1“", text).replace('"', "”")
    return re.sub(rf"(^|{_BEFORE})'", rf"\1{_OPEN}", text).replace("'", _CLOSE)


def require_letters(texts: Iterable[str]) -> None:
    """Check that every character can be printed.

    Raises:
        UnprintableText: some cannot.
    """
    known = [face.face.charToGlyph for face in _faces().values()]
    seen = dict.fromkeys(character for text in texts for character in text if character != "\n")
    missing = [character for character in seen if not all(ord(character) in glyphs for glyphs in known)]
    if missing:
        raise UnprintableText("".join(missing))
