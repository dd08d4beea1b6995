"""Clients that others wrote follow our streams, over a network that breaks all the time: nothing is missed."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

import asyncpg
import pytest

from tests.acceptance.conftest import Api
from tests.conftest import until
from tests.followers import FOLLOW, Follow, Following, Item, Subscriber, Subscription
from tests.processes import ask
from tests.relay import Relay

ITEM = "{ kind jobId seq cursor status previousStatus attempt progress errorCode job { id worldId } }"
JOB = f"subscription($jobId: ID!, $after: String) {{ jobUpdates(jobId: $jobId, after: $after) {ITEM} }}"
WORLD = f"subscription($worldId: ID!, $after: String) {{ worldUpdates(worldId: $worldId, after: $after) {ITEM} }}"
LIST = "query($worldId: ID!) { jobs(filter: {worldId: $worldId}) { updatesCursor } }"
THREE_RUNS = {"duration_ms": 300, "steps": 5, "fail_attempts": 2}
JOBS = 10


@pytest.fixture(params=sorted(FOLLOW))
def follow(request: pytest.FixtureRequest) -> Follow:
    """Return each client in turn."""
    name: str = request.param
    if not name.startswith("gql "):
        request.getfixturevalue("node")
    return FOLLOW[name]


def transitions(items: Sequence[Item]) -> list[Item]:
    """Return what carries a `seq` of its own: each job's must follow on, and progress belong to the latest."""
    latest: dict[str, int] = {}
    found = []
    for item in items:
        job, seq = item["jobId"], item["seq"]
        if item["kind"] == "PROGRESS":
            assert latest.get(job, seq) == seq, f"progress of seq {seq} after seq {latest[job]}"
        else:
            assert latest.get(job, seq - 1) == seq - 1, f"seq {seq} after seq {latest[job]}"
            found.append(item)
            latest[job] = seq
    return found


async def reached(following: Following, condition: Callable[[], bool]) -> None:
    """Wait until the client has received what it should; fail as soon as it cannot any more."""

    def holds() -> bool:
        assert not following.failures
        for subscriber in following.subscribers:
            transitions(subscriber.items)
        return condition()

    await until(holds, within_s=25)


async def test_a_job_is_followed_from_queued_to_its_end(follow: Follow, api: Api) -> None:
    job = api.create("eldoria", {"duration_ms": 100})
    async with follow(api.address, [(JOB, {"jobId": job["id"]})]) as following:
        (subscriber,) = following.subscribers
        await reached(following, lambda: bool(subscriber.items))
        api.start_worker()
        await reached(following, lambda: subscriber.ended)
    assert not following.losses
    found = transitions(subscriber.items)
    assert [item["kind"] for item in found] == ["SNAPSHOT", "TRANSITION", "TRANSITION"]
    assert [item["status"] for item in found] == ["QUEUED", "PROCESSING", "SUCCEEDED"]
    assert [item["seq"] for item in found] == [1, 2, 3]


async def test_nothing_is_missed_repeated_or_reordered_while_connections_are_cut(
    follow: Follow, api: Api, environment: dict[str, str]
) -> None:
    """Half of the jobs are followed from a snapshot on, half from the cursor that their mutation answered."""
    listed = ask(api.url, LIST, {"worldId": "eldoria"})["data"]["jobs"]
    jobs = [api.create("eldoria", THREE_RUNS) for _ in range(JOBS)]
    api.create("elsewhere", THREE_RUNS)
    subscriptions: list[Subscription] = [
        (JOB, {"jobId": job["id"]} | ({"after": job["cursor"]} if number % 2 else {}))
        for number, job in enumerate(jobs)
    ]
    subscriptions.append((WORLD, {"worldId": "eldoria", "after": listed["updatesCursor"]}))
    async with Relay(api.port, lifetime=a_life) as relay, follow(relay.address, subscriptions) as following:
        *subscribers, world = following.subscribers
        await reached(following, lambda: all(subscriber.items for subscriber in subscribers[::2]))
        api.start_worker(LOREKEEPER_WORKER_CONCURRENCY="5")
        async with asyncio.TaskGroup() as group:
            cutting = group.create_task(cut_at_random(relay))
            await reached(following, lambda: all(subscriber.ended for subscriber in subscribers))
            last = api.create("eldoria", {})["id"]  # what came twice to the world has come before this ends
            await reached(following, lambda: any(is_end_of(last, item) for item in world.items))
            cutting.cancel()
    assert min(relay.cuts, following.losses) >= 5, "the network was too good"
    for number, (job, subscriber) in enumerate(zip(jobs, subscribers, strict=True)):
        found = transitions(subscriber.items)
        assert [item["seq"] for item in found] == list(range(1 + number % 2, 8))
        kinds = {item["kind"] for item in found[1 - number % 2 :]}
        assert kinds == {"TRANSITION"}
        assert found[-1]["status"] == "SUCCEEDED"
        assert {item["jobId"] for item in subscriber.items} == {job["id"]}
    assert received_by(world) == await log_of("eldoria", environment["DATABASE_URL"])


async def test_an_api_ends_at_once_although_its_clients_come_back_and_they_resume_at_another(
    follow: Follow, api: Api, environment: dict[str, str]
) -> None:
    """Falls where a stream can begin after those under way were told to end: nobody ends that one."""
    listed = ask(api.url, LIST, {"worldId": "eldoria"})["data"]["jobs"]
    jobs = [api.create("eldoria", THREE_RUNS) for _ in range(4)]
    watching: list[Subscription] = [(WORLD, {"worldId": "eldoria", "after": listed["updatesCursor"]})] * 30
    async with Relay(api.port) as relay, follow(relay.address, watching) as following:
        await reached(following, lambda: all(world.items for world in following.subscribers))
        api.start_worker()
        await reached(following, lambda: len(following.subscribers[0].items) > len(jobs))
        await asyncio.to_thread(api.process.stop, within_s=5)
        relay.target = ("127.0.0.1", api.another().port)
        everything = 7 * len(jobs)
        await reached(
            following, lambda: all(len(transitions(world.items)) == everything for world in following.subscribers)
        )
    log = await log_of("eldoria", environment["DATABASE_URL"])
    assert all(received_by(world) == log for world in following.subscribers)


def received_by(world: Subscriber) -> dict[UUID, list[tuple[int, str]]]:
    """Return the transitions that a subscriber to a world received by job, in order."""
    received = defaultdict(list)
    for item in transitions(world.items):
        assert item["kind"] == "TRANSITION"
        received[UUID(item["jobId"])].append((item["seq"], item["status"]))
    return received


def a_life() -> int:
    """Return after how many bytes to cut a connection: short ones as likely as long ones."""
    return int(10 ** random.uniform(2.5, 4.2))


async def cut_at_random(relay: Relay) -> None:
    """Cut everything now and then, also where nothing is being sent."""
    while True:
        await asyncio.sleep(random.uniform(0.1, 0.8))
        relay.cut()


def is_end_of(job_id: str, item: Item) -> bool:
    return bool(item["jobId"] == job_id and item["status"] == "SUCCEEDED")


async def log_of(world: str, database_url: str) -> dict[UUID, list[tuple[int, str]]]:
    """Return the transitions of a world by job, in order."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT job_id, seq, status::text FROM transitions WHERE world_id = $1 ORDER BY job_id, seq", world
        )
    finally:
        await connection.close()
    log = defaultdict(list)
    for row in rows:
        log[row["job_id"]].append((row["seq"], row["status"]))
    return log
