"""What the tests of external services share: orders, and providers that give them to the fake services."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from services.access import ANONYMOUS
from services.errors import GenerationError
from services.models import AssetType, new_id
from services.resources import Resources
from tests.factories import a_request
from tests.fake_services import KEY, FakeServices, Reply, fake_services, openai_error, prediction, problem, video
from worker.providers.openai_media import OpenAiProvider
from worker.providers.openai_sdk import OpenAiService
from worker.providers.protocol import Content, Order, Provider
from worker.providers.replicate_models import ReplicateProvider
from worker.providers.sora import SoraProvider

PATIENCE: Final = timedelta(seconds=1)
WAIT: Final = timedelta(milliseconds=10)
KEYS: Final = {
    "OPENAI_API_KEY": KEY,
    "REPLICATE_API_TOKEN": KEY,
    "LOREKEEPER_SORA_BASE_URL": "http://127.0.0.1:1/v1",
}
ASKED: Final[dict[str, dict[str, Any]]] = {
    "openai picture": {"asset_type": AssetType.IMAGE, "prompt_spec": {"description": "A harbour"}},
    "openai speech": {"asset_type": AssetType.AUDIO, "prompt_spec": {"text": "Once upon a time"}},
    "sora": {"asset_type": AssetType.VIDEO, "prompt_spec": {"description": "A harbour"}},
    "replicate": {
        "asset_type": AssetType.VIDEO,
        "prompt_spec": {"input": {"prompt": "A harbour"}},
        "model_id": "owner/name",
    },
}
MAKES: Final = {"openai picture": "image", "openai speech": "speech", "sora": "create", "replicate": "create"}
RENDERERS: Final = ("sora", "replicate")
BUSY: Final = {"sora": "in_progress", "replicate": "processing"}
"""What each calls a render that goes on."""


class Kept:
    """What a provider keeps of a service's, in the order of time."""

    def __init__(self) -> None:
        self.handles: list[str | None] = []

    async def __call__(self, handle: str | None) -> None:
        self.handles.append(handle)


def an_order(case: str, kept: Kept | None = None, **changes: Any) -> Order:
    wanted = {"model_id": None} | ASKED[case] | ({"keep": kept} if kept else {}) | changes
    return Order(new_id(), 1, **wanted)


async def made(provider: Provider, order: Order) -> tuple[Content, bytes]:
    content = await provider.generate(order, lambda *_: None)
    return content, b"".join([chunk async for chunk in content.chunks])


async def refused(provider: Provider, order: Order) -> GenerationError:
    with pytest.raises(GenerationError) as refusal:
        await made(provider, order)
    return refusal.value


def refusing(case: str, status: int, *, code: str | None = None, message: str = "No.", **headers: str) -> Reply:
    """Refuse as the service of a case does."""
    if case == "replicate":
        return problem(status, message, **headers)
    return openai_error(status, code, message, **headers)


def rendering(case: str, status: str, **changes: Any) -> Reply:
    return prediction(status, **changes) if case == "replicate" else video(status, **changes)


async def ordered(resources: Resources, case: str) -> UUID:
    wanted = {"provider": case.partition(" ")[0], "max_attempts": 3} | ASKED[case]
    return (await resources.jobs.create(a_request(**wanted), ANONYMOUS)).state.job.id


@pytest.fixture
async def fake() -> AsyncIterator[FakeServices]:
    async with fake_services() as services:
        yield services


@pytest.fixture
async def provider_of(fake: FakeServices) -> AsyncIterator[Callable[[str], Any]]:
    """Return what opens the provider of a case, at the fake services."""
    opened: list[Any] = []

    def open_one(case: str) -> Any:
        name = case.partition(" ")[0]
        if name == "replicate":
            opened.append(ReplicateProvider(token=KEY, base_url=fake.url, patience=PATIENCE, wait=WAIT))
        else:
            service = OpenAiService(name, key=KEY, base_url=f"{fake.url}/v1", patience=PATIENCE)
            opened.append(OpenAiProvider(service) if name == "openai" else SoraProvider(service, wait=WAIT))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()
