"""The provider `local` makes what its catalog entry says, and stops when it is told to."""

import asyncio
import io
import os
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import psutil
import pytest
from PIL import Image
from pypdf import PdfReader

from services.catalog import LOCAL
from services.errors import PassingError, PermanentError
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


LONG: Final[Mapping[AssetType, dict[str, Any]]] = {
    AssetType.AUDIO: {"duration_s": 120},
    AssetType.VIDEO: {"width": 854, "height": 480, "duration_s": 12},
}


def an_order(asset_type: AssetType, **changes: object) -> Order:
    prompt = PROMPTS[asset_type] | changes
    LOCAL.check(asset_type, None, prompt, ["input"])
    return Order(new_id(), 1, asset_type, None, prompt)


async def received(content: Content) -> bytes:
    return b"".join([chunk async for chunk in content.chunks])


Made = Callable[..., Awaitable[tuple[Content, bytes, list[float]]]]


@pytest.fixture
async def provider() -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(memory_mib=1024)
    yield provider
    await provider.close()


@pytest.fixture
def made(provider: LocalProvider) -> Made:
    """Return what makes an asset, and tells how far it was at each report."""

    async def make(asset_type: AssetType, **changes: object) -> tuple[Content, bytes, list[float]]:
        reports: list[float] = []
        order = an_order(asset_type, **changes)
        content = await provider.generate(order, lambda fraction, _=None: reports.append(fraction))
        return content, await received(content), reports

    return make


def test_there_is_a_prompt_for_each_type_that_the_catalog_offers() -> None:
    assert PROMPTS.keys() == set(LOCAL.asset_types)


@pytest.mark.parametrize("asset_type", PROMPTS)
async def test_the_same_prompt_makes_the_same_asset_and_tells_how_far_it_is(
    asset_type: AssetType, made: Made
) -> None:
    _, first, reports = await made(asset_type)
    _, second, _ = await made(asset_type)
    assert first == second
    assert len(reports) >= 3
    assert reports == sorted(reports)
    assert all(0 <= fraction <= 1 for fraction in reports)


@pytest.mark.parametrize("asset_type", [AssetType.IMAGE, AssetType.MAP])
async def test_pictures_and_maps_are_as_large_as_was_asked_for(asset_type: AssetType, made: Made) -> None:
    content, png, _ = await made(asset_type)
    wanted = PROMPTS[asset_type]
    assert Image.open(io.BytesIO(png)).size == (wanted["width"], wanted["height"])
    assert (content.format, content.content_type) == ("png", "image/png")
    assert (content.metadata["width"], content.metadata["height"]) == (wanted["width"], wanted["height"])


async def test_music_lasts_as_long_as_was_asked_for(made: Made) -> None:
    content, wav, _ = await made(AssetType.AUDIO)
    with wave.open(io.BytesIO(wav)) as music:
        assert music.getnframes() / music.getframerate() == pytest.approx(4, abs=0.01)
    assert (content.format, content.content_type) == ("wav", "audio/wav")
    assert content.duration_seconds == pytest.approx(4, abs=0.01)


async def test_a_sheet_holds_its_text_its_facts_and_its_picture(made: Made) -> None:
    content, pdf, _ = await made(AssetType.PDF)
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    text = page.extract_text()
    assert "A town by the sea." in text
    assert "Founded" in text
    assert len(page.images) == 1
    assert (content.format, content.content_type, content.metadata["pages"]) == ("pdf", "application/pdf", 1)


async def test_letters_that_cannot_be_set_end_the_job_for_good(made: Made) -> None:
    with pytest.raises(PermanentError, match="龍") as refusal:
        await made(AssetType.PDF, text="龍")
    assert refusal.value.code == "UNPRINTABLE_TEXT"
    await made(AssetType.PDF)  # the process that refused it goes on


async def test_what_takes_more_memory_than_it_may_is_refused_and_others_are_made() -> None:
    """Falls without the bound of a workshop's memory."""
    provider = LocalProvider(memory_mib=256)
    try:
        with pytest.raises(PermanentError) as refusal:
            await provider.generate(an_order(AssetType.IMAGE, width=2048, height=2048), lambda *_: None)
        assert refusal.value.code == "OUT_OF_MEMORY"
        await received(await provider.generate(an_order(AssetType.IMAGE), lambda *_: None))
    finally:
        await provider.close()


def workshops() -> list[psutil.Process]:
    """Return the processes of this one that make assets, and whatever they have started."""
    return [
        each
        for child in psutil.Process().children()
        if "worker.providers.workshop" in child.cmdline()
        for each in (child, *child.children(recursive=True))
    ]


@pytest.mark.parametrize("asset_type", [AssetType.AUDIO, AssetType.VIDEO])
async def test_a_run_that_is_cancelled_leaves_nothing_running(
    asset_type: AssetType, provider: LocalProvider
) -> None:
    """Falls where the process of a run that is stopped is not killed."""
    reports = 0

    def count(fraction: float, message: str | None = None) -> None:  # noqa: ARG001 - what it reports does not matter
        nonlocal reports
        reports += 1

    number = 2 if asset_type is AssetType.VIDEO else 1
    running = asyncio.create_task(provider.generate(an_order(asset_type, **LONG[asset_type]), count))
    await until(lambda: reports and len(workshops()) == number)
    started = workshops()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not any(process.is_running() for process in started))
    await received(await provider.generate(an_order(AssetType.IMAGE), lambda *_: None))


async def test_a_process_that_dies_costs_its_own_run_an_attempt_and_no_other(provider: LocalProvider) -> None:
    reported = asyncio.Event()
    running = asyncio.create_task(
        provider.generate(an_order(AssetType.AUDIO, duration_s=120), lambda *_: reported.set())
    )
    await reported.wait()
    (process,) = workshops()
    process.kill()
    with pytest.raises(PassingError) as death:
        await running
    assert death.value.code == "PROCESS_DIED"
    await received(await provider.generate(an_order(AssetType.IMAGE), lambda *_: None))


async def test_a_process_makes_one_asset_after_the_other_and_ends_with_its_provider() -> None:
    provider = LocalProvider(memory_mib=1024)
    for _ in range(3):
        await received(await provider.generate(an_order(AssetType.IMAGE), lambda *_: None))
        (process,) = workshops()
    assert os.getsid(process.pid) == process.pid, "Ctrl-C is for the worker, which lets its runs end"
    await provider.close()
    assert not process.is_running()


async def test_a_workshop_knows_no_secret(provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://lore:keeper@db/lore")
    await received(await provider.generate(an_order(AssetType.IMAGE), lambda *_: None))
    (process,) = workshops()
    assert "DATABASE_URL" not in process.environ()
