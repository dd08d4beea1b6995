"""Owns lore sheets: a title, a picture, facts and text typeset as PDF, offline and always the same."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from worker.providers.landscape import LandscapeSpec, paint
from worker.providers.sheet.flow import Flow
from worker.providers.sheet.letters import FACES, UnprintableText, clean, require_letters
from worker.providers.sheet.page import SIZES, Format, print_page

__all__ = ["Reporter", "SheetSpec", "UnprintableText", "typeset"]

Reporter = Callable[[float, str], None]

# Wide enough for print at the column's width, in the proportions of a book's headpiece.
_PICTURE: Final = (1280, 560)
_QUALITY: Final = 88
_AUTHOR: Final = "lorekeeper"
_BREAKS: Final = re.compile(r"[*\s\u2013\u2014-]+")
_HEADING: Final = re.compile(r"(#{1,3})\s*(\S.*)")


@dataclass(frozen=True)
class SheetSpec:
    """What to typeset.

    Attributes:
        title: of the sheet.
        text: paragraphs separated by blank lines; a line that begins with one to three `#` is a heading, a
            paragraph of asterisks or dashes a break between scenes.
        subtitle: below the title.
        facts: pairs of name and value.
        picture: description of a landscape, or None for no picture.
        seed: of the picture.
        page_size: `A4` or `letter`.
        author: named in the document's metadata.

    Raises:
        ValueError: there is no such page size.
    """

    title: str
    text: str
    subtitle: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    picture: str | None = None
    seed: int | None = None
    page_size: str = "A4"
    author: str = _AUTHOR

    def __post_init__(self) -> None:
        if self.page_size not in SIZES:
            raise ValueError(f"{self.page_size!r} is not one of the page sizes {', '.join(SIZES)}")


def typeset(spec: SheetSpec, path: Path, report: Reporter) -> dict[str, object]:
    """Write a lore sheet to `path` as PDF; equal specs give equal bytes.

    Args:
        spec: what to typeset.
        path: is overwritten.
        report: told the part done (0 to 1, rising) and what comes next; what it raises stops the work.

    Returns:
        What is worth knowing about the document.

    Raises:
        UnprintableText: the typeface lacks characters of the text.
    """
    report(0.0, "reading the text")
    title, subtitle, text = _one_line(spec.title), _one_line(spec.subtitle), clean(spec.text)
    facts = [(_one_line(name), _one_line(value)) for name, value in spec.facts]
    require_letters([title, subtitle, text, *(part for fact in facts for part in fact)])

    flow = Flow(Format(spec.page_size))
    flow.title(title, subtitle)
    if spec.picture is not None:
        flow.picture(_painted(spec.picture, spec.seed, lambda done, stage: report(0.05 + 0.75 * done, stage)))
    report(0.82, "breaking lines")
    if facts:
        flow.facts(facts)
    initial = True
    for level, part in _parts(text):
        if level:
            flow.heading(part, level)
        elif _BREAKS.fullmatch(part):
            flow.ornament()
        else:
            flow.paragraph(part, initial=initial)
            initial = False
    flow.close()
    _print(flow, spec, title, path, report)
    report(1.0, "finished")
    return {
        "pages": len(flow.pages),
        "page_size": spec.page_size,
        "fonts": sorted(FACES),
        "title": title,
        "picture": spec.picture is not None,
    }


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Yield headings with their level and paragraphs with level 0."""
    for block in re.split(r"\n\s*\n", text):
        paragraph: list[str] = []
        for line in (" ".join(line.split()) for line in block.split("\n")):
            heading = _HEADING.fullmatch(line)
            if heading:
                if paragraph:
                    yield 0, " ".join(paragraph)
                    paragraph = []
                yield len(heading[1]), heading[2]
            elif line:
                paragraph.append(line)
        if paragraph:
            yield 0, " ".join(paragraph)


def _painted(description: str, seed: int | None, report: Reporter) -> ImageReader:
    wide, high = _PICTURE
    image = paint(LandscapeSpec(description, wide, high, seed), report)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    file.seek(0)
    return ImageReader(file)


def _print(flow: Flow, spec: SheetSpec, title: str, path: Path, report: Reporter) -> None:
    form = Format(spec.page_size)
    # Invariant: no date and no random identity, so that equal sheets are equal files.
    canvas = Canvas(str(path), pagesize=(form.wide, form.high), invariant=1, pageCompression=1, lang="en")
    canvas.setTitle(title)
    canvas.setAuthor(spec.author)
    canvas.setSubject(_one_line(spec.subtitle))
    canvas.setCreator("lorekeeper")
    for page in flow.pages:
        report(0.85 + 0.12 * (page.number - 1) / len(flow.pages), f"page {page.number}")
        print_page(canvas, page, form, title)
    report(0.98, "writing")
    canvas.save()
