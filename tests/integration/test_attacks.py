"""What graphql-cop and its like try, against an installation that strangers reach."""

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from structlog.testing import capture_logs

from services.resources import Resources
from tests.remote import EVENTS, MULTIPART, PRODUCTION, ask, code_of, errors_of, over_websocket, post, serving_with
from tests.serving import begun


@pytest.fixture
async def served(environment: dict[str, str]) -> AsyncIterator[tuple[str, Starlette]]:
    async with serving_with(environment | PRODUCTION) as served:
        yield served


@pytest.fixture
def address(served: tuple[str, Starlette]) -> str:
    return served[0]


@pytest.fixture
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client:
        yield client


FULL_INTROSPECTION: Final = "query cop { __schema { types { name fields { name } } } }"
REFUSED: Final = {
    "alias overloading": "query cop { " + " ".join(f"alias{n}:__typename" for n in range(101)) + " }",
    "field duplication": "query cop { " + "__typename \n" * 500 + "}",
    "directive overloading": "query cop { __typename " + "@aa" * 10 + " }",
    "circular introspection": "query cop { __schema { types "
    + "{ fields { type " * 4
    + "{ name }"
    + " } }" * 4
    + " } }",
    "circular fragments": "query cop { ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    "introspection": FULL_INTROSPECTION,
    "introspection of a type": '{ __type(name: "AssetJob") { fields { name } } }',
    "introspection in a fragment": "{ ...f } fragment f on Query { a: __schema { queryType { name } } }",
    "field suggestions": "query cop { __schema { directive } }",
    "field suggestions of ours": "query cop { job { statu } }",
    "an unhandled error": "qwerty cop { abc }",
    "a document that defers": "{ jobs { edges @stream { cursor } ... @defer { totalCount } } }",
}


async def test_every_hostile_document_is_refused_by_its_code_and_tells_nothing(address: str) -> None:
    connection = await begun(address)
    for name, document in REFUSED.items():
        for answer in (await ask(address, document), await over_websocket(connection, document)):
            errors = errors_of(answer)
            assert "data" not in answer, name
            assert {error["extensions"]["code"] for error in errors} == {"BAD_USER_INPUT"}, name
            assert len(errors) < 10, name
            assert "Did you mean" not in str(answer), name
            assert not {"exception", "stacktrace", "tracing"} & set(str(answer).lower().split("'")), name
    await connection.close()


async def test_the_name_of_a_type_is_told_without_introspection(address: str) -> None:
    assert (await ask(address, "{ __typename jobs { __typename } }"))["data"] == {
        "__typename": "Query",
        "jobs": {"__typename": "AssetJobConnection"},
    }


async def test_introspection_is_answered_where_it_is_on(environment: dict[str, str]) -> None:
    async with serving_with(environment) as (address, _), httpx.AsyncClient() as client:
        assert len((await ask(address, FULL_INTROSPECTION))["data"]["__schema"]["types"]) > 25
        page = await client.get(f"http://{address}/graphql", headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html") or "make setup" in page.text


async def test_several_operations_in_one_request_are_refused(client: httpx.AsyncClient) -> None:
    batch: list[Any] = [{"query": "query cop { __typename }"}] * 10
    transports: list[dict[str, str]] = [{}, EVENTS, MULTIPART]
    for headers in transports:
        for body in (batch, batch[:1], []):
            answer = await client.post("/graphql", json=body, headers=headers)
            assert (answer.status_code, code_of(answer.json())) == (400, "BAD_USER_INPUT")
            assert "one operation" in errors_of(answer.json())[0]["message"]


async def test_no_way_shows_an_explorer(client: httpx.AsyncClient) -> None:
    for path in ("/graphql", "/", "/graphiql", "/playground", "/console", "/graphql/console"):
        answer = await client.get(path, headers={"accept": "text/html"}, follow_redirects=True)
        assert answer.status_code == 404, path
        assert "graphiql" not in answer.text.lower()


async def test_nothing_can_be_traced(client: httpx.AsyncClient) -> None:
    headers = {"x-apollo-tracing": "1", "apollo-query-plan-experimental": "1"}
    answer = (await client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)).json()
    assert answer == {"data": {"__typename": "Query"}}
    assert (await client.request("TRACE", "/graphql")).status_code == 405


async def break_the_database(served: tuple[str, Starlette]) -> None:
    resources: Resources = served[1].state.resources
    async with resources.database.connect() as connection:
        await connection.execute(text("ALTER TABLE jobs RENAME TO gone"))


async def test_a_fault_of_ours_tells_nothing_but_an_id_on_every_transport(
    served: tuple[str, Starlette], client: httpx.AsyncClient
) -> None:
    address, _ = served
    await break_the_database(served)
    query = "{ jobs { totalCount } }"
    watch = 'subscription { jobUpdates(jobId: "01890a5d-ac96-774b-bcce-b302099a8057") { seq } }'
    asking, watching = await begun(address), await begun(address)
    with capture_logs() as log:
        answers = {
            "HTTP": (await post(address, query)).text,
            "GET": (await client.get("/graphql", params={"query": query})).text,
            "a query over WebSocket": str(await over_websocket(asking, query)),
            "a subscription over WebSocket": str(await over_websocket(watching, watch)),
            "a query as events": (await post(address, query, EVENTS)).text,
            "a subscription as events": (await post(address, watch, EVENTS)).text,
            "multipart": (await post(address, watch, MULTIPART)).text,
        }
    logged = {entry.get("log_id") for entry in log}
    for name, answer in answers.items():
        assert "INTERNAL" in answer, name
        assert answer.partition("(log id ")[2].partition(")")[0] in logged, name
        for secret in ("SELECT", "gone", "relation", "asyncpg", "sqlalchemy", "Traceback", "postgresql://"):
            assert secret not in answer, (name, secret)
    await asking.close()
    await watching.close()
