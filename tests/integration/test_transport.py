"""HTTP and WebSocket: what is no GraphQL is refused by the rules of each."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from schema.sharing import SharedResult
from services.feed import Feed
from services.settings import load_settings
from tests.conftest import until
from tests.serving import PROTOCOL, begun, closed, serving


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings that one test changes."""
    changed: dict[str, str] = getattr(request, "param", {})
    return changed


@pytest.fixture
async def served(
    environment: dict[str, str], limits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, Starlette]]:
    """Serve the application on a free port of this process."""
    for name, value in (environment | limits).items():
        monkeypatch.setenv(name, value)
    async with serving(load_settings()) as server:
        yield server


@pytest.fixture
def address(served: tuple[str, Starlette]) -> str:
    return served[0]


@pytest.fixture
def feed(served: tuple[str, Starlette]) -> Feed:
    """The server's subscription to Redis."""
    found: Feed = served[1].state.resources.feed
    return found


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        "5",
        "null",
        '"x"',
        "[" * 100_000,
        "{}",
        '{"type": "nonsense"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 5}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{__typename}"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{__typename}", "variables": []}}',
        b"binary",
    ],
)
async def test_a_message_that_does_not_fit_the_protocol_closes_with_4400(address: str, frame: str | bytes) -> None:
    connection = await begun(address)
    await connection.send(frame)
    assert await closed(connection) == 4400


async def test_who_does_not_begin_is_closed_after_three_seconds(address: str) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=PROTOCOL) as connection:
        assert await closed(connection) == 4408


async def test_an_operation_before_the_beginning_is_unauthorized(address: str) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=PROTOCOL) as connection:
        await connection.send('{"type": "subscribe", "id": "1", "payload": {"query": "{__typename}"}}')
        assert await closed(connection) == 4401


async def test_the_legacy_protocol_and_none_are_refused(address: str) -> None:
    for protocols in ([Subprotocol("graphql-ws")], None):
        async with connect(f"ws://{address}/graphql", subprotocols=protocols) as connection:
            assert await closed(connection) == 4406


async def test_a_page_of_another_origin_may_not_connect(address: str) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        await connect(f"ws://{address}/graphql", subprotocols=PROTOCOL, origin="http://evil.example")  # type: ignore[arg-type]


async def test_an_unknown_job_is_told_as_an_error_of_its_operation(address: str) -> None:
    connection = await begun(address)
    query = 'subscription { jobUpdates(jobId: "01890a5d-ac96-774b-bcce-b302099a8057") { seq } }'
    await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}}))
    message = json.loads(await connection.recv())
    assert message["id"] == "1"
    assert message["payload"]["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert json.loads(await connection.recv()) == {"type": "complete", "id": "1"}
    await connection.close()


async def subscribed(connection: ClientConnection, operation_id: str, world: str = "eldoria") -> None:
    query = f'subscription {{ worldUpdates(worldId: "{world}") {{ seq }} }}'
    await connection.send(json.dumps({"type": "subscribe", "id": operation_id, "payload": {"query": query}}))


async def test_a_connection_may_begin_without_a_payload(address: str) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=PROTOCOL) as connection:
        await connection.send('{"type": "connection_init", "payload": null}')
        assert json.loads(await connection.recv()) == {"type": "connection_ack"}


async def test_the_server_pings(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema.clients.PING_EVERY", timedelta(seconds=1))
    connection = await begun(address)
    async with asyncio.timeout(10):
        assert json.loads(await connection.recv()) == {"type": "ping"}
    await connection.close()


@pytest.mark.parametrize("limits", [{"LOREKEEPER_MAX_OPERATIONS": "2"}], indirect=True)
async def test_operations_a_connection_are_bounded(address: str) -> None:
    connection = await begun(address)
    for operation_id in ("a", "b", "c"):
        await subscribed(connection, operation_id)
    message = json.loads(await connection.recv())
    assert (message["type"], message["id"]) == ("error", "c")
    assert message["payload"][0]["extensions"] == {"code": "RATE_LIMITED"}
    await connection.send('{"type": "complete", "id": "a"}')
    await subscribed(connection, "d")
    await connection.send('{"type": "subscribe", "id": "e", "payload": {"query": "{__typename}"}}')
    assert json.loads(await connection.recv())["id"] == "e"
    await connection.close()


@pytest.mark.parametrize("limits", [{"LOREKEEPER_MAX_CONNECTIONS": "2"}], indirect=True)
async def test_connections_a_caller_are_bounded_and_free_again(address: str) -> None:
    first = await begun(address)
    second = await begun(address)
    with pytest.raises(InvalidStatus, match="429"):
        await begun(address)
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://{address}/graphql", json={"query": WATCH}, headers=EVENTS)
    assert answer.status_code == 429
    assert answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    await first.close()
    await second.close()
    third = await begun(address)
    await third.close()


WATCH = 'subscription { worldUpdates(worldId: "eldoria") { seq } }'
EVENTS = {"accept": "text/event-stream"}
CREATE = """mutation { createAssetJob(input: {worldId: "eldoria", assetType: IMAGE, provider: "simulator",
    promptSpec: {}}) { job { id cursor } } }"""


CANCEL = "mutation($id: ID!) { cancelJob(id: $id) { status } }"
FOLLOW = "subscription($id: ID!, $after: String) { jobUpdates(jobId: $id, after: $after) { kind seq cursor } }"


async def asked(client: httpx.AsyncClient, address: str, query: str, **variables: object) -> dict[str, Any]:
    answer = await client.post(f"http://{address}/graphql", json={"query": query, "variables": variables})
    data: dict[str, Any] = answer.json()["data"]
    return data


async def raw(address: str, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection and send the beginning of an operation, whose body would have 100 bytes."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    head = ("POST /graphql HTTP/1.1", "host: localhost", "content-type: application/json", "content-length: 100")
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + sent)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("limits", [{"LOREKEEPER_STREAM_IDLE_S": "0.5"}], indirect=True)
async def test_a_body_that_does_not_come_to_its_end_is_refused(address: str) -> None:
    """Whether nothing comes, or a byte now and then."""
    reader, writer = await raw(address, b"{")

    async def drip() -> None:
        while True:
            await asyncio.sleep(0.1)
            writer.write(b" ")

    dripping = asyncio.create_task(drip())
    # As HTTP clients read: not to the end of the connection, which is a reset if a drop came in just then.
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        (length,) = re.findall(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(length))
    dripping.cancel()
    writer.close()
    assert head.startswith(b"http/1.1 408 ")
    assert b"connection: close" in head
    assert json.loads(body)["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"query": "{__typename}"', "line 1 column"),
        ('{"query": "{__typename}", "variables": {"a": "\\ud800"}}', "surrogate"),
        ('{"query": "{__typename}", "operationName": 1}', "operationName"),
        ('{"query": 1}', "query"),
    ],
)
async def test_what_is_no_request_is_told_what_is_wrong(address: str, body: str, told: str) -> None:
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://{address}/graphql", content=body, headers=headers)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (400, "BAD_USER_INPUT")
    assert told in error["message"]


async def test_a_client_that_leaves_in_its_body_is_no_error(
    served: tuple[str, Starlette], caplog: pytest.LogCaptureFixture
) -> None:
    address, _ = served
    for _ in range(3):
        _, writer = await raw(address, b"{")
        writer.transport.abort()
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"http://{address}/graphql", json={"query": "{ __typename }"})).is_success
    await asyncio.sleep(0)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_event_carries_the_cursor_by_which_last_event_id_resumes(address: str) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        job = (await asked(client, address, CREATE))["createAssetJob"]["job"]
        watch = {"query": FOLLOW, "variables": {"id": job["id"]}}
        async with client.stream("POST", f"http://{address}/graphql", json=watch, headers=EVENTS) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            beginning = [await anext(lines) for _ in range(3)]
            event_id, kind, data = [await anext(lines) for _ in range(3)]
        # Without being asked a browser would wait for seconds until it comes again.
        assert beginning == ["retry: 500", ": ping", ""]
        await asked(client, address, CANCEL, id=job["id"])
        update = json.loads(data.removeprefix("data: "))["data"]["jobUpdates"]
        assert (event_id, kind) == (f"id: {update['cursor']}", "event: next")
        assert (update["kind"], update["seq"], update["cursor"]) == ("SNAPSHOT", 1, job["cursor"])
        resumed = await client.post(
            f"http://{address}/graphql",
            json=watch,
            headers=EVENTS | {"last-event-id": event_id.removeprefix("id: ")},
        )
    events = [line for line in resumed.text.splitlines() if line.startswith(("event", "data"))]
    assert json.loads(events[1].removeprefix("data: "))["data"]["jobUpdates"]["seq"] == 2
    assert events[2:] == ["event: complete", "data: "]


async def test_multipart_is_served_as_apollo_asks_for_it(address: str) -> None:
    accept = {"accept": "multipart/mixed;subscriptionSpec=1.0,application/json"}
    async with httpx.AsyncClient(timeout=10) as client:
        job = (await asked(client, address, CREATE))["createAssetJob"]["job"]
        await asked(client, address, CANCEL, id=job["id"])
        watch = {"query": FOLLOW, "variables": {"id": job["id"], "after": job["cursor"]}}
        answer = await client.post(f"http://{address}/graphql", json=watch, headers=accept)
    assert answer.headers["content-type"].startswith("multipart/mixed;boundary=graphql;subscriptionSpec=1.0")
    assert '{"payload":{"data":{"jobUpdates":{"kind":"TRANSITION","seq":2,' in answer.text
    assert answer.text.rstrip().endswith("--graphql--")


@pytest.mark.parametrize("transport", ["websocket", "events"])
async def test_a_client_that_leaves_frees_its_channel_at_once(address: str, transport: str, feed: Feed) -> None:
    if transport == "websocket":
        connection = await begun(address)
        await subscribed(connection, "1")
        await until(lambda: feed.channels == 1)
        connection.transport.abort()
    else:
        async with httpx.AsyncClient(timeout=10) as client:
            url = f"http://{address}/graphql"
            async with client.stream("POST", url, json={"query": WATCH}, headers=EVENTS):
                await until(lambda: feed.channels == 1)
    await until(lambda: feed.channels == 0)


async def test_the_media_type_is_what_the_client_wants_most(address: str) -> None:
    newer, older = "application/graphql-response+json", "application/json"
    wanted = {
        newer: newer,
        older: older,
        "*/*": older,
        f"{newer}, {older};q=0.9": newer,
        f"{newer};q=0.5, {older}": older,
        f"{newer};q=0": older,
        f"{newer};q=x": older,
    }
    async with httpx.AsyncClient() as client:
        for accept, media_type in wanted.items():
            for query, status in (("{ __typename }", 200), ("{ nonsense }", 400 if media_type == newer else 200)):
                answer = await client.post(
                    f"http://{address}/graphql", json={"query": query}, headers={"accept": accept}
                )
                assert answer.headers["content-type"] == f"{media_type}; charset=utf-8", accept
                assert answer.status_code == status
                assert ("data" in answer.json()) is (query == "{ __typename }")


async def test_equal_subscriptions_are_executed_and_encoded_once(
    served: tuple[str, Starlette], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, app = served
    made: list[str] = []
    make = SharedResult.__init__

    def counted(self: SharedResult, data: Any, errors: Any, cursor: str) -> None:
        made.append(cursor)
        make(self, data, errors, cursor)

    monkeypatch.setattr(SharedResult, "__init__", counted)
    connections = [await begun(address) for _ in range(10)]
    for number, connection in enumerate(connections):
        await subscribed(connection, str(number))
    query = 'subscription { worldUpdates(worldId: "eldoria") { status } }'
    await connections[0].send(json.dumps({"type": "subscribe", "id": "other", "payload": {"query": query}}))
    tails = app.state.resources.streams._tails  # noqa: SLF001 - nothing outside tells that streams have begun
    await until(lambda: tails and [follower.waiting for follower in tails["eldoria"].followers] == [True] * 11)
    async with httpx.AsyncClient(timeout=10) as client:
        await asked(client, address, CREATE)
    for number, connection in enumerate(connections):
        for _ in range(2 if number == 0 else 1):
            update = json.loads(await connection.recv())["payload"]["data"]["worldUpdates"]
            assert update in ({"seq": 1}, {"status": "QUEUED"})
        await connection.close()
    assert len(made) == 2, "one for each selection"


@pytest.mark.parametrize("transport", ["websocket", "events"])
async def test_who_watches_the_queues_and_is_cut_off_is_not_asked_for_any_more(
    served: tuple[str, Starlette], transport: str
) -> None:
    address, app = served
    watch = app.state.resources.queue_watch
    query = {"query": "subscription { queueStats(intervalSeconds: 1) { name } }"}
    await until(lambda: app.state.supervisor.states["queue_watch"].running)
    tasks = asyncio.all_tasks()
    if transport == "websocket":
        connection = await begun(address)
        await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": query}))
        assert json.loads(await connection.recv())["payload"]["data"]["queueStats"]
        assert watch.watchers == 1
        connection.transport.abort()
    else:
        url = f"http://{address}/graphql"
        async with (
            httpx.AsyncClient(timeout=10) as client,
            client.stream("POST", url, json=query, headers=EVENTS) as stream,
        ):
            await anext(stream.aiter_lines())
            assert watch.watchers == 1
    await until(lambda: watch.watchers == 0 and not asyncio.all_tasks() - tasks)


async def test_a_client_that_names_all_that_it_understands_gets_a_stream_for_subscriptions_alone(
    address: str,
) -> None:
    """As urql asks, which moreover reads lines of a stream that end in LF only."""
    accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
    url, headers = f"http://{address}/graphql", {"accept": accept}
    async with httpx.AsyncClient(timeout=10) as client:
        created = await client.post(url, json={"query": CREATE}, headers=headers)
        job = created.json()["data"]["createAssetJob"]["job"]
        await asked(client, address, CANCEL, id=job["id"])
        watch = {"query": FOLLOW, "variables": {"id": job["id"]}}
        watched = await client.post(url, json=watch, headers=headers)
        wrong = await client.post(url, json={"query": "{"}, headers=headers)
    assert created.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    assert watched.headers["content-type"].startswith("text/event-stream")
    assert b"\r" not in watched.content
    assert watched.text.endswith("event: complete\ndata: \n\n")
    assert (wrong.status_code, wrong.headers["content-type"]) == (400, created.headers["content-type"])
