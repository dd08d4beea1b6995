"""The GraphQL face over HTTP, in this process, on real services."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from services.job_store import advance, claim
from services.lifecycle import Event
from services.moves import Move
from services.resources import Resources
from tests.conftest import recorded_statements
from tests.factories import an_asset
from tests.integration.conftest import Ask

CREATE = """mutation($input: CreateAssetJobInput!) {
  createAssetJob(input: $input) { created job { id status attempt maxAttempts priority cursor seq inputHash } }
}"""
LIST = """query($filter: JobFilter, $first: Int, $after: String, $last: Int, $before: String) {
  jobs(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { id } }
  }
}"""
VALID = {
    "worldId": "eldoria",
    "assetType": "IMAGE",
    "provider": "local",
    "promptSpec": {"description": "A lake"},
}


async def created(ask: Ask, **changes: object) -> dict[str, Any]:
    answer = await ask(CREATE, input=VALID | changes)
    assert "errors" not in answer, answer
    job: dict[str, Any] = answer["data"]["createAssetJob"]["job"]
    return job


async def rows(resources: Resources) -> int:
    async with resources.database.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM jobs"))).scalar_one())


async def test_a_creation_answers_with_the_job(ask: Ask) -> None:
    job = await created(ask)
    assert (job["status"], job["attempt"], job["maxAttempts"], job["priority"], job["seq"]) == (
        "QUEUED",
        0,
        3,
        5,
        1,
    )


async def test_nulls_of_optional_inputs_mean_their_defaults(ask: Ask) -> None:
    job = await created(ask, priority=None, maxAttempts=None, references=None, modelId=None, reuseIdentical=None)
    assert (job["priority"], job["maxAttempts"]) == (5, 3)


async def test_the_address_of_a_webhook_is_stored_and_shown(ask: Ask) -> None:
    url = "https://hooks.example/jobs?token=t"
    job_id = (await created(ask, webhookUrl=url, reuseIdentical=True))["id"]
    show = "query($id: ID!) { job(id: $id) { webhookUrl } }"
    assert (await ask(show, id=job_id))["data"]["job"] == {"webhookUrl": url}
    moved = await ask("mutation($id: ID!) { cancelJob(id: $id) { webhookUrl } }", id=job_id)
    assert moved["data"]["cancelJob"] == {"webhookUrl": url}
    assert (await ask(show, id=(await created(ask))["id"]))["data"]["job"] == {"webhookUrl": None}


async def test_an_unknown_id_is_null_to_read_and_not_found_to_change(ask: Ask) -> None:
    unknown = str(uuid4())
    answer = await ask("query($id: ID!) { job(id: $id) {id} asset(id: $id) {id} node(id: $id) {id} }", id=unknown)
    assert answer["data"] == {"job": None, "asset": None, "node": None}
    answer = await ask("mutation($id: ID!) { cancelJob(id: $id) { id } }", id=unknown)
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_an_idempotency_key_returns_the_first_job_or_a_conflict(ask: Ask, resources: Resources) -> None:
    first = await ask(CREATE, input=VALID | {"idempotencyKey": "k"})
    again = await ask(CREATE, input=VALID | {"idempotencyKey": "k"})
    assert again["data"]["createAssetJob"]["created"] is False
    assert again["data"]["createAssetJob"]["job"]["id"] == first["data"]["createAssetJob"]["job"]["id"]
    other = await ask(CREATE, input=VALID | {"idempotencyKey": "k", "promptSpec": {"description": "Sea"}})
    assert other["errors"][0]["extensions"]["code"] == "CONFLICT"
    elsewhere = await ask(CREATE, input=VALID | {"idempotencyKey": "k", "worldId": "other"})
    assert elsewhere["data"]["createAssetJob"]["created"] is True
    assert await rows(resources) == 2


async def test_reuse_identical_returns_a_live_job_with_the_same_inputs(ask: Ask) -> None:
    first = await created(ask, provider="simulator", promptSpec={"steps": 1, "duration_ms": 2})
    same = {"provider": "simulator", "promptSpec": {"duration_ms": 2.0, "steps": 1}, "reuseIdentical": True}
    assert (await created(ask, **same))["id"] == first["id"]
    await ask("mutation($id: ID!) { cancelJob(id: $id) { id } }", id=first["id"])
    assert (await created(ask, **same))["id"] != first["id"]


async def test_an_idempotency_key_promises_more_than_reuse(ask: Ask) -> None:
    await created(ask, idempotencyKey="k")
    other = await created(ask, promptSpec={"description": "Sea"})
    answer = await ask(
        CREATE,
        input=VALID | {"idempotencyKey": "k", "promptSpec": {"description": "Sea"}, "reuseIdentical": True},
    )
    assert answer["errors"][0]["extensions"]["code"] == "CONFLICT"
    assert (await created(ask, promptSpec={"description": "Sea"}, reuseIdentical=True))["id"] == other["id"]


async def test_identical_requests_at_once_make_one_job_where_reuse_is_asked_for(ask: Ask) -> None:
    jobs = await asyncio.gather(*(created(ask, reuseIdentical=True) for _ in range(20)))
    assert len({job["id"] for job in jobs}) == 1


@pytest.fixture
def patient(environment: dict[str, str]) -> None:
    """Let a request wait for its turn on a machine that is busy."""
    environment["LOREKEEPER_REQUEST_TIMEOUT_S"] = "45"


@pytest.mark.usefixtures("patient")
async def test_a_thousand_creations_with_one_key_make_one_row_and_one_message(
    ask: Ask, resources: Resources
) -> None:
    jobs = await asyncio.gather(*(created(ask, idempotencyKey="k") for _ in range(1000)))
    assert len({job["id"] for job in jobs}) == 1
    assert await rows(resources) == 1
    await resources.dispatcher.drain()
    assert len(await resources.queues.normal.receive(wait=timedelta(seconds=1))) == 1


async def test_jobs_are_listed_newest_first_and_paged_both_ways(ask: Ask) -> None:
    ids = [(await created(ask))["id"] for _ in range(5)][::-1]
    await created(ask, worldId="elsewhere")

    async def page(**arguments: object) -> tuple[list[str], dict[str, Any]]:
        answer = await ask(LIST, filter={"worldId": "eldoria"}, **arguments)
        found = answer["data"]["jobs"]
        assert found["totalCount"] == 5
        return [edge["node"]["id"] for edge in found["edges"]], found["pageInfo"]

    first, info = await page(first=2)
    assert (first, info["hasNextPage"], info["hasPreviousPage"]) == (ids[:2], True, False)
    second, info = await page(first=2, after=info["endCursor"])
    assert (second, info["hasNextPage"], info["hasPreviousPage"]) == (ids[2:4], True, True)
    back, info_back = await page(last=1, before=info["startCursor"])
    assert (back, info_back["hasPreviousPage"], info_back["hasNextPage"]) == (ids[1:2], True, True)
    third, info = await page(first=2, after=info["endCursor"])
    assert (third, info["hasNextPage"]) == (ids[4:], False)
    last, info = await page(last=3)
    assert (last, info["hasPreviousPage"], info["hasNextPage"]) == (ids[2:], True, False)
    assert (await page(first=0))[0] == []


async def test_a_page_has_one_direction(ask: Ask) -> None:
    (error,) = (await ask(LIST, first=1, last=1))["errors"]
    assert (error["extensions"]["code"], error["extensions"]["path"]) == ("BAD_USER_INPUT", ["last"])


async def test_filters_choose_jobs(ask: Ask) -> None:
    simulated = await created(ask, provider="simulator", assetType="PDF", promptSpec={})
    cancelled = await created(ask)
    await ask("mutation($id: ID!) { cancelJob(id: $id) { id } }", id=cancelled["id"])

    async def found(**wanted: object) -> list[str]:
        answer = await ask(LIST, filter=wanted)
        return [edge["node"]["id"] for edge in answer["data"]["jobs"]["edges"]]

    assert await found(provider="simulator") == [simulated["id"]]
    assert await found(assetType=["PDF", "MAP"]) == [simulated["id"]]
    assert await found(status=["CANCELLED"]) == [cancelled["id"]]
    assert await found(requestedBy="somebody else") == []
    assert await found(createdAfter="2100-01-01T00:00:00Z") == []
    assert len(await found(createdBefore="2100-01-01T00:00:00+02:00")) == 2
    assert await found(status=[]) == []


async def test_a_page_of_jobs_costs_a_constant_number_of_statements(ask: Ask, resources: Resources) -> None:
    await asyncio.gather(*(created(ask) for _ in range(100)))
    await resources.dispatcher.drain()
    query = """{ jobs(first: 100) { totalCount edges { node {
        id promptSpec derivation { claimIds inputHash } asset { id } } } } }"""
    with recorded_statements() as statements:
        answer = await ask(query)
    assert len(answer["data"]["jobs"]["edges"]) == 100
    assert len(statements) <= 4, statements


async def test_a_finished_job_shows_asset_history_and_node(ask: Ask, resources: Resources) -> None:
    job_id = (await created(ask, provider="simulator", promptSpec={}, references={"claimIds": ["c1"]}))["id"]
    async with resources.database.connect() as connection:
        ((key, moved),) = (await claim(connection, [job_id], timedelta(seconds=9))).items()
        asset = an_asset(moved.job, details={"width": 3})
        await advance(connection, [Move(key, Event.SUCCEED, held_token=1, asset=asset)])
    answer = await ask(
        """query($id: ID!) { node(id: $id) { ... on AssetJob {
            status progress derivation { claimIds promptSpec }
            asset { id metadata job { id } downloadUrl(expiresInSeconds: 60) }
            history(first: 2) { pageInfo { hasNextPage endCursor } edges { node { seq status previousStatus } } }
        } } }""",
        id=job_id,
    )
    node = answer["data"]["node"]
    assert (node["status"], node["progress"]) == ("SUCCEEDED", 1.0)
    assert node["derivation"] == {"claimIds": ["c1"], "promptSpec": {}}
    assert node["asset"]["metadata"] == {"width": 3}
    assert node["asset"]["job"]["id"] == job_id
    assert node["asset"]["downloadUrl"].startswith("http://lore.example/assets/")
    assert [edge["node"]["seq"] for edge in node["history"]["edges"]] == [1, 2]
    assert node["history"]["pageInfo"]["hasNextPage"] is True
    rest = await ask(
        """query($id: ID!, $after: String) {
            job(id: $id) { history(after: $after) { edges { node { seq status } } } }
        }""",
        id=job_id,
        after=node["history"]["pageInfo"]["endCursor"],
    )
    assert rest["data"]["job"]["history"]["edges"] == [{"node": {"seq": 3, "status": "SUCCEEDED"}}]
    found = await ask("query($id: ID!) { node(id: $id) { ... on Asset { id status } } }", id=node["asset"]["id"])
    assert found["data"]["node"]["status"] == "READY"


async def test_cancel_and_retry_move_the_job_or_conflict(ask: Ask) -> None:
    job_id = (await created(ask))["id"]
    retry = "mutation($id: ID!) { retryJob(id: $id) { status attempt seq } }"
    cancel = "mutation($id: ID!) { cancelJob(id: $id) { status seq } }"
    assert (await ask(retry, id=job_id))["errors"][0]["extensions"]["code"] == "CONFLICT"
    assert (await ask(cancel, id=job_id))["data"]["cancelJob"] == {"status": "CANCELLED", "seq": 2}
    assert (await ask(cancel, id=job_id))["errors"][0]["extensions"]["code"] == "CONFLICT"
    assert (await ask(retry, id=job_id))["data"]["retryJob"] == {"status": "QUEUED", "attempt": 0, "seq": 3}


async def test_providers_tell_what_they_make(ask: Ask) -> None:
    answer = await ask("{ providers { name assetTypes models promptSchema(assetType: IMAGE) } }")
    local, simulator = answer["data"]["providers"]
    assert (local["name"], local["assetTypes"]) == ("local", ["AUDIO", "IMAGE", "MAP", "PDF", "VIDEO"])
    assert local["promptSchema"]["required"] == ["description"]
    assert len(simulator["assetTypes"]) == 5


async def test_signed_links_are_checked(client: httpx.AsyncClient, resources: Resources) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"painting"

    await resources.storage.put("job/1.png", content(), "image/png")
    url = await resources.storage.url(
        "job/1.png", filename="a.png", expires_in=timedelta(minutes=1), base_url="http://lore.example/"
    )
    good = await client.get(url)
    assert (good.status_code, good.content, good.headers["content-type"]) == (200, b"painting", "image/png")
    assert (await client.get(url.replace("1.png?", "2.png?"))).status_code == 404
    assert (await client.get(url[:-1] + ("0" if url[-1] != "0" else "1"))).status_code == 404
    assert (await client.get(url.replace("expires=1", "expires=2"))).status_code == 404
    assert (await client.get("/assets/../signing.key")).status_code == 404


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {"content-type": "application/json"}),
        (b"{}", {"content-type": "application/json"}),
        (b"query={a}", {"content-type": "application/x-www-form-urlencoded"}),
        (
            b'{"query": "subscription { jobUpdates(jobId: \\"x\\") { seq } }"}',
            {"content-type": "application/json"},
        ),
        (b'[{"query": "{a}"}]', {"content-type": "application/json"}),
        (b'{"query": 7}', {"content-type": "application/json"}),
    ],
)
async def test_what_is_no_graphql_request_is_refused_in_json(
    client: httpx.AsyncClient, body: bytes, headers: dict[str, str]
) -> None:
    response = await client.post("/graphql", content=body, headers=headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_request_that_is_too_large_is_not_read(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"query": "'
        for _ in range(64):
            yield b"x" * 64 * 1024
        pytest.fail("it was read to its end")

    response = await client.post("/graphql", content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_no_mutation_by_get(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", params={"query": 'mutation { cancelJob(id: "x") { id } }'})
    assert response.status_code == 400


async def test_a_syntax_error_has_a_code(ask: Ask) -> None:
    assert (await ask("{ job("))["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_an_unexpected_error_leaves_without_its_text(ask: Ask, resources: Resources) -> None:
    async with resources.database.connect() as connection:
        await connection.execute(text("ALTER TABLE jobs RENAME TO gone"))
    answer = await ask("{ jobs { totalCount } }")
    error = answer["errors"][0]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["logId"] in error["message"]
    assert "gone" not in error["message"]
    assert "SELECT" not in str(answer)
