"""What operators do with queues."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from services.access import ANONYMOUS, Caller, Scope
from services.errors import PurgeForbidden, QueueNotFound
from services.messages import Message
from services.queue_operations import QueueOperations
from services.resources import Resources


async def dead(services: Resources, number: int) -> None:
    """Put letters into the dead-letter queue."""
    await services.queues.normal.send([Message(f"letter {i}", {"type": "x"}) for i in range(number)])
    moved = 0
    while moved < number:
        batch = await services.queues.normal.receive(wait=timedelta())
        await services.queues.normal.bury([(delivery, "cannot be read") for delivery in batch])
        moved += len(batch)


async def test_dead_letters_are_counted_and_come_back_without_their_reason(services: Resources) -> None:
    operations = QueueOperations([services.queues.normal], allow_purge=False)
    await dead(services, 25)
    (before,) = await operations.depths()
    assert (before.available, before.dead_letters) == (0, 25)
    assert await operations.redrive(services.queues.normal.name, 12, ANONYMOUS) == 12
    (after,) = await operations.depths()
    assert (after.available, after.dead_letters) == (12, 13)
    (back, *_) = await services.queues.normal.receive(wait=timedelta())
    assert back.body.startswith("letter")
    assert back.attributes == {"type": "x"}
    assert await operations.redrive(services.queues.normal.name, 100, ANONYMOUS) == 13
    assert await operations.redrive(services.queues.normal.name, 100, ANONYMOUS) == 0


async def test_purging_is_refused_unless_it_is_switched_on(services: Resources) -> None:
    await services.queues.normal.send([Message("x")])
    with pytest.raises(PurgeForbidden):
        await QueueOperations([services.queues.normal], allow_purge=False).purge(
            services.queues.normal.name, ANONYMOUS
        )
    assert (await services.queues.normal.depth()).available == 1
    await QueueOperations([services.queues.normal], allow_purge=True).purge(services.queues.normal.name, ANONYMOUS)
    assert (await services.queues.normal.depth()).available == 0


async def test_an_unknown_queue_is_told(services: Resources) -> None:
    operations = QueueOperations([services.queues.normal], allow_purge=True)
    for call in (operations.redrive("other", 1, ANONYMOUS), operations.purge("other", ANONYMOUS)):
        with pytest.raises(QueueNotFound):
            await call


async def test_a_letter_with_all_the_attributes_that_sqs_takes_is_buried_too(services: Resources) -> None:
    await services.queues.normal.send([Message("x", {f"a{i}": "1" for i in range(10)})])
    (delivery,) = await services.queues.normal.receive(wait=timedelta(seconds=1))
    await services.queues.normal.bury([(delivery, "cannot be read")])
    assert (await services.queues.normal.depth()).dead_letters == 1


async def test_a_redrive_finds_a_dead_letter_queue_that_was_deleted_and_made_again(services: Resources) -> None:
    operations = QueueOperations([services.queues.normal], allow_purge=False)
    await services.queues.normal.initialize()
    client = services.queues.normal._client  # noqa: SLF001 - nothing of ours deletes a queue
    url = (await client.get_queue_url(QueueName=services.queues.normal.dead_letter_name))["QueueUrl"]
    await client.delete_queue(QueueUrl=url)
    assert await operations.redrive(services.queues.normal.name, 1, ANONYMOUS) == 0
    await dead(services, 1)
    assert await operations.redrive(services.queues.normal.name, 1, ANONYMOUS) == 1


async def test_the_log_says_who_moved_and_who_threw_away(services: Resources) -> None:
    operations = QueueOperations([services.queues.normal], allow_purge=True)
    operator = Caller("ada", frozenset({Scope.ADMIN}))
    await dead(services, 1)
    with capture_logs() as said:
        await operations.redrive(services.queues.normal.name, 5, operator)
        await operations.purge(services.queues.normal.name, operator)
    assert [(line["event"], line["subject"], line["queue"]) for line in said] == [
        (event, "ada", services.queues.normal.name)
        for event in ("queue.redriving", "queue.redriven", "queue.purging", "queue.purged")
    ]
    assert said[1]["moved"] == 1
