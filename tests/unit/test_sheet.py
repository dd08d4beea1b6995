"""The typesetter: same spec, same document; its text can be read and copied, and nothing becomes a black box."""

import hashlib
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pypdf import PdfReader

from services.catalog import LOCAL
from services.errors import PermanentError
from services.models import AssetType
from worker.providers.sheet import SheetSpec, UnprintableText, typeset
from worker.providers.sheet.letters import ROMAN, clean
from worker.providers.sheet.lines import Face, justify, words_of
from worker.providers.sheet.page import Format

ROOT = Path(__file__).resolve().parents[2]
PROSE = (
    "The lake was there before the mountain, or so the ferrymen say. When the first kings of Aun came down from "
    "the passes with their goats and their bronze, they found its water already black, already silent, and older "
    "than any song they knew how to sing. They built no house within sight of it for three hundred years."
)
BELLS = SheetSpec(
    "The Lake of Eight Bells",
    f"{PROSE}\n\n# The Drowned Bells\n\nSeven were cast.\n\n* * *\n\n{PROSE}",
    subtitle="A true account",
    facts=(("Depth", "Unknown"), ("Trade", "Tin, eels, silence")),
    author="Ilse of Karrow",
)


def _ignore(done: float, stage: str) -> None:
    del done, stage


def _read(spec: SheetSpec, folder: Path) -> tuple[list[str], PdfReader, dict[str, object]]:
    """Return the words of each page, the document and its facts."""
    path = folder / "sheet.pdf"
    facts = typeset(spec, path, _ignore)
    document = PdfReader(path)
    return [" ".join(page.extract_text().split()) for page in document.pages], document, facts


def test_same_spec_gives_the_same_bytes_here_and_in_another_process(tmp_path: Path) -> None:
    typeset(BELLS, tmp_path / "first.pdf", _ignore)
    (tmp_path / "spec").write_bytes(pickle.dumps(BELLS))
    program = (
        "import pathlib, pickle; from worker.providers.sheet import typeset;"
        "spec = pickle.loads(pathlib.Path('spec').read_bytes());"
        "typeset(spec, pathlib.Path('again.pdf'), lambda *_: None)"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4321"},
        check=True,
    )
    first, again = ((tmp_path / name).read_bytes() for name in ("first.pdf", "again.pdf"))
    assert hashlib.sha256(first).digest() == hashlib.sha256(again).digest()


def test_title_text_and_facts_can_be_read_and_metadata_names_the_author(tmp_path: Path) -> None:
    pages, document, facts = _read(BELLS, tmp_path)
    text = " ".join(pages)
    # The initial stands before the lines that it belongs to.
    for part in (BELLS.title, "A true account", "Tin, eels, silence", "The Drowned Bells", PROSE[1:], PROSE):
        assert part in text
    assert "#" not in text
    assert "*" not in text
    assert document.metadata is not None
    assert (document.metadata.title, document.metadata.author) == (BELLS.title, "Ilse of Karrow")
    assert facts == {
        "pages": len(pages),
        "page_size": "A4",
        "fonts": ["EBGaramond", "EBGaramond-Italic"],
        "title": BELLS.title,
        "picture": False,
    }


def test_more_text_takes_more_pages_each_with_its_number_and_running_title(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {number}. {PROSE}" for number in range(60))
    pages, _, facts = _read(SheetSpec("Annals", text), tmp_path)
    assert facts["pages"] == len(pages) > 5
    assert len(_read(SheetSpec("Annals", text[:9000]), tmp_path)[0]) < len(pages)
    for number, page in enumerate(pages, 1):
        assert str(number) in page.split()
        assert "Annals" in page
    # Nothing is lost where pages turn.
    joined = " ".join(pages)
    assert all(f"aragraph {number}." in joined for number in range(60))


@pytest.mark.parametrize(("page_size", "wide", "high"), [("A4", 595.28, 841.89), ("letter", 612, 792)])
def test_pages_have_the_size_that_was_asked_for(page_size: str, wide: float, high: float, tmp_path: Path) -> None:
    _, document, facts = _read(SheetSpec("x", "y", page_size=page_size), tmp_path)
    box = document.pages[0].mediabox
    assert (float(box.width), float(box.height)) == pytest.approx((wide, high), abs=0.01)
    assert facts["page_size"] == page_size
    with pytest.raises(ValueError, match="'A5' is not one of"):
        SheetSpec("x", "y", page_size="A5")


def test_a_picture_is_embedded_as_jpeg(tmp_path: Path) -> None:
    _, document, facts = _read(SheetSpec("x", "y", picture="hills at noon", seed=3), tmp_path)
    (image,) = document.pages[0].images
    assert image.name.endswith((".jpg", ".jpeg"))
    assert facts["picture"] is True


def test_greek_and_cyrillic_are_printed(tmp_path: Path) -> None:
    pages, _, _ = _read(SheetSpec("Λίμνη", "Жили-были дед да внучка. Ἐν ἀρχῇ ἦν ὁ λόγος. Łódź, Þórr."), tmp_path)
    assert "Λίμνη" in pages[0]
    assert "Жили-были дед да внучка. Ἐν ἀρχῇ ἦν ὁ λόγος. Łódź, Þórr." in pages[0]


@pytest.mark.parametrize("field", ["title", "subtitle", "text", "facts"])
def test_characters_that_the_typeface_lacks_are_refused_by_name(field: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"title": "x", "text": "y", field: "漢字 שלום"}
    if field == "facts":
        fields["facts"] = (("Name", "漢字 שלום"),)
    with pytest.raises(UnprintableText, match=r"lacks 漢 \(U\+6F22\), 字 \(U\+5B57\), ש") as caught:
        typeset(SheetSpec(**fields), tmp_path / "never.pdf", _ignore)
    assert isinstance(caught.value, PermanentError)
    assert caught.value.code == "UNPRINTABLE_TEXT"
    # It comes back from the process that typesets.
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (str(again), again.characters) == (str(caught.value), caught.value.characters)
    assert not (tmp_path / "never.pdf").exists()


def test_quotes_and_dashes_become_a_typesetters() -> None:
    assert clean("\"It's here,\" -- she said ('no')...") == "“It\u2019s here,” \u2013 she said (\u2018no\u2019)…"
    assert clean("e\u0301\u200b\x00\r\nx") == "é\nx"


_WORD = st.text("abcdefghijklmno,.", min_size=1, max_size=90)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(_WORD, min_size=1, max_size=60), st.sampled_from([(), (15.0,), (40.0, 42.0, 42.0)]))
def test_lines_keep_every_word_and_their_measure(given_words: list[str], indents: tuple[float, ...]) -> None:
    face, measure = Face(ROMAN, 12), 300.0
    words = words_of(" ".join(given_words), face, measure - 45)
    lines = justify(words, face, measure, indents)
    assert "".join(word for line in lines for word in line.words) == "".join(given_words)
    for number, line in enumerate(lines):
        natural = sum(face.width(word) for word in line.words)
        total = line.indent + natural + line.space * (len(line.words) - 1)
        assert total <= measure + 0.01
        assert line.space > 0.7 * face.width(" ")
        if number < len(lines) - 1 and len(line.words) > 1:
            assert total == pytest.approx(measure)


def test_justified_prose_has_even_spaces() -> None:
    face = Face(ROMAN, 11.8)
    lines = justify(words_of(PROSE * 3, face, 400), face, Format("A4").measure)
    spaces = [line.space / face.width(" ") for line in lines[:-1]]
    assert max(spaces) < 1.8
    assert min(spaces) > 0.75


@pytest.mark.parametrize("text", ["w" * 20_000, "a\n\n" * 2000, "# a\n" * 2000, '"' * 500, "#", "* * *"])
def test_odd_texts_are_typeset(text: str, tmp_path: Path) -> None:
    pages, _, _ = _read(SheetSpec("W" * 200, text, facts=(("n" * 80, "v" * 300),) * 30), tmp_path)
    assert pages


def test_progress_rises_and_what_the_reporter_raises_stops_the_work(tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    told: list[float] = []
    typeset(BELLS, tmp_path / "sheet.pdf", lambda done, _: told.append(done))
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert all(before < after for before, after in pairwise(told))

    def refuse(done: float, stage: str) -> None:
        del stage
        if done > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        typeset(BELLS, tmp_path / "never.pdf", refuse)
    assert not (tmp_path / "never.pdf").exists()


def test_the_schema_takes_whole_specs_and_refuses_a_landscape_without_description() -> None:
    validator = Draft202012Validator(LOCAL.prompt_schemas[AssetType.PDF])
    whole: dict[str, Any] = {
        "title": "x",
        "subtitle": "",
        "text": "y",
        "facts": [{"name": "a", "value": "b"}],
        "picture": {"kind": "landscape", "description": "hills", "seed": 1},
        "page_size": "letter",
        "author": "z",
    }
    validator.validate(whole)
    validator.validate({**whole, "picture": {"kind": "none"}})
    assert not validator.is_valid({**whole, "picture": {"kind": "landscape"}})
    assert not validator.is_valid({**whole, "facts": whole["facts"] * 31})
    assert not validator.is_valid({**whole, "text": "y" * 20_001})
