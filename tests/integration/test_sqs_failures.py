"""An SQS that fails some entries, some calls or all of them: only what failed is done again."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from aiohttp import web

from services.errors import QueueUnavailable
from services.messages import Delivery, Message
from services.sqs import Queue

AT_ONCE: Final = timedelta()
A_WHILE: Final = timedelta(seconds=5)
NOWHERE: Final = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"}
"""Nothing here connects to either."""

Opener = Callable[..., Awaitable[Queue]]


@dataclass
class FlakySqs:
    """Enough of SQS's JSON protocol to fail chosen entries.

    Attributes:
        plan: for each body or receipt handle, the errors of its next tries.
        calls: the bodies or receipt handles of every batch, as they came.
        refusals: status codes of the next whole batches.
    """

    plan: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        action = request.headers["X-Amz-Target"].removeprefix("AmazonSQS.")
        asked = json.loads(await request.read())
        status, told = 200, self._told(action, asked)
        if action.endswith("Batch") and self.refusals:
            status, told = self.refusals.pop(0), {"__type": "com.amazonaws.sqs#ServiceUnavailable"}
        return web.Response(
            status=status, body=json.dumps(told).encode(), headers={"Content-Type": "application/x-amz-json-1.0"}
        )

    def _told(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        match action:
            case "GetQueueUrl":
                return {"QueueUrl": f"{self.url}/000000000000/{asked['QueueName']}"}
            case "GetQueueAttributes":
                return {"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:any"}}
        subjects = {
            entry["Id"]: str(entry["MessageBody" if action == "SendMessageBatch" else "ReceiptHandle"])
            for entry in asked["Entries"]
        }
        if not self.refusals:
            self.calls.append(tuple(subjects.values()))
        failed: list[dict[str, Any]] = []
        done = []
        for name, subject in subjects.items():
            if errors := self.plan.get(subject):
                code, sender_fault = errors.pop(0)
                failed.append({"Id": name, "Code": code, "SenderFault": sender_fault})
            else:
                digest = hashlib.md5(subject.encode(), usedforsecurity=False).hexdigest()
                done.append({"Id": name, "MessageId": uuid4().hex, "MD5OfMessageBody": digest})
        return {"Successful": done, "Failed": failed}


@pytest.fixture
async def flaky() -> AsyncIterator[FlakySqs]:
    sqs = FlakySqs()
    application = web.Application()
    application.router.add_post("/{any:.*}", sqs.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sqs.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield sqs
    await runner.cleanup()


def batch_calls(queue: Queue, subjects: Collection[str]) -> dict[str, Callable[[], Awaitable[list[bool]]]]:
    return {
        "send": lambda: queue.send([Message(subject) for subject in subjects]),
        "delete": lambda: queue.delete(list(subjects)),
        "change_visibility": lambda: queue.change_visibility([(subject, A_WHILE) for subject in subjects]),
    }


@pytest.mark.parametrize("call", ["send", "delete", "change_visibility"])
async def test_only_the_entries_that_failed_are_sent_again(flaky: FlakySqs, open_queue: Opener, call: str) -> None:
    flaky.plan = {"b": [("InternalError", False)], "d": [("InternalError", False)] * 2}
    queue = await open_queue(flaky.url)
    assert await batch_calls(queue, "abcd")[call]() == [True] * 4
    assert flaky.calls == [("a", "b", "c", "d"), ("b", "d"), ("d",)]


@pytest.mark.parametrize("call", ["send", "delete", "change_visibility"])
async def test_an_entry_that_is_our_fault_is_not_sent_again(
    flaky: FlakySqs, open_queue: Opener, call: str
) -> None:
    flaky.plan = {"b": [("ReceiptHandleIsInvalid", True)] * 9}
    queue = await open_queue(flaky.url)
    assert await batch_calls(queue, "abc")[call]() == [True, False, True]
    assert flaky.calls == [("a", "b", "c")]


async def test_an_entry_that_keeps_failing_is_given_up_alone(flaky: FlakySqs, open_queue: Opener) -> None:
    flaky.plan = {"b": [("InternalError", False)] * 9}
    queue = await open_queue(flaky.url)
    async with asyncio.timeout(3):
        assert await queue.send([Message("a"), Message("b")]) == [True, False]
    assert flaky.calls == [("a", "b"), ("b",), ("b",)]


async def test_a_call_holds_no_more_than_one_mebibyte_attributes_included(
    flaky: FlakySqs, open_queue: Opener
) -> None:
    queue = await open_queue(flaky.url)
    body = "x" * 500_000
    await queue.send([Message(body, {"world_id": "w" * 10_000}) for _ in range(2)])
    assert [len(call) for call in flaky.calls] == [2]
    await queue.send([Message(body, {"world_id": "w" * 30_000}) for _ in range(2)])
    assert [len(call) for call in flaky.calls] == [2, 1, 1]


async def test_a_failure_in_one_ten_does_not_touch_the_others(flaky: FlakySqs, open_queue: Opener) -> None:
    flaky.plan = {"11": [("InternalError", False)]}
    queue = await open_queue(flaky.url)
    assert await queue.send([Message(str(i)) for i in range(12)]) == [True] * 12
    first, second = tuple(map(str, range(10))), ("10", "11")
    assert Counter(flaky.calls) == Counter([first, second, ("11",)])


async def test_a_dead_letter_that_cannot_be_stored_is_not_deleted(flaky: FlakySqs, open_queue: Opener) -> None:
    flaky.plan = {"body of a": [("InternalError", False)] * 9}
    queue = await open_queue(flaky.url)
    await queue.bury([(Delivery(name, f"body of {name}", {}, 1, queue.name), "poison") for name in "ab"])
    assert flaky.calls[-1] == ("b",)
    assert ("a",) not in flaky.calls
    assert ("a", "b") not in flaky.calls


async def test_a_call_that_is_refused_as_a_whole_is_made_again(flaky: FlakySqs, open_queue: Opener) -> None:
    flaky.refusals = [503]
    queue = await open_queue(flaky.url)
    assert await queue.send([Message("a")]) == [True]


async def test_a_server_that_only_refuses_is_reported(flaky: FlakySqs, open_queue: Opener) -> None:
    flaky.refusals = [503] * 9
    queue = await open_queue(flaky.url)
    with pytest.raises(QueueUnavailable):
        await queue.send([Message("a")])
