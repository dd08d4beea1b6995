"""Limits as clients meet them: on HTTP and WebSocket, both sides of each border, and by a code."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
import pytest
from graphql import get_introspection_query

from tests.remote import EVENTS, PRODUCTION, ask, code_of, errors_of, over_websocket, post, serving_with
from tests.serving import begun, closed

ID: Final = '"01890a5d-ac96-774b-bcce-b302099a8057"'
LEVELS: Final = f"job(id: {ID}) {{ derivation {{ claimIds }} }}"
SMALL: Final = {
    "LOREKEEPER_MAX_TOKENS": "60",
    "LOREKEEPER_MAX_DEPTH": "4",
    "LOREKEEPER_MAX_FIELDS": "8",
    "LOREKEEPER_MAX_ALIASES": "3",
    "LOREKEEPER_MAX_DIRECTIVES": "2",
    "LOREKEEPER_MAX_COST": "31",
    "LOREKEEPER_MAX_PAGE": "10",
    "LOREKEEPER_MAX_PROMPT_BYTES": "100",
    "LOREKEEPER_MAX_SNAPSHOT_BYTES": "50",
    "LOREKEEPER_MAX_JSON_DEPTH": "3",
    "LOREKEEPER_MAX_REFERENCES": "2",
    "LOREKEEPER_MAX_BODY_BYTES": "2048",
}
CREATE: Final = "mutation($input: CreateAssetJobInput!) { createAssetJob(input: $input) { created } }"
VALID: Final = {"worldId": "w", "assetType": "IMAGE", "provider": "simulator", "promptSpec": {}}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def a_string(size: int) -> dict[str, str]:
    """Return an object of so many bytes of JSON."""
    return {"a": "x" * (size - len('{"a":""}'))}


DOCUMENTS: Final[dict[str, tuple[str, str]]] = {
    "tokens": ("{ " + "#\n" * 57 + "__typename }", "{ " + "#\n" * 58 + "__typename }"),
    "depth": (
        "{ jobs(first: 1) { edges { node { id } } } }",
        "{ jobs(first: 1) { edges { node { asset { id } } } } }",
    ),
    "fields": ("{" + "__typename " * 8 + "}", "{" + "__typename " * 9 + "}"),
    "aliases": (
        "{a:__typename b:__typename c:__typename}",
        "{a:__typename b:__typename c:__typename d:__typename}",
    ),
    "directives": ("{__typename @skip(if:true) ...@skip(if:true){__typename}}", "{__typename @a @a @a}"),
    "cost": (
        "{ jobs(first: 10) { edges { node { id } } } }",
        "{ jobs(first: 10) { edges { cursor node { id } } } }",
    ),
    "page": ("{ jobs(first: 10) { edges { cursor } } }", "{ jobs(first: 11) { pageInfo { endCursor } } }"),
    "page of assets": (
        "{ assets(last: 10) { edges { cursor } } }",
        "{ assets(last: 11) { pageInfo { endCursor } } }",
    ),
}
"""What a limit lets through, and what it refuses."""

INPUTS: Final[dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]]] = {
    "prompt bytes": (
        {"provider": "local", "promptSpec": {"description": "x" * (100 - len('{"description":""}'))}},
        {"promptSpec": a_string(101)},
        ["promptSpec"],
    ),
    "snapshot bytes": ({"loreSnapshot": a_string(50)}, {"loreSnapshot": a_string(51)}, ["loreSnapshot"]),
    "nesting": (
        {"loreSnapshot": nested(3)},
        {"loreSnapshot": nested(4)},
        ["loreSnapshot", "a", "a", "a", "a"],
    ),
    "references": (
        {"references": {"claimIds": ["a", "b"]}},
        {"references": {"claimIds": ["a", "b", "c"]}},
        ["references", "claimIds"],
    ),
}


@pytest.fixture
async def small(environment: dict[str, str]) -> AsyncIterator[str]:
    async with serving_with(environment | SMALL) as (address, _):
        yield address


async def test_documents_meet_their_limits_over_http_and_websocket(small: str) -> None:
    connection = await begun(small)
    for name, (fits, too_much) in DOCUMENTS.items():
        for answer in (await ask(small, fits), await over_websocket(connection, fits)):
            assert errors_of(answer) == [], name
        for answer in (await ask(small, too_much), await over_websocket(connection, too_much)):
            assert code_of(answer) == "BAD_USER_INPUT", name
    await connection.close()


async def test_subscriptions_meet_them_on_every_transport(small: str) -> None:
    many = " ".join(f"a{n}: seq" for n in range(4))
    document = f'subscription {{ worldUpdates(worldId: "w") {{ {many} }} }}'
    connection = await begun(small)
    message = await over_websocket(connection, document)
    assert (message["type"], code_of(message)) == ("error", "BAD_USER_INPUT")
    assert "BAD_USER_INPUT" in (await post(small, document, EVENTS)).text
    assert errors_of(await over_websocket(connection, "{ __typename }")) == [], "the connection goes on"
    await connection.close()


async def test_inputs_meet_their_limits_by_their_path(small: str) -> None:
    connection = await begun(small)
    for name, (fits, too_much, path) in INPUTS.items():
        assert errors_of(await ask(small, CREATE, input=VALID | fits)) == [], name
        for answer in (
            await ask(small, CREATE, input=VALID | too_much),
            await over_websocket(connection, CREATE, input=VALID | too_much),
        ):
            (error,) = errors_of(answer)
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["input", *path]}, name
    await connection.close()


def message_of(size: int) -> str:
    """Return a message of a WebSocket that has so many bytes, in fewer characters."""
    payload = {"query": "{ __typename } #"}
    message = json.dumps({"type": "subscribe", "id": "1", "payload": payload})
    missing = size - len(message)
    return message.replace("#", "#" + "é" * (missing // 2) + "x" * (missing % 2))


@pytest.mark.parametrize("options", [{}, {"ws": "auto", "ws_max_size": 2**24}], ids=["ours", "uvicorn alone"])
async def test_a_message_that_is_too_large_closes_with_1009(
    environment: dict[str, str], options: Mapping[str, Any]
) -> None:
    async with serving_with(environment | SMALL, **options) as (address, _):
        connection = await begun(address)
        await connection.send(message_of(2048))
        assert json.loads(await connection.recv())["type"] == "next"
        assert json.loads(await connection.recv())["type"] == "complete"
        await connection.send(message_of(2049))
        assert await closed(connection) == 1009


async def test_a_body_that_is_too_large_is_refused(small: str) -> None:
    for size, status in ((2048, 200), (2049, 413)):
        body = '{"query": "{ __typename }"}'.ljust(size)
        async with httpx.AsyncClient() as client:
            headers = {"content-type": "application/json"}
            answer = await client.post(f"http://{small}/graphql", content=body, headers=headers)
        assert answer.status_code == status
    assert code_of(answer.json()) == "BAD_USER_INPUT"


@pytest.fixture
async def usual(environment: dict[str, str]) -> AsyncIterator[str]:
    async with serving_with(environment) as (address, _):
        yield address


EVERYTHING: Final = """{ jobs(first: 100) { totalCount updatesCursor pageInfo { hasNextPage endCursor } edges {
    cursor node { ...J asset { ...A } derivation { ...D } } } } }
    fragment J on AssetJob { __typename id worldId assetType provider modelId promptSpec status progress
        progressMessage priority attempt maxAttempts errorCode errorMessage requestedBy idempotencyKey inputHash
        createdAt runAt startedAt nextAttemptAt finishedAt seq cursor }
    fragment A on Asset { __typename id worldId assetType format contentType status sizeBytes checksum
        durationSeconds metadata createdBy createdAt downloadUrl }
    fragment D on AssetDerivation {
        claimIds entityIds sourceChunkIds sourceId promptSpec inputHash loreSnapshot }"""
HISTORIES: Final = """query($first: Int, $after: String) { jobs(first: 20, after: $after) { edges { node { id
    history(first: 50) { edges { node { seq status at } } pageInfo { endCursor } } } } } assets(first: $first) {
    edges { node { id job { id status derivation { claimIds } } } } } }"""


async def test_real_clients_stay_below_the_defaults(usual: str) -> None:
    """What GraphiQL asks for, a full page with all fields by fragments, and pages inside of a page."""
    introspection = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    for document in (introspection, EVERYTHING, HISTORIES):
        assert errors_of(await ask(usual, document)) == []


ARMOR: Final = {
    "depth 7": "{ jobs { edges { node { asset { job { asset { id } } } } } } }",
    "tokens 1001": "{ " + "#\n" * 1000 + "__typename }",
    "aliases 16": "{ " + " ".join(f"a{n}: __typename" for n in range(16)) + " }",
    "directives 51": "{ __typename " + "@skip(if: false) " * 51 + "}",
    "cost": "query($n: Int) { jobs(first: $n) { edges { node { history { edges { cursor node { seq } } } } } } }",
}
"""One more than what graphql-armor lets through by default: depth 6, tokens 1,000, aliases 15, directives 50."""


async def test_what_graphql_armor_refuses_is_refused(environment: dict[str, str]) -> None:
    """By our defaults too, but for the depth: they let through a page of histories, which has seven levels."""
    async with serving_with(environment | PRODUCTION | {"LOREKEEPER_MAX_DEPTH": "6"}) as (address, _):
        connection = await begun(address)
        for name, document in ARMOR.items():
            began = time.perf_counter()
            for answer in (await ask(address, document), await over_websocket(connection, document)):
                assert {error["extensions"]["code"] for error in errors_of(answer)} == {"BAD_USER_INPUT"}, name
            assert time.perf_counter() - began < 2
        await connection.close()
