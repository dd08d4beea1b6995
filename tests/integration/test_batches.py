"""Many jobs by one call: all or none, as if each had been asked for after the one before it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from sqlalchemy import text

from services.access import ANONYMOUS, Caller, Scope
from services.job_store import create as store_jobs
from services.resources import Resources
from tests.asking import a_caller, ask, code, made
from tests.conftest import Opener, recorded_statements, running_loops, until
from tests.factories import a_new_job

CREATE: Final = """mutation($inputs: [CreateAssetJobInput!]!) {
  createAssetJobs(inputs: $inputs) { created job { id worldId idempotencyKey priority status asset { id } } }
}"""
CREATE_ONE: Final = """mutation($input: CreateAssetJobInput!) {
  createAssetJob(input: $input) { created job { id status } }
}"""
CANCEL: Final = "mutation($id: ID!) { cancelJob(id: $id) { id } }"
Payload = dict[str, Any]


@pytest.fixture
async def resources(open_services: Opener) -> AsyncIterator[Resources]:
    opened = await open_services()
    async with running_loops(opened):
        yield opened
        await opened.dispatcher.drain()


def an_input(**changes: object) -> dict[str, object]:
    valid = {"worldId": "eldoria", "assetType": "IMAGE", "provider": "simulator", "promptSpec": {}}
    return valid | changes


def picture(steps: int, **changes: object) -> dict[str, object]:
    """Return an input that is identical to those with as many steps."""
    return an_input(promptSpec={"steps": steps}, **changes)


async def create(resources: Resources, *inputs: dict[str, object], caller: Caller = ANONYMOUS) -> list[Payload]:
    answer = await ask(resources, CREATE, caller, inputs=list(inputs))
    assert "errors" not in answer, answer
    payloads: list[Payload] = answer["data"]["createAssetJobs"]
    return payloads


async def refused(resources: Resources, *inputs: dict[str, object], caller: Caller = ANONYMOUS) -> dict[str, Any]:
    """Return the error's extensions, having checked that nothing was stored or sent."""
    before = await count(resources)
    answer = await ask(resources, CREATE, caller, inputs=list(inputs))
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert await count(resources) == before
    extensions: dict[str, Any] = error["extensions"]
    return extensions


async def count(resources: Resources) -> tuple[int, ...]:
    async with resources.database.connect() as connection:
        found = await connection.execute(
            text("""SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM derivations),
                (SELECT count(*) FROM transitions), (SELECT count(*) FROM idempotency_keys)""")
        )
        return tuple(found.one())


def job_ids(payloads: list[Payload]) -> list[str]:
    return [payload["job"]["id"] for payload in payloads]


def created(payloads: list[Payload]) -> list[bool]:
    return [payload["created"] for payload in payloads]


async def test_answers_come_in_the_order_of_the_inputs(resources: Resources) -> None:
    wanted = [(i % 10, f"k{99 - i:02}") for i in range(100)]
    payloads = await create(resources, *(an_input(priority=i, idempotencyKey=key) for i, key in wanted))
    assert [(payload["job"]["priority"], payload["job"]["idempotencyKey"]) for payload in payloads] == wanted
    assert job_ids(payloads) == sorted(job_ids(payloads))
    assert all(created(payloads))
    assert await count(resources) == (100, 100, 100, 100)


async def test_each_job_is_sent_once(resources: Resources) -> None:
    await create(resources, *(an_input() for _ in range(10)))
    await resources.dispatcher.drain()

    async def sent() -> bool:
        async with resources.database.connect() as connection:
            return not await connection.scalar(text("SELECT count(*) FROM jobs WHERE sent_at IS NULL"))

    await until(sent)
    assert (await resources.queues.normal.depth()).available == 10


@pytest.mark.parametrize(
    ("wanted", "statements"),
    [
        ({}, 1),
        ({"idempotencyKey": "{}"}, 1),
        ({"reuseIdentical": True, "promptSpec": {"steps": 1}}, 3),
        ({"reuseIdentical": True, "idempotencyKey": "{}"}, 5),
    ],
)
async def test_a_thousand_cost_as_many_statements_as_two(
    resources: Resources, wanted: dict[str, object], statements: int
) -> None:
    for number in (2, 1000):
        prefix = f"of {number}: "
        key = wanted.get("idempotencyKey")
        inputs = [an_input(**wanted | ({"idempotencyKey": f"{prefix}{i}"} if key else {})) for i in range(number)]
        with recorded_statements() as recorded:
            payloads = await create(resources, *inputs)
        asked = [statement for statement in recorded if "sent_at = " not in statement]  # the dispatcher's own
        assert len(payloads) == number
        assert len(asked) <= statements, asked


async def test_one_job_costs_one_statement(resources: Resources) -> None:
    with recorded_statements() as recorded:
        await ask(resources, CREATE_ONE, input=an_input(idempotencyKey="k"))
    assert len([statement for statement in recorded if "sent_at = " not in statement]) == 1, recorded


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"promptSpec": {"steps": -1}}, ["promptSpec", "steps"]),
        ({"priority": 10}, ["priority"]),
        ({"provider": "nobody"}, ["provider"]),
        ({"references": {"claimIds": ["c", ""]}}, ["references", "claimIds", 1]),
    ],
)
async def test_one_bad_input_refuses_all_by_its_path(
    resources: Resources, bad: dict[str, object], path: list[str | int]
) -> None:
    told = await refused(resources, an_input(), an_input(), an_input(), an_input(**bad), an_input(priority=-1))
    assert (told["code"], told["path"]) == ("BAD_USER_INPUT", ["inputs", 3, *path])


@pytest.mark.parametrize("number", [0, 1001])
async def test_none_and_too_many_are_bad_input(resources: Resources, number: int) -> None:
    told = await refused(resources, *(an_input() for _ in range(number)))
    assert (told["code"], told["path"]) == ("BAD_USER_INPUT", ["inputs"])


async def test_one_input_of_another_world_refuses_all(resources: Resources) -> None:
    visitor = a_caller("eldoria")
    told = await refused(resources, an_input(), an_input(worldId="elsewhere"), caller=visitor)
    assert told["code"] == "NOT_FOUND"
    reader = a_caller("eldoria", scopes=frozenset({Scope.READ}))
    assert (await refused(resources, an_input(), caller=reader))["code"] == "FORBIDDEN"
    assert created(await create(resources, an_input(), caller=visitor)) == [True]


async def test_a_key_that_was_used_before_returns_the_first_job(resources: Resources) -> None:
    (first,) = await create(resources, picture(1, idempotencyKey="k"))
    elsewhere, again, new = await create(
        resources,
        picture(1, idempotencyKey="k", worldId="elsewhere"),
        picture(1, idempotencyKey="k"),
        picture(2, idempotencyKey="n"),
    )
    assert created([elsewhere, again, new]) == [True, False, True]
    assert again["job"]["id"] == first["job"]["id"]


async def test_a_key_with_other_inputs_refuses_all(resources: Resources) -> None:
    """Falls without the transaction of `create_all`: the other job of the call would stay."""
    await create(resources, picture(1, idempotencyKey="k"))
    told = await refused(resources, an_input(), picture(2, idempotencyKey="k"))
    assert told["code"] == "CONFLICT"


async def test_the_same_key_twice_in_one_call_is_one_job(resources: Resources) -> None:
    payloads = await create(resources, *(picture(1, idempotencyKey=key) for key in ("a", "b", "a")))
    assert created(payloads) == [True, True, False]
    assert payloads[2]["job"]["id"] == payloads[0]["job"]["id"]


async def test_the_same_key_with_other_inputs_in_one_call_refuses_all(resources: Resources) -> None:
    told = await refused(resources, picture(1, idempotencyKey="a"), picture(2, idempotencyKey="a"))
    assert told["code"] == "CONFLICT"


async def test_identical_inputs_are_reused_within_the_call_and_from_before(resources: Resources) -> None:
    (asset,) = await made(resources.database, prompt_spec={"steps": 7})
    payloads = await create(
        resources,
        picture(7, reuseIdentical=True),
        picture(1),
        picture(1),
        picture(1, reuseIdentical=True),
        picture(2, reuseIdentical=True),
        picture(2, reuseIdentical=True),
        picture(2, reuseIdentical=True, worldId="elsewhere"),
    )
    assert created(payloads) == [False, True, True, False, True, False, True]
    assert payloads[0]["job"]["asset"]["id"] == str(asset.id)
    assert payloads[3]["job"]["id"] == payloads[2]["job"]["id"]  # the latest of them
    assert payloads[5]["job"]["id"] == payloads[4]["job"]["id"]


async def test_a_key_that_came_with_the_wish_to_reuse_stands_for_what_was_returned(
    resources: Resources,
) -> None:
    """Falls without recording the keys of jobs that were reused."""
    (earlier,) = await create(resources, picture(1))
    wish = picture(1, reuseIdentical=True, idempotencyKey="k")
    assert job_ids(await create(resources, wish)) == job_ids([earlier])
    await ask(resources, CANCEL, id=earlier["job"]["id"])
    again = await ask(resources, CREATE_ONE, input=wish)
    assert again["data"]["createAssetJob"] == {
        "created": False,
        "job": {"id": earlier["job"]["id"], "status": "CANCELLED"},
    }
    other = await ask(resources, CREATE_ONE, input=picture(2, idempotencyKey="k"))
    assert code(other) == "CONFLICT"
    assert created(await create(resources, picture(1, reuseIdentical=True, idempotencyKey="n"))) == [True]


async def test_calls_at_once_with_the_same_keys_make_each_job_once(resources: Resources) -> None:
    def inputs(turn: int, **changes: object) -> list[dict[str, object]]:
        numbers = range(40) if turn % 2 else reversed(range(40))
        return [picture(i, idempotencyKey=f"k{i}", **changes) for i in numbers]

    calls = [create(resources, *inputs(turn, reuseIdentical=turn % 3 == 0)) for turn in range(12)]
    answers = await asyncio.gather(*calls)
    assert sum(payload["created"] for payloads in answers for payload in payloads) == 40
    assert len({job_id for payloads in answers for job_id in job_ids(payloads)}) == 40
    assert (await count(resources))[0] == 40


async def test_calls_whose_keys_come_in_another_order_do_not_lock_each_other_out(resources: Resources) -> None:
    """Falls without the order of the keys in the statement that creates."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    async def waits() -> bool:
        async with resources.database.connect() as connection:
            return bool(await connection.scalar(waiting))

    async with resources.database.transaction() as first:
        await store_jobs(first, [a_new_job(idempotency_key="k5")])
        call = asyncio.create_task(create(resources, *(an_input(idempotencyKey=f"k{i}") for i in (9, 5, 1))))
        await until(waits)
        await store_jobs(first, [a_new_job(idempotency_key="k9")])
    assert created(await call) == [False, False, True]


async def test_identical_calls_at_once_make_one_job_where_reuse_is_asked_for(resources: Resources) -> None:
    """Falls without the advisory locks."""
    calls = [
        create(resources, *(picture(i, reuseIdentical=True) for i in (range(9) if turn % 2 else range(8, -1, -1))))
        for turn in range(8)
    ]
    answers = await asyncio.gather(*calls)
    assert sum(payload["created"] for payloads in answers for payload in payloads) == 9
