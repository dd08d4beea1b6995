"""The provider `local` makes what its catalog entry says, and stops when it is told to."""

import asyncio
import io
import wave
from collections.abc import Mapping
from typing import Any, Final

import pytest
from PIL import Image
from pypdf import PdfReader

from services.catalog import LOCAL
from services.errors import PermanentError
from services.models import AssetType, new_id
from tests.conftest import until
from worker.providers.local import LocalProvider
from worker.providers.protocol import Content, Order

PROMPTS: Final[Mapping[AssetType, dict[str, Any]]] = {
    AssetType.IMAGE: {"description": "A lake", "width": 64, "height": 64},
    AssetType.MAP: {"description": "An island", "width": 256, "height": 256},
    AssetType.AUDIO: {"description": "A dance", "duration_s": 4},
    AssetType.VIDEO: {"description": "A lake", "width": 64, "height": 64, "duration_s": 1, "fps": 12},
    AssetType.PDF: {
        "title": "Vael",
        "text": "A town by the sea.",
        "facts": [{"name": "Founded", "value": "1326"}],
        "picture": {"kind": "landscape", "description": "A harbour", "seed": 1},
    },
}


def an_order(asset_type: AssetType, **changes: object) -> Order:
    prompt = PROMPTS[asset_type] | changes
    LOCAL.check(asset_type, None, prompt, ["input"])
    return Order(new_id(), 1, asset_type, None, prompt)


async def received(content: Content) -> bytes:
    return b"".join([chunk async for chunk in content.chunks])


async def made(asset_type: AssetType) -> tuple[Content, bytes, list[float]]:
    reports: list[float] = []
    content = await LocalProvider().generate(
        an_order(asset_type), lambda fraction, _=None: reports.append(fraction)
    )
    return content, await received(content), reports


def test_there_is_a_prompt_for_each_type_that_the_catalog_offers() -> None:
    assert PROMPTS.keys() == set(LOCAL.asset_types)


@pytest.mark.parametrize("asset_type", PROMPTS)
async def test_the_same_prompt_makes_the_same_asset_and_tells_how_far_it_is(asset_type: AssetType) -> None:
    _, first, reports = await made(asset_type)
    _, second, _ = await made(asset_type)
    assert first == second
    assert len(reports) >= 3
    assert reports == sorted(reports)
    assert all(0 <= fraction <= 1 for fraction in reports)


@pytest.mark.parametrize("asset_type", [AssetType.IMAGE, AssetType.MAP])
async def test_pictures_and_maps_are_as_large_as_was_asked_for(asset_type: AssetType) -> None:
    content, png, _ = await made(asset_type)
    wanted = PROMPTS[asset_type]
    assert Image.open(io.BytesIO(png)).size == (wanted["width"], wanted["height"])
    assert (content.format, content.content_type) == ("png", "image/png")
    assert (content.metadata["width"], content.metadata["height"]) == (wanted["width"], wanted["height"])


async def test_music_lasts_as_long_as_was_asked_for() -> None:
    content, wav, _ = await made(AssetType.AUDIO)
    with wave.open(io.BytesIO(wav)) as music:
        assert music.getnframes() / music.getframerate() == pytest.approx(4, abs=0.01)
    assert (content.format, content.content_type) == ("wav", "audio/wav")
    assert content.duration_seconds == pytest.approx(4, abs=0.01)


async def test_a_sheet_holds_its_text_its_facts_and_its_picture() -> None:
    content, pdf, _ = await made(AssetType.PDF)
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    text = page.extract_text()
    assert "A town by the sea." in text
    assert "Founded" in text
    assert len(page.images) == 1
    assert (content.format, content.content_type, content.metadata["pages"]) == ("pdf", "application/pdf", 1)


async def test_letters_that_cannot_be_set_end_the_job_for_good() -> None:
    order = an_order(AssetType.PDF, text="龍")
    with pytest.raises(PermanentError, match="龍") as refusal:
        await LocalProvider().generate(order, lambda *_: None)
    assert refusal.value.code == "UNPRINTABLE_TEXT"


async def test_a_run_that_is_cancelled_stops_at_its_next_report() -> None:
    reports = 0

    def count(fraction: float, message: str | None = None) -> None:  # noqa: ARG001 - what it reports does not matter
        nonlocal reports
        reports += 1

    provider = LocalProvider()
    running = asyncio.create_task(provider.generate(an_order(AssetType.AUDIO, duration_s=120), count))
    await until(lambda: reports)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # The next order is made by a thread that is free again.
    before = reports
    await received(await provider.generate(an_order(AssetType.IMAGE), lambda *_: None))
    assert reports <= before + 1
