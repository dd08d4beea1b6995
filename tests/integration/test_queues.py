"""The queues as operators see them by GraphQL."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import pytest
from graphql import GraphQLError
from strawberry.types import ExecutionResult

from schema import build_schema
from schema.context import Context
from services.access import ANONYMOUS, Caller, Scope
from services.messages import Message
from services.resources import Resources
from services.supervision import Supervisor
from tests.asking import a_caller, ask, code
from tests.conftest import Opener

NO_OPERATOR: Final = Caller("reader", frozenset(Scope) - {Scope.ADMIN})
QUEUES: Final = "{ queues { name messagesAvailable messagesInFlight messagesDelayed deadLetters } }"
REDRIVE: Final = "mutation($queue: String!, $max: Int) { redriveDeadLetters(queue: $queue, max: $max) }"
PURGE: Final = "mutation($queue: String!) { purgeQueue(queue: $queue) }"
WATCH: Final = "subscription($every: Float) { queueStats(intervalSeconds: $every) { name messagesAvailable } }"


@pytest.fixture
async def resources(open_services: Opener) -> AsyncIterator[Resources]:
    """Return resources of an installation that allows to purge."""
    resources = await open_services(LOREKEEPER_ALLOW_PURGE="true")
    async with Supervisor() as supervisor:
        supervisor.start("queue_watch", resources.queue_watch.run)
        yield resources


async def bury(resources: Resources, number: int) -> None:
    queue = resources.queues.normal
    await queue.send([Message(f"letter {i}") for i in range(number)])
    while number:
        deliveries = await queue.receive()
        await queue.bury([(delivery, "cannot be read") for delivery in deliveries])
        number -= len(deliveries)


async def watch(
    resources: Resources, caller: Caller = ANONYMOUS, **variables: object
) -> AsyncGenerator[ExecutionResult, None]:
    context = Context(resources, "http://lore.example/", lasting=True)
    context.identity = caller
    stream: Any = await build_schema().subscribe(WATCH, variable_values=variables, context_value=context)
    async with aclosing(stream):
        async for result in stream:
            yield result


async def refusal(resources: Resources, caller: Caller = ANONYMOUS, **variables: object) -> dict[str, Any]:
    """Return the one error with which a subscription ends at once."""
    async with asyncio.timeout(10), aclosing(watch(resources, caller, **variables)) as stream:
        (result,) = [result async for result in stream]
    (error,) = result.errors or [GraphQLError("nothing was refused")]
    extensions: dict[str, Any] = error.extensions or {}
    return extensions


async def test_operators_see_what_each_queue_holds(resources: Resources) -> None:
    await bury(resources, 2)
    await resources.queues.normal.send([Message(str(i)) for i in range(3)])
    await resources.queues.normal.receive(most=1)
    answer = await ask(resources, QUEUES)
    normal, *others = answer["data"]["queues"]
    name = resources.queues.normal.name
    empty = {"messagesAvailable": 0, "messagesInFlight": 0, "messagesDelayed": 0, "deadLetters": 0}
    assert normal == empty | {"name": name, "messagesAvailable": 2, "messagesInFlight": 1, "deadLetters": 2}
    assert others == [empty | {"name": f"{name}-{urgency}"} for urgency in ("high", "low")]


async def test_dead_letters_go_back_as_many_as_are_asked_for(resources: Resources) -> None:
    await bury(resources, 4)
    moved = await ask(resources, REDRIVE, queue=resources.queues.normal.name, max=3)
    assert moved == {"data": {"redriveDeadLetters": 3}}
    rest = await ask(resources, REDRIVE, queue=resources.queues.normal.name)
    assert rest == {"data": {"redriveDeadLetters": 1}}
    stats, *_ = (await ask(resources, QUEUES))["data"]["queues"]
    assert (stats["messagesAvailable"], stats["deadLetters"]) == (4, 0)


async def test_a_purge_empties_the_queue_where_it_is_switched_on(
    resources: Resources, open_services: Opener
) -> None:
    await resources.queues.normal.send([Message("x")])
    careful = await open_services()
    assert code(await ask(careful, PURGE, queue=careful.queues.normal.name)) == "FORBIDDEN"
    assert (await resources.queues.normal.depth()).available == 1
    assert await ask(resources, PURGE, queue=resources.queues.normal.name) == {"data": {"purgeQueue": True}}
    assert (await resources.queues.normal.depth()).available == 0


async def test_a_queue_of_somebody_else_is_not_found(resources: Resources) -> None:
    for query in (REDRIVE, PURGE):
        assert code(await ask(resources, query, queue="another")) == "NOT_FOUND"
        assert code(await ask(resources, query, queue=resources.queues.normal.dead_letter_name)) == "NOT_FOUND"


async def test_who_is_no_operator_may_do_none_of_it(resources: Resources) -> None:
    """Break it: take the line out that requires the scope; it comes before whatever else might be wrong."""
    await bury(resources, 1)
    await resources.queues.normal.send([Message("x")])
    assert code(await ask(resources, QUEUES, NO_OPERATOR)) == "FORBIDDEN"
    for query in (REDRIVE, PURGE):
        for queue in (resources.queues.normal.name, "another", ""):
            assert code(await ask(resources, query, NO_OPERATOR, queue=queue)) == "FORBIDDEN"
    for every in (2, 0):
        assert (await refusal(resources, NO_OPERATOR, every=every))["code"] == "FORBIDDEN"
    depth = await resources.queues.normal.depth()
    assert (depth.available, depth.dead_letters) == (1, 1)


async def test_an_operator_needs_no_world(resources: Resources) -> None:
    answer = await ask(resources, QUEUES, a_caller(scopes=frozenset({Scope.ADMIN})))
    assert resources.queues.normal.name in [stats["name"] for stats in answer["data"]["queues"]]


async def test_a_watcher_is_told_at_once_and_then_at_its_interval(resources: Resources) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(15), aclosing(watch(resources, every=1.5)) as stream:
        first = await anext(stream)
        assert first.data
        assert first.data["queueStats"][0] == {"name": resources.queues.normal.name, "messagesAvailable": 0}
        told_at = loop.time()
        await resources.queues.normal.send([Message("x")])
        second = await anext(stream)
        assert second.data
        assert second.data["queueStats"][0] == {"name": resources.queues.normal.name, "messagesAvailable": 1}
        assert loop.time() - told_at > 1


@pytest.mark.parametrize("bad", [0, -1, 0.99, 3600.5, 1e300])
async def test_an_interval_out_of_bounds_is_bad_input(resources: Resources, bad: float) -> None:
    assert await refusal(resources, every=bad) == {"code": "BAD_USER_INPUT", "path": ["intervalSeconds"]}


@pytest.mark.parametrize("bad", [0, -1, 1001])
async def test_a_number_of_letters_out_of_bounds_is_bad_input(resources: Resources, bad: int) -> None:
    (error,) = (await ask(resources, REDRIVE, queue=resources.queues.normal.name, max=bad))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["max"]}


@pytest.mark.parametrize("bad", ["", " ", "x" * 201, "a\n", "\ud800", "a\x00"])
async def test_a_name_that_no_queue_can_have_is_bad_input(resources: Resources, bad: str) -> None:
    for query in (REDRIVE, PURGE):
        (error,) = (await ask(resources, query, queue=bad))["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["queue"]}


async def test_a_null_stands_for_the_default(resources: Resources) -> None:
    assert await ask(resources, REDRIVE, queue=resources.queues.normal.name, max=None) == {
        "data": {"redriveDeadLetters": 0}
    }
    async with asyncio.timeout(10), aclosing(watch(resources, every=None)) as stream:
        assert (await anext(stream)).errors is None


async def test_an_sqs_that_is_away_is_told(open_services: Opener) -> None:
    resources = await open_services(AWS_ENDPOINT_URL="http://127.0.0.1:1", LOREKEEPER_ALLOW_PURGE="true")
    assert code(await ask(resources, QUEUES)) == "UNAVAILABLE"
    for query in (REDRIVE, PURGE):
        assert code(await ask(resources, query, queue=resources.queues.normal.name)) == "UNAVAILABLE"
