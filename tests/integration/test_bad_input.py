"""Every input of the contract with every value that it may not have: refused by name, and nothing comes of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest
from graphql import GraphQLInputObjectType, GraphQLNamedType, get_named_type
from sqlalchemy import func, select
from sqlmodel import SQLModel

from schema import build_schema
from services.job_store import advance, create
from services.lifecycle import Event
from services.moves import Move
from services.resources import Resources
from tests.factories import a_new_job, an_asset

Send = Callable[[str, Mapping[str, Any]], Awaitable[str]]
Bad = Mapping[str, object]
MISSING: Final = object()
_LONGEST_REFUSAL: Final = 4000
"""Characters: what was sent is not sent back."""
DEEP: Final = json.loads("[" * 33 + "1" + "]" * 33)
UUID: Final = "01890a5d-ac96-774b-bcce-b302099a8057"

# What no input of a kind may be, by a name for the failing test to show.
NOT_TEXT: Final = {"number": 7, "fraction": 1.5, "boolean": True, "list": ["a"], "object": {"a": 1}}
NOT_ID: Final = {name: value for name, value in NOT_TEXT.items() if name != "number"}
NOT_OBJECT: Final = {"text": "x", "empty text": "", "number": 7, "boolean": True, "unknown": {"unknown": 1}}
NAME: Final = {
    "empty": "",
    "blank": " \t",
    "too long": "x" * 201,
    "far too long": "龍" * 100_000,
    "newline": "a\nb",
    "NUL": "a\x00b",
    "escape": "\x1b[31m",
    "C1 control": "a\x85",
    "non-character": "a\uffff",
}
A_NAME: Final = NAME | NOT_TEXT
A_NAME_ID: Final = NAME | NOT_ID
AN_ID: Final = (
    NAME
    | NOT_ID
    | {
        "text": "x",
        "number": 7,
        "braces": f"{{{UUID}}}",
        "no hyphens": UUID.replace("-", ""),
        "cut": UUID[:-1],
        "other digits": UUID.replace("0", "\u0660"),
    }
)
A_CURSOR: Final = (
    NOT_TEXT | {name: value for name, value in NAME.items() if name != "blank"} | {"text": "x", "id": UUID}
)
AN_INSTANT: Final = {
    "empty": "",
    "text": "soon",
    "NUL": "2026-01-01T00:00:00Z\x00",
    "no zone": "2026-01-01T00:00:00",
    "no time": "2026-01-01",
    "no such day": "2026-02-30T00:00:00Z",
    "beyond the calendar": "10000-01-01T00:00:00Z",
    "before the calendar in UTC": "0001-01-01T00:00:00+14:00",
    "behind the calendar in UTC": "9999-12-31T23:59:59-14:00",
    "number": 1_767_225_600,
    "boolean": True,
    "list": ["2026-01-01T00:00:00Z"],
    "object": {},
}
A_RUN_AT: Final = AN_INSTANT | {"far future": "9999-01-01T00:00:00Z", "in two years": "2100-01-01T00:00:00Z"}
AN_ENUM: Final = {
    "unknown": "WOBBLE",
    "other case": "image",
    "empty": "",
    "NUL": "\x00",
    "number": 1,
    "boolean": True,
    "object": {},
}
ENUMS: Final = {f"{name} in a list": [value] for name, value in AN_ENUM.items()} | {"null in a list": [None]}
A_NUMBER: Final = {"text": "5", "boolean": True, "list": [5], "object": {}, "huge": 1e300}
AN_INT: Final = A_NUMBER | {
    "fraction": 1.5,
    "beyond 32 bits": 2**31,
    "beyond 64 bits": 2**64,
    "negative": -(2**31),
}
A_BOOLEAN: Final = {"text": "true", "number": 1, "list": [True], "object": {}}
IDS: Final = {f"{name} in a list": ["a", value] for name, value in A_NAME_ID.items()} | {
    "null in a list": [None],
    "object": {},
    "1,001": ["x"] * 1001,
    "10,000": ["x"] * 10_000,
}
SOME_JSON: Final = {
    "NUL": {"a": ["\x00"]},
    "NUL in a name": {"a\x00": 1},
    "integer beyond 2^53": {"a": 2**53 + 1},
    "integer below -2^53": {"a": -(2**53) - 1},
    "too deep": DEEP,
}
A_PROMPT: Final = SOME_JSON | {
    "text": "a lake",
    "list": [],
    "missing description": {},
    "description of another kind": {"description": 7},
    "something more": {"description": "x", "more": 1},
    "out of bounds": {"description": "x", "width": 1},
    "too large": {"description": "x" * 70_000},
}
A_SNAPSHOT: Final = SOME_JSON | {"too large": "x" * 300_000}
A_URL: Final = NOT_TEXT | {
    "empty": "",
    "no scheme": "hooks.example",
    "other scheme": "ftp://hooks.example/",
    "credentials": "https://ada:secret@hooks.example/",
    "fragment": "https://hooks.example/#x",
    "NUL": "https://hooks.example/\x00",
    "too long": "https://hooks.example/" + "x" * 2000,
}
REQUIRED: Final = {"missing": MISSING, "null": None}


@dataclass(frozen=True)
class Operation:
    """An operation of the contract, all of its inputs being variables.

    Attributes:
        query: the document.
        valid: variables that it takes.
        inputs: for each input, as its path in the variables, what it may not be.
        called: how its errors call an input that is a variable of another name, or an argument of a field.
    """

    query: str
    valid: Mapping[str, Any]
    inputs: Mapping[str, Bad]
    called: Mapping[str, str] = field(default_factory=dict)


def between(least: float, most: float) -> dict[str, object]:
    """Return the numbers that lie just outside."""
    return {"below": least - 1, "above": most + 1}


CREATION: Final[dict[str, Bad]] = {
    "worldId": REQUIRED | A_NAME_ID,
    "assetType": REQUIRED | AN_ENUM | {"not made": "MAP", "list": ["IMAGE"]},
    "provider": REQUIRED | A_NAME | {"unknown": "nobody"},
    "modelId": A_NAME | {"unknown": "unheard-of"},
    "promptSpec": REQUIRED | A_PROMPT,
    "references": NOT_OBJECT,
    "references.claimIds": IDS,
    "references.entityIds": IDS,
    "references.sourceChunkIds": IDS,
    "references.sourceId": A_NAME_ID,
    "loreSnapshot": A_SNAPSHOT,
    "priority": AN_INT | between(0, 9),
    "runAt": A_RUN_AT,
    "maxAttempts": AN_INT | between(1, 100),
    "timeoutSeconds": AN_INT | between(1, 43_200),
    "idempotencyKey": A_NAME,
    "reuseIdentical": A_BOOLEAN,
    "webhookUrl": A_URL,
}
"""CreateAssetJobInput."""
VALID: Final = {
    "worldId": "eldoria",
    "assetType": "IMAGE",
    "provider": "local",
    "promptSpec": {"description": "A lake"},
    "references": {},
}
PAGE: Final[dict[str, Bad]] = {
    "first": AN_INT | between(0, 100),
    "after": A_CURSOR,
    "last": AN_INT | between(0, 100),
    "before": A_CURSOR,
}
ID: Final[dict[str, Bad]] = {"id": REQUIRED | AN_ID}
QUEUE: Final = REQUIRED | A_NAME
OPERATIONS: Final = {
    "Mutation.createAssetJob": Operation(
        "mutation($input: CreateAssetJobInput!) { createAssetJob(input: $input) { created } }",
        {"input": VALID},
        {"input": REQUIRED | NOT_OBJECT} | {f"input.{name}": bad for name, bad in CREATION.items()},
    ),
    "Mutation.cancelJob": Operation("mutation($id: ID!) { cancelJob(id: $id) { id } }", {"id": UUID}, ID),
    "Mutation.retryJob": Operation("mutation($id: ID!) { retryJob(id: $id) { id } }", {"id": UUID}, ID),
    "Mutation.redriveDeadLetters": Operation(
        "mutation($queue: String!, $max: Int) { redriveDeadLetters(queue: $queue, max: $max) }",
        {"queue": "q"},
        {"queue": QUEUE, "max": AN_INT | between(1, 1000)},
    ),
    "Mutation.purgeQueue": Operation(
        "mutation($queue: String!) { purgeQueue(queue: $queue) }", {"queue": "q"}, {"queue": QUEUE}
    ),
    "Query.node": Operation("query($id: ID!) { node(id: $id) { id } }", {"id": UUID}, ID),
    "Query.job": Operation("query($id: ID!) { job(id: $id) { id } }", {"id": UUID}, ID),
    "Query.asset": Operation("query($id: ID!) { asset(id: $id) { id } }", {"id": UUID}, ID),
    "Query.jobs": Operation(
        """query($filter: JobFilter, $first: Int, $after: String, $last: Int, $before: String) {
            jobs(filter: $filter, first: $first, after: $after, last: $last, before: $before) { totalCount } }""",
        {"filter": {}},
        PAGE
        | {
            "filter": NOT_OBJECT,
            "filter.worldId": A_NAME_ID,
            "filter.status": ENUMS,
            "filter.assetType": ENUMS,
            "filter.provider": A_NAME,
            "filter.requestedBy": A_NAME,
            "filter.createdAfter": AN_INSTANT,
            "filter.createdBefore": AN_INSTANT,
        },
    ),
    "AssetJob.history": Operation(
        """query($job: ID!, $first: Int, $after: String) {
            job(id: $job) { history(first: $first, after: $after) { edges { cursor } } } }""",
        {"job": "JOB"},
        {"first": AN_INT | between(1, 500), "after": A_CURSOR},
    ),
    "Asset.downloadUrl": Operation(
        "query($asset: ID!, $seconds: Int) { asset(id: $asset) { downloadUrl(expiresInSeconds: $seconds) } }",
        {"asset": "ASSET"},
        {"seconds": AN_INT | between(1, 7 * 24 * 3600)},
        {"seconds": "expiresInSeconds"},
    ),
    "Provider.promptSchema": Operation(
        "query($type: AssetType!) { providers { promptSchema(assetType: $type) } }",
        {"type": "IMAGE"},
        {"type": REQUIRED | AN_ENUM | {"not made": "MAP", "list": ["IMAGE"]}},
        {"type": "assetType"},
    ),
    "Subscription.jobUpdates": Operation(
        "subscription($jobId: ID!, $after: String) { jobUpdates(jobId: $jobId, after: $after) { seq } }",
        {"jobId": "JOB"},
        {"jobId": REQUIRED | AN_ID, "after": A_CURSOR},
    ),
    "Subscription.worldUpdates": Operation(
        """subscription($worldId: ID!, $filter: WorldUpdateFilter, $after: String) {
            worldUpdates(worldId: $worldId, filter: $filter, after: $after) { seq } }""",
        {"worldId": "eldoria", "filter": {}},
        {
            "worldId": REQUIRED | A_NAME_ID,
            "filter": NOT_OBJECT,
            "filter.status": ENUMS,
            "filter.assetType": ENUMS,
            "filter.requestedBy": A_NAME,
            "filter.includeProgress": A_BOOLEAN,
            "after": A_CURSOR,
        },
    ),
    "Subscription.queueStats": Operation(
        "subscription($every: Float) { queueStats(intervalSeconds: $every) { name } }",
        {},
        {"every": A_NUMBER | between(1, 3600) | {"nearly": 0.999, "negative": -5}},
        {"every": "intervalSeconds"},
    ),
}


def test_the_table_has_every_input_of_the_contract() -> None:
    assert {f"{name}({path}:)" for name, operation in OPERATIONS.items() for path in _paths(operation)} == {
        f"{kind.name}.{name}({path}:)"
        for kind in build_schema()._schema.type_map.values()  # noqa: SLF001 - Strawberry has no other way to list fields
        if not kind.name.startswith("__")
        for name, found in getattr(kind, "fields", {}).items()
        for argument, value in getattr(found, "args", {}).items()
        for path in _expanded(argument, get_named_type(value.type))
    }


def _paths(operation: Operation) -> Iterator[str]:
    for path in operation.inputs:
        yield ".".join(part for part in operation.called.get(path, path).split(".") if not part.isdecimal())


def _expanded(path: str, kind: GraphQLNamedType) -> Iterator[str]:
    yield path
    if isinstance(kind, GraphQLInputObjectType):
        for name, value in kind.fields.items():
            yield from _expanded(f"{path}.{name}", get_named_type(value.type))


@pytest.fixture(autouse=True)
def _purging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but the bad value be the reason of a refusal."""
    monkeypatch.setenv("LOREKEEPER_ALLOW_PURGE", "true")


@pytest.fixture
def send(client: httpx.AsyncClient) -> Send:
    async def send(query: str, variables: Mapping[str, Any]) -> str:
        # Escapes what UTF-8 cannot hold. A subscription that is accepted would not end.
        body = json.dumps({"query": query, "variables": variables})
        accept = "text/event-stream" if query.startswith("subscription") else "application/json"
        headers = {"content-type": "application/json", "accept": accept}
        async with asyncio.timeout(10):
            response = await client.post("/graphql", content=body, headers=headers)
        if response.headers["content-type"].startswith("text/event-stream"):
            return next(line[6:] for line in response.text.splitlines() if line.startswith("data: {"))
        return response.text

    return send


def changed(variables: Any, path: Sequence[str], value: object) -> Any:
    """Return variables with one value in the place of another."""
    inner = variables
    for part in path[:-1]:
        inner = inner[int(part) if part.isdecimal() else part]
    if value is MISSING:
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = value
    return variables


def is_refusal(answer: str, path: str, called: str) -> bool:
    """Whether an answer is a coded error that says which input it is about."""
    variable = f"'${path.partition('.')[0]}'"
    expected = [int(part) if part.isdecimal() else part for part in called.split(".")]

    def names(error: Mapping[str, Any]) -> bool:
        told = error["extensions"].get("path")
        if told is None:
            return variable in error["message"]
        # What is missing, GraphQL misses in its object.
        return bool(told[: len(expected)] == expected or told == expected[:-1] != [])

    errors = json.loads(answer).get("errors", ())
    return bool(errors) and all(
        error.get("extensions", {}).get("code") == "BAD_USER_INPUT" and names(error) for error in errors
    )


async def a_finished_job(resources: Resources) -> dict[str, str]:
    """Create a job that has succeeded; returns its id and that of its asset."""
    async with resources.database.connect() as connection:
        (moved,) = await create(connection, [a_new_job()])
        job_id = moved.job.id
        claimed = await advance(connection, [Move(job_id, Event.CLAIM, lease=timedelta(seconds=30))])
        asset = an_asset(claimed[job_id].job)
        await advance(connection, [Move(job_id, Event.SUCCEED, held_token=1, asset=asset)])
    return {"JOB": str(job_id), "ASSET": str(asset.id)}


def filled(valid: Mapping[str, Any], ids: Mapping[str, str]) -> Any:
    """Return valid variables of one's own, with ids in the places of their names."""
    return {
        name: ids.get(value, value) if isinstance(value, str) else deepcopy(value) for name, value in valid.items()
    }


async def lengths(resources: Resources) -> dict[str, int]:
    """Count the rows of every table."""
    counts = [
        select(func.count()).select_from(table).scalar_subquery().label(name)
        for name, table in SQLModel.metadata.tables.items()
    ]
    async with resources.database.connect() as connection:
        return dict((await connection.execute(select(*counts))).one()._mapping)  # noqa: SLF001 - public all the same


@pytest.mark.parametrize("name", OPERATIONS)
async def test_bad_input_is_refused_by_name_and_leaves_nothing(
    send: Send, resources: Resources, name: str
) -> None:
    """Break it: let one of the checks of an input pass."""
    operation = OPERATIONS[name]
    ids = await a_finished_job(resources)
    stored = await lengths(resources)
    wrong: dict[tuple[str, str], str] = {}
    for path, values in operation.inputs.items():
        for what, value in values.items():
            variables = changed(filled(operation.valid, ids), path.split("."), value)
            answer = await send(operation.query, variables)
            if not is_refusal(answer, path, operation.called.get(path, path)):
                wrong[path, what] = answer[:500]
            elif len(answer) > _LONGEST_REFUSAL:
                wrong[path, what] = f"it repeats {len(answer)} characters"
            elif (now := await lengths(resources)) != stored:
                wrong[path, what] = f"{stored} became {now}"
                stored = now
    assert not wrong, "\n".join(f"{path} = {what}: {answer}" for (path, what), answer in wrong.items())
    await resources.dispatcher.drain()
    depth = await resources.queue.depth()
    assert (depth.available, depth.in_flight, depth.delayed) == (0, 0, 0)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_valid_values_of_the_table_are_no_bad_input(send: Send, resources: Resources, name: str) -> None:
    """The control: what the table refuses is refused for its one bad value."""
    operation = OPERATIONS[name]
    if not name.startswith("Subscription"):
        variables = filled(operation.valid, await a_finished_job(resources))
        answer = await send(operation.query, variables)
        codes = {error["extensions"]["code"] for error in json.loads(answer).get("errors", ())}
        assert codes <= {"NOT_FOUND"}, answer
