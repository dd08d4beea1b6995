"""Who may use what: every field, by every kind of token, on every transport."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from schema import build_schema
from services.access import Scope
from services.settings import load_settings
from tests.conftest import until
from tests.realm import OURS, THEIRS, UNTOUCHED, Realm, filled_with_jobs
from tests.serving import PROTOCOL, begun, closed, serving
from tests.tokens import JWT, SECRET, a_token, bearer, claims

INPUT: Final = (
    '{worldId: "eldoria", assetType: IMAGE, provider: "simulator", promptSpec: {}, idempotencyKey: "access"}'
)


@dataclass(frozen=True)
class Field:
    """How to ask for a field of the contract.

    Attributes:
        operation: with the names of `Realm.ids` in the places of values.
        scope: what it needs.
        elsewhere: what a caller of another world is answered: a code, or the data.
    """

    operation: str
    scope: Scope
    elsewhere: object


FIELDS: Final = {
    "Query.node": Field("{ it: node(id: $asset) { id } }", Scope.READ, None),
    "Query.job": Field("{ it: job(id: $job) { id } }", Scope.READ, None),
    "Query.jobs": Field(
        "{ it: jobs { edges { node { id } } totalCount } }", Scope.READ, {"edges": [], "totalCount": 0}
    ),
    "Query.assets": Field("{ it: assets { edges { node { id job { id } } } } }", Scope.READ, {"edges": []}),
    "Query.asset": Field("{ it: asset(id: $asset) { id job { id } } }", Scope.READ, None),
    "Query.providers": Field("{ it: providers { name } }", Scope.READ, [{"name": "local"}, {"name": "simulator"}]),
    "Mutation.createAssetJob": Field(
        f"mutation {{ it: createAssetJob(input: {INPUT}) {{ job {{ id }} }} }}", Scope.WRITE, "NOT_FOUND"
    ),
    "Mutation.createAssetJobs": Field(
        f"mutation {{ it: createAssetJobs(inputs: [{INPUT}]) {{ job {{ id }} }} }}", Scope.WRITE, "NOT_FOUND"
    ),
    "Mutation.createUpload": Field(
        """mutation { it: createUpload(input: {
            worldId: "eldoria", assetType: IMAGE, filename: "a.png", contentType: "image/png"}) { url } }""",
        Scope.WRITE,
        "NOT_FOUND",
    ),
    "Mutation.cancelJob": Field("mutation { it: cancelJob(id: $live) { id } }", Scope.WRITE, "NOT_FOUND"),
    "Mutation.retryJob": Field("mutation { it: retryJob(id: $live) { id } }", Scope.WRITE, "NOT_FOUND"),
    "Mutation.deleteAsset": Field("mutation { it: deleteAsset(id: $asset) { id } }", Scope.WRITE, "NOT_FOUND"),
    "Subscription.jobUpdates": Field(
        "subscription { it: jobUpdates(jobId: $job) { seq } }", Scope.READ, "NOT_FOUND"
    ),
    "Subscription.worldUpdates": Field(
        'subscription { it: worldUpdates(worldId: "eldoria", after: $start) { seq } }', Scope.READ, "NOT_FOUND"
    ),
    # Queues belong to no world.
    "Query.queues": Field("{ it: queues { deadLetters } }", Scope.ADMIN, [{"deadLetters": 0}] * 3),
    "Mutation.redriveDeadLetters": Field(
        "mutation { it: redriveDeadLetters(queue: $queue) }", Scope.ADMIN, elsewhere=0
    ),
    "Mutation.purgeQueue": Field("mutation { it: purgeQueue(queue: $queue) }", Scope.ADMIN, elsewhere=True),
    "Subscription.queueStats": Field(
        "subscription { it: queueStats { deadLetters } }", Scope.ADMIN, [{"deadLetters": 0}] * 3
    ),
}
DENIED: Final = {
    "no token": None,
    "expired": a_token(lasts=-timedelta(seconds=1)),
    "wrong audience": a_token(aud="another service", exp=2**33),
    "wrong signature": a_token(secret="another secret of 32 bytes or more", exp=2**33),
    "alg none": jwt.encode(claims(exp=2**33), "", algorithm="none"),
}


def test_every_field_of_the_schema_is_in_the_table() -> None:
    schema = build_schema()._schema  # noqa: SLF001 - Strawberry has no other way to list fields
    roots = [schema.query_type, schema.mutation_type, schema.subscription_type]
    assert FIELDS.keys() == {f"{root.name}.{name}" for root in roots if root is not None for name in root.fields}


@pytest.fixture
def changes(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings that one test changes."""
    changed: dict[str, str] = getattr(request, "param", {})
    return changed


@pytest.fixture
async def realm(
    environment: dict[str, str], changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Realm]:
    for name, value in (environment | JWT | {"LOREKEEPER_ALLOW_PURGE": "true"} | changes).items():
        monkeypatch.setenv(name, value)
    async with serving(load_settings()) as (address, app):
        yield Realm(address, app, await filled_with_jobs(app.state.resources))


@pytest.mark.parametrize("case", DENIED)
async def test_no_field_answers_without_a_valid_token(realm: Realm, case: str) -> None:
    before = await realm.state()
    for name, field in FIELDS.items():
        answer = await realm.ask(field.operation, DENIED[case])
        assert answer.keys() == {"errors", "status"}, name
        assert answer["status"] == 401, name
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"], name
    assert await realm.state() == before
    assert await realm.holds(UNTOUCHED)


async def test_no_field_answers_without_its_scope(realm: Realm) -> None:
    before = await realm.state()
    for name, field in FIELDS.items():
        others = " ".join(scope for scope in Scope if scope is not field.scope)
        answer = await realm.ask(field.operation, a_token(scope=others))
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN", name
        assert error["path"] == ["it"], name
        assert not (answer["data"] or {}).get("it"), name
    assert await realm.state() == before
    assert await realm.holds(UNTOUCHED)


async def test_another_world_does_not_exist(realm: Realm) -> None:
    before = await realm.state()
    for name, field in FIELDS.items():
        answer = await realm.ask(field.operation, a_token(worlds=["nowhere"]))
        if isinstance(field.elsewhere, str):
            assert [error["extensions"]["code"] for error in answer["errors"]] == [field.elsewhere], name
        else:
            assert answer["data"]["it"] == field.elsewhere, name
    assert await realm.state() == before


async def test_every_field_answers_the_caller_who_may_ask(realm: Realm) -> None:
    for name, field in FIELDS.items():
        answer = await realm.ask(field.operation, a_token(worlds=[OURS], scope=field.scope))
        assert "errors" not in answer, (name, answer)
        assert answer["data"]["it"] not in (None, []), name


async def test_a_list_holds_the_jobs_of_the_callers_worlds_alone(realm: Realm) -> None:
    async def worlds(filter: str, allowed: object) -> tuple[list[str], int]:  # noqa: A002 - the contract's name
        query = f"{{ jobs{filter} {{ totalCount edges {{ node {{ worldId }} }} }} }}"
        jobs = (await realm.ask(query, a_token(worlds=allowed)))["data"]["jobs"]
        return sorted({edge["node"]["worldId"] for edge in jobs["edges"]}), jobs["totalCount"]

    assert await worlds("", "*") == ([OURS, THEIRS], 4)
    assert await worlds("", [OURS, THEIRS]) == ([OURS, THEIRS], 4)
    assert await worlds("", [OURS]) == ([OURS], 2)
    assert await worlds('(filter: {worldId: "mirth"})', [OURS]) == ([], 0)
    assert await worlds("", []) == ([], 0)


async def test_jobs_and_assets_show_who_asked_for_them(realm: Realm) -> None:
    create_job = f"mutation {{ createAssetJob(input: {INPUT}) {{ job {{ requestedBy }} }} }}"
    answer = await realm.ask(create_job, a_token(sub="oriel"))
    assert answer["data"]["createAssetJob"]["job"]["requestedBy"] == "oriel"


@pytest.mark.parametrize("case", DENIED)
async def test_a_websocket_begins_only_with_a_valid_token(realm: Realm, case: str) -> None:
    token = DENIED[case]
    async with connect(f"ws://{realm.address}/graphql", subprotocols=PROTOCOL) as connection:
        payload = {} if token is None else bearer(token)
        await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert await closed(connection) == 4403


async def test_a_websocket_shows_its_token_in_the_first_message_or_in_the_handshake(realm: Realm) -> None:
    token = a_token()
    for payload in (bearer(token), {"authorization": f"bearer  {token}"}):
        await (await begun(realm.address, payload)).close()
    address = f"ws://{realm.address}/graphql"
    async with connect(address, subprotocols=PROTOCOL, additional_headers=bearer(token)) as connection:
        await connection.send('{"type": "connection_init"}')
        assert json.loads(await connection.recv()) == {"type": "connection_ack"}


async def test_scopes_and_worlds_hold_on_a_websocket(realm: Realm) -> None:
    connection = await begun(realm.address, bearer(a_token(worlds=["nowhere"], scope=Scope.READ)))
    expected = {
        "Subscription.jobUpdates": "NOT_FOUND",
        "Subscription.worldUpdates": "NOT_FOUND",
        "Mutation.cancelJob": "FORBIDDEN",
    }
    for name, code in expected.items():
        (error,) = await first_errors(connection, realm.filled(FIELDS[name].operation))
        assert error["extensions"]["code"] == code
    await connection.close()


async def first_errors(connection: ClientConnection, operation: str) -> list[dict[str, Any]]:
    """Return the errors in the first answer to an operation."""
    await connection.send(json.dumps({"type": "subscribe", "id": operation, "payload": {"query": operation}}))
    while True:
        message = json.loads(await connection.recv())
        if message["type"] == "error":
            return list(message["payload"])
        if message["type"] == "next":
            return list(message["payload"]["errors"])


async def test_a_stream_ends_with_its_token_and_goes_on_with_a_new_one(realm: Realm) -> None:
    follow = (
        'subscription($after: String) { worldUpdates(worldId: "eldoria", after: $after) { cursor jobId seq } }'
    )

    async def received(connection: ClientConnection, after: str, number: int) -> list[dict[str, Any]]:
        payload = {"query": follow, "variables": {"after": after}}
        await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        messages = [json.loads(await connection.recv()) for _ in range(number)]
        return [message["payload"]["data"]["worldUpdates"] for message in messages]

    first = await begun(realm.address, bearer(a_token(lasts=timedelta(seconds=2))))
    before = await received(first, realm.ids["start"], 2)
    assert await closed(first) == 4403
    second = await begun(realm.address, bearer(a_token()))
    after = await received(second, before[-1]["cursor"], 2)
    await second.close()
    seqs = [(item["jobId"], item["seq"]) for item in before + after]
    assert len(set(seqs)) == len(seqs) == 4


@pytest.mark.parametrize("accept", ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"])
async def test_a_stream_over_http_is_cut_when_its_token_ends(realm: Realm, accept: str) -> None:
    headers = bearer(a_token(lasts=timedelta(seconds=2))) | {"Accept": accept}
    body = {"query": realm.filled(FIELDS["Subscription.worldUpdates"].operation)}
    received = b""
    async with (
        httpx.AsyncClient(base_url=f"http://{realm.address}", headers=headers) as client,
        client.stream("POST", "/graphql", json=body) as response,
    ):
        chunks = response.aiter_bytes()
        with suppress(httpx.RemoteProtocolError):
            while True:
                received += await anext(chunks)
    assert b'"seq":1' in received
    assert (await realm.ask(FIELDS["Subscription.worldUpdates"].operation, a_token()))["data"]


@pytest.mark.parametrize("changes", [{"LOREKEEPER_MAX_CONNECTIONS": "2"}], indirect=True)
async def test_connections_are_counted_by_caller(realm: Realm) -> None:
    mira = [await begun(realm.address, bearer(a_token(sub="mira"))) for _ in range(2)]
    oriel = [await begun(realm.address, bearer(a_token(sub="oriel"))) for _ in range(2)]
    async with connect(f"ws://{realm.address}/graphql", subprotocols=PROTOCOL) as third:
        await third.send(json.dumps({"type": "connection_init", "payload": bearer(a_token(sub="mira"))}))
        assert await closed(third) == 1013
    answer = await realm.ask(FIELDS["Subscription.jobUpdates"].operation, a_token(sub="oriel"))
    assert answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    for connection in mira + oriel:
        await connection.close()

    async def may_come_again() -> bool:
        try:
            await (await begun(realm.address, bearer(a_token(sub="mira")))).close()
        except ConnectionClosed:
            return False
        return True

    await until(may_come_again)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "LOREKEEPER_JWT_SECRET": "",
            # The port for discarding: nobody listens.
            "LOREKEEPER_JWKS_URL": "http://127.0.0.1:9/keys",
        }
    ],
    indirect=True,
)
async def test_where_keys_cannot_be_fetched_clients_are_told_to_come_again(realm: Realm) -> None:
    token = jwt.encode(claims(), SECRET, headers={"kid": "first"})
    answer = await realm.ask("{ providers { name } }", token)
    assert answer["status"] == 503
    assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    async with connect(f"ws://{realm.address}/graphql", subprotocols=PROTOCOL) as connection:
        await connection.send(json.dumps({"type": "connection_init", "payload": bearer(token)}))
        assert await closed(connection) == 1013


async def test_what_holds_no_data_needs_no_token(realm: Realm) -> None:
    async with httpx.AsyncClient(base_url=f"http://{realm.address}") as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200
        challenge = await client.post("/graphql", json={"query": "{ __schema { types { name } } }"})
    assert challenge.status_code == 401
    assert challenge.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "[", "127.0.0.1.evil.example"])
async def test_without_authentication_no_other_name_leads_here(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with (
        serving(load_settings()) as (address, _),
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        assert (await client.get("/healthz", headers={"Host": host})).status_code in (400, 403)
        assert (await client.get("/healthz", headers={"Host": "localhost:1"})).status_code == 200
