"""Webhooks on a target that misbehaves: told at least once, under one id, signed, and nowhere they must not go."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from aiohttp import web
from sqlalchemy import text
from standardwebhooks import Webhook, WebhookVerificationError

from services.access import ANONYMOUS
from services.job_store import advance
from services.lifecycle import Event
from services.models import WebhookDeliveryRecord, WebhookStatus
from services.moves import Move
from services.resources import Resources
from services.webhooks import claim_due, find_deliveries
from tests.asking import ask
from tests.conftest import WEBHOOK_SECRET, Opener, recorded_statements, until
from tests.factories import a_request, an_asset
from tests.readme import block
from worker import webhooks
from worker.webhooks import WebhookSender, open_sender

OTHER_SECRET: Final = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOG: Final = """query($id: ID!) { job(id: $id) { webhookDeliveries {
    id seq status attempts nextAttemptAt deliveredAt tries { at tookMs statusCode error } } } }"""


@dataclass
class Call:
    """A call as it came."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Target:
    """A receiver. What it does next is planned; behind the plan it answers 204."""

    url: str = ""
    plan: list[Reply] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(
            Call({name.lower(): value for name, value in request.headers.items()}, await request.read())
        )
        reply = self.plan.pop(0) if self.plan else status(204)
        return await reply(request)


def status(code: int, **headers: str) -> Reply:
    async def reply(_request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=code, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return reply


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b"x" * 65536)
    return response


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    target = Target()
    application = web.Application()
    application.router.add_route("*", "/{any:.*}", target.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook?key=1"
    yield target
    await runner.cleanup()


@pytest.fixture
async def resources(open_services: Opener, monkeypatch: pytest.MonkeyPatch) -> Resources:
    """Return resources that may call this machine, and wait a twentieth of a second between tries."""
    monkeypatch.setattr(webhooks, "WAITS", (timedelta(seconds=0.05),) * 9)
    monkeypatch.setattr(webhooks, "LOOK_EVERY", timedelta(seconds=0.05))
    return await open_services(LOREKEEPER_WEBHOOK_PRIVATE="true")


@asynccontextmanager
async def sending(resources: Resources) -> AsyncIterator[WebhookSender]:
    async with open_sender(resources) as sender:
        assert sender is not None
        running = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            running.cancel()
            await asyncio.wait((running,))
            await sender.finish(timedelta())


async def ended(resources: Resources, url: str | None, event: Event = Event.SUCCEED) -> UUID:
    """Create a job and make it final."""
    job_id = (await resources.jobs.create(a_request(webhook_url=url), ANONYMOUS)).state.job.id
    if event is Event.CANCEL:
        await resources.jobs.cancel(job_id, ANONYMOUS)
        return job_id
    async with resources.database.connect() as connection:
        claimed = await advance(connection, [Move(job_id, Event.CLAIM, lease=timedelta(seconds=30))])
        job = claimed[job_id].job
        end = (
            Move(job_id, event, held_token=1, asset=an_asset(job))
            if event is Event.SUCCEED
            else Move(job_id, event, held_token=1, error_code="SIMULATED", error_message="It failed.")
        )
        await advance(connection, [end])
    return job_id


async def log_of(resources: Resources, job_id: UUID) -> list[WebhookDeliveryRecord]:
    async with resources.database.connect() as connection:
        return (await find_deliveries(connection, [job_id])).get(job_id, [])


async def settled(resources: Resources, job_id: UUID, within_s: float = 10) -> WebhookDeliveryRecord:
    """Wait until the only delivery of a job has ended."""

    async def done() -> bool:
        return [found.status is not WebhookStatus.PENDING for found in await log_of(resources, job_id)] == [True]

    await until(done, within_s=within_s)
    return (await log_of(resources, job_id))[0]


@pytest.mark.parametrize("event", [Event.SUCCEED, Event.FAIL, Event.CANCEL])
async def test_a_job_that_is_final_is_told_once_signed(resources: Resources, target: Target, event: Event) -> None:
    job_id = await ended(resources, target.url, event)
    async with sending(resources):
        delivery = await settled(resources, job_id)
        await asyncio.sleep(0.2)  # time for what must not come
    (call,) = target.calls
    assert (delivery.status, delivery.attempts, delivery.last_status_code) == (WebhookStatus.DELIVERED, 1, 204)
    assert call.headers["webhook-id"] == str(delivery.id)
    told: Any = Webhook(WEBHOOK_SECRET).verify(call.body.decode(), call.headers)
    ends = {Event.SUCCEED: "SUCCEEDED", Event.FAIL: "FAILED", Event.CANCEL: "CANCELLED"}
    assert told["type"] == f"job.{ends[event].lower()}"
    assert told["data"]["jobId"] == str(job_id)
    assert told["data"]["status"] == ends[event]
    assert (told["data"]["assetId"] is not None) == (event is Event.SUCCEED)
    assert told["data"]["errorCode"] == ("SIMULATED" if event is Event.FAIL else None)
    assert len(call.body) < 20_000
    assert "promptSpec" not in call.body.decode()


async def test_a_job_without_a_webhook_has_no_delivery(resources: Resources) -> None:
    job_id = await ended(resources, None)
    assert await log_of(resources, job_id) == []


async def test_a_job_that_is_not_final_has_none_and_a_renewed_one_another(
    resources: Resources, target: Target
) -> None:
    """Falls without the condition on `finished_at`, or with one delivery a job."""
    job_id = await ended(resources, target.url, Event.FAIL)
    first = await log_of(resources, job_id)
    await resources.jobs.renew(job_id, ANONYMOUS)
    assert await log_of(resources, job_id) == first
    await resources.jobs.cancel(job_id, ANONYMOUS)
    both = await log_of(resources, job_id)
    assert [delivery.seq for delivery in both] == [3, 5]
    assert len({delivery.id for delivery in both}) == 2


async def test_a_transaction_that_is_rolled_back_tells_nobody(resources: Resources, target: Target) -> None:
    job_id = (await resources.jobs.create(a_request(webhook_url=target.url), ANONYMOUS)).state.job.id
    with suppress(KeyError):
        async with resources.database.transaction() as connection:
            await advance(connection, [Move(job_id, Event.CANCEL)])
            raise KeyError
    assert await log_of(resources, job_id) == []


@pytest.mark.parametrize(
    "failure",
    [status(500), status(404), status(302, Location="/elsewhere"), hang_up],
    ids=["500", "404", "redirect", "dropped"],
)
async def test_a_try_that_fails_is_made_again_under_the_same_id(
    resources: Resources, target: Target, failure: Reply
) -> None:
    target.plan = [failure, failure]
    job_id = await ended(resources, target.url)
    async with sending(resources):
        delivery = await settled(resources, job_id)
    assert (delivery.status, delivery.attempts, len(target.calls)) == (WebhookStatus.DELIVERED, 3, 3)
    assert {call.headers["webhook-id"] for call in target.calls} == {str(delivery.id)}
    assert len({call.body for call in target.calls}) == 1
    assert [bool(entry["error"]) for entry in delivery.tries] == [True, True, False]


async def test_ten_tries_are_the_most(resources: Resources, target: Target) -> None:
    target.plan = [status(503)] * 20
    job_id = await ended(resources, target.url)
    async with sending(resources):
        delivery = await settled(resources, job_id)
        await asyncio.sleep(0.2)
    assert (delivery.status, delivery.attempts, len(target.calls)) == (WebhookStatus.FAILED, 10, 10)
    assert delivery.last_error == "The answer was 503 Service Unavailable."


async def test_gone_is_the_end(resources: Resources, target: Target) -> None:
    target.plan = [status(410)]
    job_id = await ended(resources, target.url)
    async with sending(resources):
        delivery = await settled(resources, job_id)
    assert (delivery.status, delivery.attempts) == (WebhookStatus.FAILED, 1)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured(resources: Resources, target: Target, form: str) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    target.plan = [status(429, Retry_After="7200" if form == "seconds" else format_datetime(later, usegmt=True))]
    job_id = await ended(resources, target.url)
    async with sending(resources):
        await until(lambda: _tried(resources, job_id))
    (delivery,) = await log_of(resources, job_id)
    assert delivery.next_attempt_at is not None
    assert abs(delivery.next_attempt_at - later) < timedelta(seconds=30)
    assert len(target.calls) == 1


async def _tried(resources: Resources, job_id: UUID) -> bool:
    return (await log_of(resources, job_id))[0].attempts == 1


async def test_a_target_that_does_not_answer_is_given_up_for_now(
    resources: Resources, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE", timedelta(seconds=0.3))
    target.plan = [never]
    job_id = await ended(resources, target.url)
    async with sending(resources):
        delivery = await settled(resources, job_id)
    assert delivery.attempts == 2
    assert delivery.tries[0]["error"] == "No answer within 0.3 s."


async def test_an_endless_answer_is_not_read(resources: Resources, target: Target) -> None:
    target.plan = [endless]
    job_id = await ended(resources, target.url)
    async with sending(resources):
        delivery = await settled(resources, job_id, within_s=5)
    assert delivery.status is WebhookStatus.DELIVERED


async def test_what_a_sender_that_died_held_is_sent_again(resources: Resources, target: Target) -> None:
    """Falls where a claim never ends; and nobody else sends it while the claim lasts."""
    job_id = await ended(resources, target.url)
    async with resources.database.connect() as connection:
        (held,) = await claim_due(connection, lease=timedelta(seconds=1), most=10)
        assert await claim_due(connection, lease=timedelta(seconds=1), most=10) == []
    async with sending(resources):
        delivery = await settled(resources, job_id)
    assert delivery.id == held.id
    assert len(target.calls) == 1


async def test_two_secrets_sign_while_one_is_replaced(
    open_services: Opener, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LOOK_EVERY", timedelta(seconds=0.05))
    secrets = f"{OTHER_SECRET},{WEBHOOK_SECRET}"
    resources = await open_services(LOREKEEPER_WEBHOOK_PRIVATE="true", LOREKEEPER_WEBHOOK_SECRETS=secrets)
    job_id = await ended(resources, target.url)
    async with sending(resources):
        await settled(resources, job_id)
    (call,) = target.calls
    for secret in (OTHER_SECRET, WEBHOOK_SECRET):
        Webhook(secret).verify(call.body.decode(), call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "bm90IG9uZSBvZiBvdXIgc2VjcmV0cyBhdCBhbGwhIQ==").verify(call.body.decode(), call.headers)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"])  # noqa: S104 - not bound to
async def test_nothing_of_ours_is_called(
    open_services: Opener, target: Target, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Falls without `_public_socket`."""
    monkeypatch.setattr(webhooks, "LOOK_EVERY", timedelta(seconds=0.05))
    resources = await open_services()
    job_id = await ended(resources, target.url.replace("127.0.0.1", host))
    async with sending(resources):
        await until(lambda: _tried(resources, job_id))
    (delivery,) = await log_of(resources, job_id)
    assert target.calls == []
    assert delivery.status is WebhookStatus.PENDING
    assert delivery.last_error == "The address is not public."


async def test_clients_read_the_log_and_a_page_costs_one_statement(resources: Resources, target: Target) -> None:
    target.plan = [status(500)]
    job_id = await ended(resources, target.url)
    async with sending(resources):
        delivery = await settled(resources, job_id)
    answer = await ask(resources, LOG, id=str(job_id))
    (told,) = answer["data"]["job"]["webhookDeliveries"]
    assert (told["id"], told["seq"], told["status"], told["attempts"]) == (str(delivery.id), 3, "DELIVERED", 2)
    assert [entry["statusCode"] for entry in told["tries"]] == [500, 204]
    assert told["nextAttemptAt"] is None
    for _ in range(5):
        await ended(resources, target.url)
    await resources.dispatcher.drain()
    with recorded_statements() as statements:
        page = await ask(resources, "{ jobs { edges { node { webhookDeliveries { status } } } } }")
    assert [len(edge["node"]["webhookDeliveries"]) for edge in page["data"]["jobs"]["edges"]] == [1] * 6
    assert len(statements) == 2, statements


async def test_what_waits_for_its_next_try_does_not_keep_others(resources: Resources, target: Target) -> None:
    for _ in range(30):
        await ended(resources, target.url)
    async with resources.database.connect() as connection:
        await connection.execute(text("UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 hour'"))
    job_id = await ended(resources, target.url)
    async with sending(resources):
        await settled(resources, job_id)
    assert [json.loads(call.body)["data"]["jobId"] for call in target.calls] == [str(job_id)]


async def test_the_readmes_receiver_knows_who_calls(resources: Resources, target: Target) -> None:
    code = block("python", "from standardwebhooks")
    receiver: dict[str, Any] = {}
    exec(code.replace("whsec_…", WEBHOOK_SECRET), receiver)  # noqa: S102 - our own words
    job_id = await ended(resources, target.url)
    async with sending(resources):
        await settled(resources, job_id)
    (call,) = target.calls
    transport = httpx.ASGITransport(receiver["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
        for body, code_of_answer in ((call.body, 204), (call.body + b" ", 401)):
            headers = {name: value for name, value in call.headers.items() if name.startswith("webhook-")}
            assert (await client.post("/hook", content=body, headers=headers)).status_code == code_of_answer
