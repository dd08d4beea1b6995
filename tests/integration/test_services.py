"""External services as providers, against a server that speaks their protocols and misbehaves."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from services.access import ANONYMOUS
from services.errors import ConfigurationError, GenerationError, InvalidInput, PassingError, PermanentError
from services.events import CANCELLED_CHANNEL
from services.lifecycle import JobStatus
from services.models import AssetType, new_id
from services.renders import keep
from services.resources import Resources
from tests.conftest import Opener, recorded_statements, running_loops, until
from tests.factories import a_request
from tests.fake_services import (
    FILM,
    KEY,
    SOUND,
    FakeServices,
    Reply,
    answer,
    cut_short,
    fake_services,
    hang_up,
    never,
    openai_error,
    page,
    prediction,
    problem,
    video,
)
from tests.inprocess import InProcessWorker, reached, state
from worker.providers.openai_media import OpenAiProvider
from worker.providers.openai_sdk import OpenAiService
from worker.providers.protocol import Content, Order, Provider
from worker.providers.registry import open_providers
from worker.providers.replicate_models import ReplicateProvider
from worker.providers.sora import SoraProvider
from worker.renders import RenderSweep

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


class Kept:
    """What a provider keeps of a service's, in the order of time."""

    def __init__(self) -> None:
        self.handles: list[str | None] = []

    async def __call__(self, handle: str | None) -> None:
        self.handles.append(handle)


@pytest.fixture
async def fake() -> AsyncIterator[FakeServices]:
    async with fake_services() as services:
        yield services


@pytest.fixture
async def provider_of(fake: FakeServices) -> AsyncIterator[Callable[[str], Any]]:
    """Return what opens a provider by name, at the fake services."""
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


@pytest.mark.parametrize("case", ASKED)
async def test_what_a_service_makes_arrives(case: str, fake: FakeServices, provider_of: Any) -> None:
    content, data = await made(provider_of(case), an_order(case))
    match case:
        case "openai picture":
            assert (content.format, content.metadata["width"], content.metadata["height"]) == ("png", 8, 6)
        case "openai speech":
            assert (data, content.content_type) == (SOUND, "audio/mpeg")
        case _:
            assert (data, content.content_type, content.format) == (FILM, "video/mp4", "mp4")
    asked = fake.calls[0]
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert "harbour" in json.dumps(asked.body) or asked.body["input"] == "Once upon a time"


REFUSALS: Final[dict[str, tuple[dict[str, Any], str, type[GenerationError]]]] = {
    "rate limit": ({"status": 429}, "RATE_LIMITED", PassingError),
    "fault": ({"status": 500}, "PROVIDER_UNAVAILABLE", PassingError),
    "overload": ({"status": 503}, "PROVIDER_UNAVAILABLE", PassingError),
    "bad request": ({"status": 400}, "PROVIDER_REFUSED", PermanentError),
    "policy": (
        {"status": 400, "code": "content_policy_violation", "message": "NSFW"},
        "CONTENT_POLICY",
        PermanentError,
    ),
    "bad key": ({"status": 401, "message": f"Incorrect API key: {KEY}"}, "PROVIDER_UNAUTHORIZED", PermanentError),
    "gone": ({"status": 410}, "PROVIDER_GONE", PermanentError),
}


@pytest.mark.parametrize("case", ASKED)
@pytest.mark.parametrize("why", REFUSALS)
async def test_a_refusal_is_an_error_of_its_kind_and_nothing_is_bought_twice(
    case: str, why: str, fake: FakeServices, provider_of: Any
) -> None:
    """Falls where the SDK repeats by itself what creates something."""
    told, code, kind = REFUSALS[why]
    fake.will(MAKES[case], refusing(case, **told, retry_after="7"))
    error = await refused(provider_of(case), an_order(case))
    assert (error.code, type(error)) == (code, kind)
    assert fake.count(MAKES[case]) == 1
    if isinstance(error, PassingError):
        assert error.retry_after == timedelta(seconds=7)
    assert KEY not in f"{error!r} {error.__cause__!r}"


async def test_a_service_that_is_not_there_any_more_is_gone(fake: FakeServices, provider_of: Any) -> None:
    fake.will("create", openai_error(404, None, "Invalid URL (POST /v1/videos)"))
    assert (await refused(provider_of("sora"), an_order("sora"))).code == "PROVIDER_GONE"


@pytest.mark.parametrize(("case", "code"), [("openai picture", "model_not_found"), ("replicate", None)])
async def test_a_model_that_is_not_there_is_no_service_that_is_gone(
    case: str, code: str | None, fake: FakeServices, provider_of: Any
) -> None:
    fake.will(MAKES[case], refusing(case, 404, code=code, message="no such model"))
    assert (await refused(provider_of(case), an_order(case))).code == "PROVIDER_REFUSED"


@pytest.mark.parametrize("case", ASKED)
@pytest.mark.parametrize("reply", [hang_up, never])
async def test_no_answer_passes_and_is_not_asked_for_again(
    case: str, reply: Reply, fake: FakeServices, provider_of: Any
) -> None:
    fake.will(MAKES[case], reply)
    error = await refused(provider_of(case), an_order(case))
    assert (error.code, type(error)) == ("PROVIDER_UNAVAILABLE", PassingError)
    assert fake.count(MAKES[case]) == 1


@pytest.mark.parametrize("case", [case for case in ASKED if case != "openai picture"])
async def test_a_download_that_breaks_off_passes(case: str, fake: FakeServices, provider_of: Any) -> None:
    fake.will("speech" if case == "openai speech" else "file", cut_short)
    error = await refused(provider_of(case), an_order(case))
    assert (error.code, type(error)) == ("DOWNLOAD_TRUNCATED", PassingError)


def rendering(case: str, status: str, **changes: Any) -> Reply:
    return prediction(status, **changes) if case == "replicate" else video(status, **changes)


@pytest.mark.parametrize("case", RENDERERS)
async def test_a_render_is_kept_before_it_is_looked_at_and_gone_on_with(
    case: str, fake: FakeServices, provider_of: Any
) -> None:
    """Falls where the handle of an earlier attempt is not gone on with, which buys a second render."""
    kept = Kept()
    busy = "processing" if case == "replicate" else "in_progress"
    fake.will("look", rendering(case, busy), rendering(case, busy), hang_up)
    provider = provider_of(case)
    await made(provider, an_order(case, kept))
    (handle,) = kept.handles
    assert fake.count("create") == 1
    _, data = await made(provider, an_order(case, kept, handle=handle))
    assert data == FILM
    assert (fake.count("create"), kept.handles) == (1, [handle])


@pytest.mark.parametrize("case", RENDERERS)
@pytest.mark.parametrize("gone", ["look", "file"])
async def test_a_render_that_has_expired_is_begun_anew_by_the_next_attempt(
    case: str, gone: str, fake: FakeServices, provider_of: Any
) -> None:
    kept = Kept()
    fake.will(gone, refusing(case, 404, code="not_found"))
    error = await refused(provider_of(case), an_order(case, kept, handle="old"))
    assert (error.code, type(error), kept.handles) == ("RENDER_EXPIRED", PassingError, [None])


@pytest.mark.parametrize("case", RENDERERS)
async def test_an_unknown_state_ends_the_job_and_stays_kept_to_be_cancelled(
    case: str, fake: FakeServices, provider_of: Any
) -> None:
    kept = Kept()
    fake.will("look", rendering(case, "dreaming"))
    error = await refused(provider_of(case), an_order(case, kept))
    assert (error.code, type(error)) == ("PROVIDER_UNKNOWN_STATE", PermanentError)
    assert len(kept.handles) == 1


@pytest.mark.parametrize("case", RENDERERS)
@pytest.mark.parametrize(
    ("why", "code"), [("out of memory", "RENDER_FAILED"), ("moderation_blocked: no", "CONTENT_POLICY")]
)
async def test_a_render_that_failed_is_forgotten(
    case: str, why: str, code: str, fake: FakeServices, provider_of: Any
) -> None:
    kept = Kept()
    error = why if case == "replicate" else {"code": why.partition(":")[0], "message": why}
    fake.will("look", rendering(case, "failed", error=error))
    assert (await refused(provider_of(case), an_order(case, kept))).code == code
    assert kept.handles[-1] is None


@pytest.mark.parametrize("case", RENDERERS)
async def test_what_cannot_be_kept_is_cancelled_at_once(case: str, fake: FakeServices, provider_of: Any) -> None:
    """Falls where a render is left behind that nobody would find again."""

    async def keep_not(_: str | None) -> None:
        raise PassingError("UNAVAILABLE", "PostgreSQL does not answer.")

    error = await refused(provider_of(case), an_order(case, keep=keep_not))
    assert error.code == "UNAVAILABLE"
    assert [call.operation for call in fake.calls] == ["create", "cancel"]


@pytest.mark.parametrize("case", RENDERERS)
async def test_to_cancel_what_is_not_known_is_no_error(case: str, fake: FakeServices, provider_of: Any) -> None:
    fake.will("cancel", refusing(case, 404))
    await provider_of(case).cancel("unknown")


async def test_a_model_that_makes_something_else_is_told_so(fake: FakeServices, provider_of: Any) -> None:
    order = Order(new_id(), 1, AssetType.IMAGE, "owner/name", {"input": {}})
    assert (await refused(provider_of("replicate"), order)).code == "WRONG_CONTENT"
    fake.will("look", prediction("succeeded", output={"text": "a poem"}))
    assert (await refused(provider_of("replicate"), an_order("replicate"))).code == "WRONG_CONTENT"


async def test_files_are_fetched_without_our_token(fake: FakeServices, provider_of: Any) -> None:
    await made(provider_of("replicate"), an_order("replicate"))
    (fetched,) = (call for call in fake.calls if call.operation == "file")
    assert "authorization" not in fetched.headers


async def ordered(resources: Resources, case: str) -> UUID:
    wanted = {"provider": case.partition(" ")[0], "max_attempts": 3} | ASKED[case]
    return (await resources.jobs.create(a_request(**wanted), ANONYMOUS)).state.job.id


async def renders(resources: Resources) -> list[str]:
    async with resources.database.connect() as connection:
        return [*(await connection.scalars(text("SELECT handle FROM renders")))]


@pytest.mark.parametrize("case", RENDERERS)
async def test_another_attempt_goes_on_with_what_is_paid_for(
    case: str, fake: FakeServices, provider_of: Any, open_services: Opener
) -> None:
    """Falls where a claim does not read what was kept."""
    resources = await open_services(**KEYS)
    worker = InProcessWorker(resources, provider_of(case))
    fake.will("file", cut_short)
    async with running_loops(resources), worker.running():
        job_id = await ordered(resources, case)
        await until(reached(resources, job_id, JobStatus.SUCCEEDED))
    found = await state(resources, job_id)
    assert (found.job.attempt, fake.count("create")) == (2, 1)
    assert found.asset is not None
    assert found.asset.size_bytes == len(FILM)
    assert len(await renders(resources)) == 1
    await worker.sweep.round()
    assert (await renders(resources), fake.count("cancel")) == ([], 0)


@pytest.mark.parametrize("case", RENDERERS)
async def test_a_cancellation_reaches_the_service(
    case: str, fake: FakeServices, provider_of: Any, open_services: Opener
) -> None:
    """Falls without the sweep; it is asked again where the service does not answer."""
    resources = await open_services(**KEYS)
    worker = InProcessWorker(resources, provider_of(case))
    busy = "processing" if case == "replicate" else "in_progress"
    fake.will("look", *[rendering(case, busy)] * 500)
    fake.will("cancel", refusing(case, 500))
    async with running_loops(resources), worker.running():
        job_id = await ordered(resources, case)
        await until(lambda: fake.count("look") > 1)
        await resources.jobs.cancel(job_id, ANONYMOUS)
        await worker.sweep.round()
        assert (len(await renders(resources)), fake.count("cancel")) == (1, 1)
        await worker.sweep.round()
    assert (await renders(resources), fake.count("cancel")) == ([], 2)
    assert {call.handle for call in fake.calls if call.operation == "cancel"} == {
        "video_1" if case == "sora" else "prediction_1"
    }


async def test_a_worker_hears_of_a_cancellation(fake: FakeServices, provider_of: Any, services: Resources) -> None:
    """Falls where the channel does not wake the sweep: its next round is an hour away."""
    sweep = RenderSweep(services.database, {"sora": provider_of("sora")}, interval=timedelta(hours=1))
    job_id = (await services.jobs.create(a_request(), ANONYMOUS)).state.job.id
    async with services.database.connect() as connection:
        await connection.execute(
            text("INSERT INTO renders (job_id, provider, handle) VALUES (:id, 'sora', 'video_1')"), {"id": job_id}
        )
    async with services.feed.listen(CANCELLED_CHANNEL, sweep):
        with recorded_statements() as asked:
            sweeping = asyncio.create_task(sweep.run())
            await until(lambda: any("FROM renders" in statement for statement in asked))
        await services.jobs.cancel(job_id, ANONYMOUS)
        await until(lambda: fake.count("cancel"))
        sweeping.cancel()


async def test_a_run_that_has_lost_its_job_keeps_nothing_and_cancels_what_it_began(
    fake: FakeServices, provider_of: Any, open_services: Opener
) -> None:
    """Falls where `keep` does not compare the fencing token."""
    resources = await open_services(**KEYS)

    async def lose(request: Any) -> Any:
        async with resources.database.connect() as connection:
            await connection.execute(text("UPDATE jobs SET fencing_token = fencing_token + 1"))
        return await video("queued")(request)

    fake.will("create", lose)
    async with running_loops(resources), InProcessWorker(resources, provider_of("sora")).running(beating=False):
        job_id = await ordered(resources, "sora")
        await until(lambda: fake.count("cancel"))
    assert (await renders(resources), fake.count("look")) == ([], 0)
    assert (await state(resources, job_id)).job.status is JobStatus.PROCESSING


async def test_only_the_holder_of_a_job_keeps_something_for_it(services: Resources) -> None:
    job_id = (await services.jobs.create(a_request(), ANONYMOUS)).state.job.id
    async with services.database.connect() as connection:
        assert not await keep(connection, job_id, "handle", held_token=0, provider="sora")
    assert await renders(services) == []


async def test_a_service_that_is_gone_ends_the_job_and_its_key_is_nowhere(
    fake: FakeServices, provider_of: Any, open_services: Opener
) -> None:
    resources = await open_services(**KEYS)
    for case, reply in (
        ("openai speech", openai_error(401, "invalid_api_key", f"Incorrect API key provided: {KEY}")),
        ("sora", openai_error(404, None, f"Not here, {KEY}")),
    ):
        fake.will(MAKES[case], reply)
        with capture_logs() as logs:
            async with running_loops(resources), InProcessWorker(resources, provider_of(case)).running():
                job_id = await ordered(resources, case)
                await until(reached(resources, job_id, JobStatus.FAILED))
        job = (await state(resources, job_id)).job
        assert (job.attempt, job.error_code) == (
            1,
            "PROVIDER_GONE" if case == "sora" else "PROVIDER_UNAUTHORIZED",
        )
        async with resources.database.connect() as connection:
            rows = [*(await connection.scalars(text("SELECT to_jsonb(t)::text FROM transitions t")))]
        assert KEY not in f"{job!r} {rows} {logs}"
        (refusal,) = (entry for entry in logs if entry["event"] == "service.refused")
        assert refusal["request_id"] == "req_1"


async def test_a_service_is_offered_where_its_key_is_set(open_services: Opener) -> None:
    plain, keyed = await open_services(), await open_services(**KEYS)
    assert {spec.name for spec in plain.catalog} == {"local", "simulator"}
    assert {spec.name for spec in keyed.catalog} == {"local", "simulator", "openai", "replicate", "sora"}
    async with open_providers(keyed) as providers:
        assert {*providers} == {spec.name for spec in keyed.catalog}
    for model_id, told in ((None, "is needed"), ("owner", "has no such model"), ("a/b\n", "has no such model")):
        request = a_request(provider="replicate", **ASKED["replicate"] | {"model_id": model_id})
        with pytest.raises(InvalidInput, match=told) as refusal:
            await keyed.jobs.create(request, ANONYMOUS)
        assert refusal.value.path == ("input", "modelId")


async def test_a_worker_without_an_sdk_says_how_to_install_it(
    open_services: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = await open_services(**KEYS)
    monkeypatch.setitem(sys.modules, "replicate.client", None)
    monkeypatch.delitem(sys.modules, "worker.providers.replicate_models")
    with pytest.raises(ConfigurationError, match="make services"):
        async with open_providers(resources):
            pass


@pytest.mark.parametrize("case", [case for case in ASKED if case != "openai speech"])
@pytest.mark.parametrize(
    "said", [page, answer({}), answer({"created": 1, "data": []})], ids=["html", "{}", "empty"]
)
async def test_an_answer_that_is_none_is_an_unknown_state(
    case: str, said: Reply, fake: FakeServices, provider_of: Any
) -> None:
    fake.will(MAKES[case], said)
    error = await refused(provider_of(case), an_order(case))
    assert (error.code, type(error)) == ("PROVIDER_UNKNOWN_STATE", PermanentError)
