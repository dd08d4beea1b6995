"""What operators do with queues."""

from datetime import timedelta

import pytest

from services.errors import PurgeForbidden, QueueNotFound
from services.queue_operations import QueueOperations
from services.resources import Resources
from services.sqs import Message


async def dead(services: Resources, number: int) -> None:
    """Put letters into the dead-letter queue."""
    await services.queue.send([Message(f"letter {i}", {"type": "x"}) for i in range(number)])
    moved = 0
    while moved < number:
        batch = await services.queue.receive(wait=timedelta())
        await services.queue.bury([(delivery, "cannot be read") for delivery in batch])
        moved += len(batch)


async def test_dead_letters_are_counted_and_come_back_without_their_reason(services: Resources) -> None:
    operations = QueueOperations([services.queue], allow_purge=False)
    await dead(services, 25)
    (before,) = await operations.depths()
    assert (before.available, before.dead_letters) == (0, 25)
    assert await operations.redrive(services.queue.name, 12) == 12
    (after,) = await operations.depths()
    assert (after.available, after.dead_letters) == (12, 13)
    (back, *_) = await services.queue.receive(wait=timedelta())
    assert back.body.startswith("letter")
    assert back.attributes == {"type": "x"}
    assert await operations.redrive(services.queue.name, 100) == 13
    assert await operations.redrive(services.queue.name, 100) == 0


async def test_purging_is_refused_unless_it_is_switched_on(services: Resources) -> None:
    await services.queue.send([Message("x")])
    with pytest.raises(PurgeForbidden):
        await QueueOperations([services.queue], allow_purge=False).purge(services.queue.name)
    assert (await services.queue.depth()).available == 1
    await QueueOperations([services.queue], allow_purge=True).purge(services.queue.name)
    assert (await services.queue.depth()).available == 0


async def test_an_unknown_queue_is_told(services: Resources) -> None:
    operations = QueueOperations([services.queue], allow_purge=True)
    for call in (operations.redrive("other", 1), operations.purge("other")):
        with pytest.raises(QueueNotFound):
            await call


async def test_a_letter_with_all_the_attributes_that_sqs_takes_is_buried_too(services: Resources) -> None:
    await services.queue.send([Message("x", {f"a{i}": "1" for i in range(10)})])
    (delivery,) = await services.queue.receive(wait=timedelta(seconds=1))
    await services.queue.bury([(delivery, "cannot be read")])
    assert (await services.queue.depth()).dead_letters == 1
