"""Every input of the contract with every value that it may not have: refused by name, and nothing comes of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from copy import deepcopy
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
from tests.bad_values import MISSING, OPERATIONS, Operation
from tests.factories import a_new_job, an_asset

Send = Callable[[str, Mapping[str, Any]], Awaitable[str]]
_LONGEST_REFUSAL: Final = 4000
"""Characters: what was sent is not sent back."""


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
    depth = await resources.queues.normal.depth()
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
