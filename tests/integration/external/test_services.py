"""External services as providers, against a server that speaks their protocols and misbehaves."""

import json
import sys
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from services.access import ANONYMOUS
from services.errors import ConfigurationError, GenerationError, InvalidInput, PassingError, PermanentError
from services.lifecycle import JobStatus
from services.models import AssetType, new_id
from tests.conftest import Opener, running_loops, until
from tests.factories import a_request
from tests.fake_services import (
    FILM,
    KEY,
    SOUND,
    FakeServices,
    Reply,
    answer,
    cut_short,
    hang_up,
    never,
    openai_error,
    page,
    prediction,
)
from tests.inprocess import InProcessWorker, reached, state
from tests.integration.external.conftest import (
    ASKED,
    BUSY,
    KEYS,
    MAKES,
    RENDERERS,
    Kept,
    an_order,
    made,
    ordered,
    refused,
    refusing,
    rendering,
)
from worker.providers.protocol import Order
from worker.providers.registry import open_providers


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


@pytest.mark.parametrize("case", RENDERERS)
async def test_a_render_is_kept_before_it_is_looked_at_and_gone_on_with(
    case: str, fake: FakeServices, provider_of: Any
) -> None:
    """Falls where the handle of an earlier attempt is not gone on with, which buys a second render."""
    kept = Kept()
    fake.will("look", rendering(case, BUSY[case]), rendering(case, BUSY[case]), hang_up)
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
