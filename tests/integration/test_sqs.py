"""What the queue promises, against two servers that were written apart, and one that fails on demand."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import aioboto3
import pytest
from moto.server import ThreadedMotoServer

from services.errors import QueueUnavailable
from services.local_stack import Endpoint, Part
from services.messages import Delivery, Message
from services.resources import Resources
from services.sqs import Queue

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

AT_ONCE: Final = timedelta()
A_WHILE: Final = timedelta(seconds=5)
NOWHERE: Final = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"}
"""Nothing here connects to either."""

Opener = Callable[..., Awaitable[Queue]]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["embedded", "moto"])
def server(request: pytest.FixtureRequest) -> str:
    """Return the address of an SQS server."""
    if request.param == "moto":
        return str(request.getfixturevalue("moto"))
    stack: Mapping[Part, Endpoint] = request.getfixturevalue("stack")
    return stack[Part.SQS].url


@pytest.fixture
async def queue(server: str, open_queue: Opener) -> Queue:
    return await open_queue(server)


@pytest.fixture
async def outsider(server: str) -> AsyncIterator["SQSClient"]:
    """Look at the server without our code."""
    session = aioboto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    async with session.client("sqs", endpoint_url=server) as client:
        yield client


async def receive_all(queue: Queue, count: int) -> list[Delivery]:
    """Receive so many messages, however many calls that takes."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(10):
        while len(deliveries) < count:
            deliveries += await queue.receive(wait=timedelta(seconds=1))
    return deliveries


async def one(queue: Queue, wait: timedelta = A_WHILE) -> Delivery:
    (delivery,) = await queue.receive(most=1, wait=wait)
    return delivery


async def attributes_of(client: "SQSClient", name: str) -> Mapping[str, str]:
    url = (await client.get_queue_url(QueueName=name))["QueueUrl"]
    answer = await client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(key): value for key, value in answer["Attributes"].items()}


async def test_initializing_creates_both_queues_with_a_redrive_policy(queue: Queue, outsider: "SQSClient") -> None:
    await queue.initialize()
    main = await attributes_of(outsider, queue.name)
    dead = await attributes_of(outsider, f"{queue.name}-dlq")
    policy = json.loads(main["RedrivePolicy"])
    assert policy["deadLetterTargetArn"] == dead["QueueArn"]
    assert int(policy["maxReceiveCount"]) == 1000
    assert main["VisibilityTimeout"] == "30"
    assert main["MessageRetentionPeriod"] == dead["MessageRetentionPeriod"] == "1209600"


async def test_initializing_again_keeps_queue_and_messages(server: str, queue: Queue, open_queue: Opener) -> None:
    await asyncio.gather(*(queue.initialize() for _ in range(5)))
    assert await queue.send([Message("kept")]) == [True]
    # Another process, with another lease: SQS would refuse to create the queue again with that.
    other = await open_queue(server, SQS_QUEUE_NAME=queue.name, LOREKEEPER_LEASE_S="60")
    await other.initialize()
    assert (await one(other)).body == "kept"


async def test_processes_that_start_together_share_one_queue(server: str, open_queue: Opener) -> None:
    name = f"test-{uuid4().hex}"
    queues = [await open_queue(server, SQS_QUEUE_NAME=name) for _ in range(3)]
    await asyncio.gather(*(queue.initialize() for queue in queues))
    await queues[0].send([Message("shared")])
    assert (await one(queues[2])).body == "shared"


async def test_more_than_ten_are_sent_received_and_deleted(queue: Queue) -> None:
    bodies = [f"message {i}" for i in range(25)]
    assert await queue.send([Message(body) for body in bodies]) == [True] * 25
    deliveries = await receive_all(queue, 25)
    assert Counter(delivery.body for delivery in deliveries) == Counter(bodies)
    assert await queue.delete([delivery.receipt_handle for delivery in deliveries]) == [True] * 25
    depth = await queue.depth()
    assert (depth.available, depth.in_flight) == (0, 0)


async def test_nothing_is_sent_or_deleted_for_nothing(queue: Queue) -> None:
    assert await queue.send([]) == []
    assert await queue.delete([]) == []
    assert await queue.change_visibility([]) == []


async def test_body_and_attributes_arrive_as_they_were_sent(queue: Queue) -> None:
    message = Message('{"job": "☃ 龍"}', {"type": "ASSET_GENERATION", "world_id": "Ærendel 龍"})
    await queue.send([message])
    delivery = await one(queue)
    assert (delivery.body, delivery.attributes, delivery.receive_count) == (message.body, message.attributes, 1)


async def test_a_delayed_message_comes_when_its_time_has_come_and_not_before(queue: Queue) -> None:
    loop = asyncio.get_running_loop()
    await queue.initialize()
    sent_at = loop.time()
    await queue.send([Message("later", wait=timedelta(milliseconds=300))])  # SQS knows whole seconds only
    assert await queue.receive(wait=AT_ONCE) == []
    assert (await one(queue)).body == "later"
    assert 0.3 < loop.time() - sent_at < 4


async def test_a_delivery_is_hidden_until_its_visibility_ends(queue: Queue) -> None:
    await queue.send([Message("hidden")])
    first = await one(queue)
    assert await queue.receive(wait=AT_ONCE) == []
    assert await queue.change_visibility([(first.receipt_handle, AT_ONCE)]) == [True]
    again = await one(queue)
    assert (again.body, again.receive_count) == ("hidden", 2)


async def test_an_extended_delivery_outlives_the_visibility_of_its_queue(server: str, open_queue: Opener) -> None:
    queue = await open_queue(server, LOREKEEPER_LEASE_S="1", LOREKEEPER_HEARTBEAT_S="0.3")
    await queue.send([Message("extended"), Message("left")])
    deliveries = {delivery.body: delivery for delivery in await receive_all(queue, 2)}
    extended = deliveries["extended"].receipt_handle
    assert await queue.change_visibility([(extended, timedelta(days=2))]) == [True]  # as far as SQS goes
    assert (await one(queue)).body == "left"
    assert await queue.receive(wait=AT_ONCE) == []
    assert await queue.delete([extended]) == [True]


async def test_a_long_poll_answers_as_soon_as_a_message_comes(queue: Queue) -> None:
    loop = asyncio.get_running_loop()
    await queue.initialize()
    poll = asyncio.create_task(queue.receive(wait=timedelta(seconds=15)))
    done, _ = await asyncio.wait([poll], timeout=0.3)
    assert not done
    sent_at = loop.time()
    await queue.send([Message("here")])
    assert [delivery.body for delivery in await poll] == ["here"]
    assert loop.time() - sent_at < 3


async def test_at_most_so_many_are_received_as_were_asked_for(queue: Queue) -> None:
    await queue.send([Message(str(i)) for i in range(4)])
    assert len(await queue.receive(most=3, wait=A_WHILE)) <= 3
    await queue.receive(most=1000, wait=AT_ONCE)  # SQS refuses more than ten


@pytest.mark.parametrize("call", ["send", "receive", "depth", "purge", "ping"])
async def test_a_deleted_queue_is_created_again_by_the_next_call(
    queue: Queue, outsider: "SQSClient", call: str
) -> None:
    await queue.initialize()
    await outsider.delete_queue(QueueUrl=(await outsider.get_queue_url(QueueName=queue.name))["QueueUrl"])
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "send": lambda: queue.send([Message("first")]),
        "receive": lambda: queue.receive(wait=AT_ONCE),
        "depth": queue.depth,
        "purge": queue.purge,
        "ping": queue.ping,
    }
    await calls[call]()
    assert "RedrivePolicy" in await attributes_of(outsider, queue.name)
    assert await queue.send([Message("again")]) == [True]


async def test_a_deleted_dead_letter_queue_is_created_again_by_a_burial(
    queue: Queue, outsider: "SQSClient"
) -> None:
    await queue.send([Message("poison")])
    delivery = await one(queue)
    url = (await outsider.get_queue_url(QueueName=queue.dead_letter_name))["QueueUrl"]
    await outsider.delete_queue(QueueUrl=url)
    await queue.bury([(delivery, "cannot be read")])
    assert (await queue.depth()).dead_letters == 1


async def test_depth_counts_what_is_available_in_flight_delayed_and_dead(queue: Queue) -> None:
    await queue.send([Message("poison")])
    await queue.bury([(await one(queue), "no reason")])
    await queue.send([Message(str(i)) for i in range(4)])
    await one(queue)
    await queue.send([Message("later", wait=timedelta(minutes=20))])  # longer than SQS can: 15 minutes
    depth = await queue.depth()
    assert (depth.name, depth.available, depth.in_flight, depth.delayed, depth.dead_letters) == (
        queue.name,
        3,
        1,
        1,
        1,
    )


async def test_purging_throws_every_message_away(queue: Queue) -> None:
    await queue.send([Message(str(i)) for i in range(3)])
    await queue.purge()
    assert await queue.receive(wait=AT_ONCE) == []
    assert (await queue.depth()).available == 0


async def test_what_is_buried_lies_in_the_dead_letter_queue_with_its_reason(
    queue: Queue, outsider: "SQSClient"
) -> None:
    bodies = [f"poison {i}" for i in range(12)]
    await queue.send([Message(body, {"type": "UNKNOWN"}) for body in bodies])
    deliveries = await receive_all(queue, 12)
    await queue.bury([(delivery, f"{delivery.body} cannot be read") for delivery in deliveries])
    depth = await queue.depth()
    assert (depth.available, depth.in_flight, depth.dead_letters) == (0, 0, 12)

    url = (await outsider.get_queue_url(QueueName=queue.dead_letter_name))["QueueUrl"]
    found: dict[str, tuple[str, str]] = {}
    while len(found) < 12:
        answer = await outsider.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=1
        )
        for message in answer["Messages"]:
            told = message["MessageAttributes"]
            found[message["Body"]] = (told["type"]["StringValue"], told["reason"]["StringValue"])
    assert found == {body: ("UNKNOWN", f"{body} cannot be read") for body in bodies}


async def test_a_message_over_one_mebibyte_fails_alone(queue: Queue) -> None:
    messages = [Message("small"), Message("x" * (1024 * 1024 + 1)), Message("little")]
    assert await queue.send(messages) == [True, False, True]
    assert {delivery.body for delivery in await receive_all(queue, 2)} == {"small", "little"}


async def test_messages_that_are_too_much_for_one_call_travel_in_several(queue: Queue) -> None:
    bodies = [letter * 120_000 for letter in "abcdefghij"]  # together more than the 1 MiB of a call
    assert await queue.send([Message(body) for body in bodies]) == [True] * 10
    assert {delivery.body for delivery in await receive_all(queue, 10)} == set(bodies)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_server_that_is_away_is_reported_in_time(open_queue: Opener) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    calls: list[Callable[[Queue], Awaitable[Any]]] = [
        Queue.initialize,
        Queue.ping,
        Queue.depth,
        Queue.purge,
        Queue.receive,
        lambda queue: queue.send([Message("lost")]),
        lambda queue: queue.delete(["handle"]),
    ]
    queues = [await open_queue(url, LOREKEEPER_REQUEST_TIMEOUT_S="1") for _ in calls]
    async with asyncio.timeout(5):
        errors = await asyncio.gather(
            *(call(queue) for call, queue in zip(calls, queues, strict=True)), return_exceptions=True
        )
    for error in errors:
        assert isinstance(error, QueueUnavailable)
        assert error.__cause__ is not None
        assert "127.0.0.1" not in str(error)


async def test_the_long_poll_of_a_client_that_is_gone_takes_no_message(services: Resources) -> None:
    """On the embedded server: the poll of a killed worker would take the message of its own job."""
    await services.queues.normal.initialize()
    polling = asyncio.create_task(services.queues.normal.receive())
    await asyncio.sleep(0.3)  # it is under way
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    await asyncio.sleep(0.2)  # the server has noticed
    await services.queues.normal.send([Message("x")])
    await asyncio.sleep(0.3)  # longer than between two looks of the poll that is gone
    (delivery,) = await services.queues.normal.receive(wait=timedelta(seconds=2))
    assert delivery.receive_count == 1
