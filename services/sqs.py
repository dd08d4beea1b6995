"""The queue that hands jobs over: one SQS queue and its dead-letter queue, spoken to in tens."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from services.backoff import delay
from services.batching import in_parts
from services.errors import QueueUnavailable
from services.messages import Delivery, Message, delivery_of, send_entry, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_aiobotocore_sqs.client import SQSClient

BATCH: Final = 10
"""The most entries that SQS takes in one call."""
LONG_POLL: Final = timedelta(seconds=20)
"""The longest that SQS waits for a message before it answers that there is none."""
MOST_VISIBILITY: Final = timedelta(hours=12) - timedelta(minutes=5)
"""The longest that a delivery is hidden at once: SQS allows 12 hours from its receive, which was a while ago."""
_BATCH_BYTES: Final = 1024 * 1024
"""The most that SQS takes in one call and in one message (1 MiB since August 2025)."""
_TRIES: Final = 3
_RETRY_BASE: Final = timedelta(milliseconds=100)
_MAX_RECEIVE_COUNT: Final = 1000
"""Deliveries after which SQS moves a message to the dead-letter queue: deferrals and retries are deliveries
too, so this is far more than the attempts of any job explain."""
_REDRIVE_VISIBILITY_S: Final = 60
_GONE: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})

log = structlog.get_logger(__name__)
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What a queue's own attributes report: approximate, as SQS says."""

    name: str
    available: int
    in_flight: int
    delayed: int
    dead_letters: int


class Queue:
    """One queue and its dead-letter queue.

    All calls raise `QueueUnavailable` when SQS does not answer in time or refuses for now. A queue that
    vanished (deleted, or a local server that lost its state) is created again by the next call.

    Args:
        client: an open client of aioboto3.
        receiver: another, whose read timeout leaves room for a long poll.
        name: the queue's name; the dead-letter queue is `<name>-dlq`. Both end with `.fifo` where they are FIFO.
        visibility: how long a delivery stays hidden unless it is extended.
        fifo: whether messages of one group are delivered one after the other, in the order of their sending.
    """

    def __init__(
        self, client: "SQSClient", receiver: "SQSClient", name: str, *, visibility: timedelta, fifo: bool = False
    ) -> None:
        self.fifo = fifo
        self.name, self.dead_letter_name = (f"{each}.fifo" if fifo else each for each in (name, f"{name}-dlq"))
        self._client = client
        self._receiver = receiver
        self._visibility_s = math.ceil(visibility.total_seconds())
        self._url: str | None = None
        self._dead_letter_url: str | None = None
        self._opening = asyncio.Lock()
        self._sending = asyncio.Lock()

    async def initialize(self) -> None:
        """Find both queues, creating what is missing."""
        async with self._opening:
            if self._url is not None:
                return
            with _translated():
                self._dead_letter_url = await self._find_or_create(
                    self.dead_letter_name, {"MessageRetentionPeriod": str(14 * 24 * 3600)}
                )
                arn = await self._client.get_queue_attributes(
                    QueueUrl=self._dead_letter_url, AttributeNames=["QueueArn"]
                )
                redrive = {
                    "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
                    "maxReceiveCount": _MAX_RECEIVE_COUNT,
                }
                self._url = await self._find_or_create(
                    self.name,
                    {
                        "VisibilityTimeout": str(self._visibility_s),
                        "MessageRetentionPeriod": str(14 * 24 * 3600),
                        "RedrivePolicy": json.dumps(redrive),
                    },
                )

    async def ping(self) -> None:
        """Return when SQS answers."""
        await self._call(lambda _url: self._client.get_queue_url(QueueName=self.name))

    async def send(self, messages: Sequence[Message]) -> list[bool]:
        """Send messages; returns for each whether SQS has it."""
        entries = [send_entry(message, fifo=self.fifo) for message in messages]
        sizes = [size_of(message) for message in messages]

        async def call(url: str, some: Any) -> Any:  # noqa: ANN401 - botocore's response
            return await self._client.send_message_batch(QueueUrl=url, Entries=some)

        if not self.fifo:
            return await self._in_tens(entries, call, sizes)
        async with self._sending:  # one after the other, as they came
            done: list[bool] = []
            for start in range(0, len(entries), BATCH):
                end = start + BATCH
                done += await self._in_tens(entries[start:end], call, sizes[start:end])
            return done

    async def receive(self, *, most: int = BATCH, wait: timedelta = LONG_POLL) -> list[Delivery]:
        """Wait for messages (long polling) and return up to `most`, 10 at the most."""

        async def call(url: str) -> Any:  # noqa: ANN401 - botocore's response
            return await self._receiver.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(most, BATCH),
                WaitTimeSeconds=round(wait.total_seconds()),
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )

        response = await self._call(call)
        return [delivery_of(message, self.name) for message in response.get("Messages", ())]

    async def delete(self, receipt_handles: Sequence[str]) -> list[bool]:
        """Delete delivered messages; returns for each whether it is gone."""
        entries = [{"ReceiptHandle": handle} for handle in receipt_handles]
        return await self._in_tens(
            entries, lambda url, some: self._client.delete_message_batch(QueueUrl=url, Entries=some)
        )

    async def change_visibility(self, changes: Sequence[tuple[str, timedelta]]) -> list[bool]:
        """Hide deliveries for so much longer from now, 0 s to 12 h; returns for each whether SQS did."""
        entries = [
            {
                "ReceiptHandle": handle,
                # Rounded up, so that a message never comes back before the instant that it waits for.
                "VisibilityTimeout": math.ceil(min(wait, MOST_VISIBILITY).total_seconds()),
            }
            for handle, wait in changes
        ]
        return await self._in_tens(
            entries,
            lambda url, some: self._client.change_message_visibility_batch(QueueUrl=url, Entries=some),
        )

    async def bury(self, deliveries: Sequence[tuple[Delivery, str]]) -> None:
        """Move deliveries that cannot be read to the dead-letter queue, each with its reason."""
        await self.initialize()
        # SQS takes ten attributes; a foreign message may have come with all of them.
        messages = [
            Message(delivery.body, {"reason": reason, **dict(sorted(delivery.attributes.items())[:9])})
            for delivery, reason in deliveries
        ]
        entries = [send_entry(message, fifo=self.fifo) for message in messages]
        buried = await self._in_tens(
            entries,
            lambda _url, some: self._client.send_message_batch(QueueUrl=self._dead_letter_url or "", Entries=some),
            [size_of(message) for message in messages],
        )
        await self.delete(
            [delivery.receipt_handle for (delivery, _), done in zip(deliveries, buried, strict=True) if done]
        )

    async def depth(self) -> QueueDepth:
        """Return how many messages both queues hold."""
        names: Any = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]

        async def call(url: str) -> tuple[Any, Any]:
            return await asyncio.gather(
                self._client.get_queue_attributes(QueueUrl=url, AttributeNames=names),
                self._client.get_queue_attributes(QueueUrl=self._dead_letter_url or "", AttributeNames=names),
            )

        main, dead = await self._call(call)
        available, in_flight, delayed = (int(main["Attributes"][name]) for name in names)
        return QueueDepth(self.name, available, in_flight, delayed, int(dead["Attributes"][names[0]]))

    async def redrive(self, most: int) -> int:
        """Move dead letters back, up to so many; returns how many.

        A crash half way leaves a letter in both queues: deliveries are at-least-once here as everywhere.
        """
        moved = 0

        async def call(_url: str) -> Any:  # noqa: ANN401 - botocore's response
            return await self._client.receive_message(
                QueueUrl=self._dead_letter_url or "",
                MaxNumberOfMessages=min(BATCH, most - moved),
                MessageAttributeNames=["All"],
                VisibilityTimeout=_REDRIVE_VISIBILITY_S,
                WaitTimeSeconds=1,  # a look without a wait asks only some of SQS's servers
            )

        while moved < most:
            response = await self._call(call)
            letters = [delivery_of(message, self.name) for message in response.get("Messages", ())]
            if not letters:
                break
            sent = await self.send([Message(letter.body, _without_reason(letter)) for letter in letters])
            back = [letter.receipt_handle for letter, done in zip(letters, sent, strict=True) if done]
            await self._in_tens(
                [{"ReceiptHandle": handle} for handle in back],
                lambda _url, some: self._client.delete_message_batch(
                    QueueUrl=self._dead_letter_url or "", Entries=some
                ),
            )
            moved += len(back)
            if len(back) < len(letters):
                break
        return moved

    async def purge(self) -> None:
        """Throw away every message of the queue. SQS allows this once a minute."""
        await self._call(lambda url: self._client.purge_queue(QueueUrl=url))

    async def _find_or_create(self, name: str, attributes: dict[str, str]) -> str:
        try:
            return (await self._client.get_queue_url(QueueName=name))["QueueUrl"]
        except ClientError as error:
            if _code(error) not in _GONE:
                raise
        log.info("queue.created", queue=name)
        if self.fifo:
            attributes = attributes | {"FifoQueue": "true"}
        created = await self._client.create_queue(QueueName=name, Attributes=attributes)  # type: ignore[arg-type]
        return created["QueueUrl"]

    async def _call(self, call: Callable[[str], Awaitable[Any]]) -> Any:  # noqa: ANN401 - botocore's response
        for again in (True, False):
            await self.initialize()
            with _translated():
                try:
                    return await call(self._url or "")
                except ClientError as error:
                    if _code(error) not in _GONE or not again:
                        raise
                    log.warning("queue.gone", queue=self.name)
                    self._url = None
        raise AssertionError  # the second round returns or raises

    async def _in_tens(
        self,
        entries: Sequence[dict[str, Any]],
        call: Callable[[str, Any], Awaitable[Any]],
        sizes: Sequence[int] | None = None,
    ) -> list[bool]:
        """Make the calls that the entries take; one that fails leaves only its own entries undone.

        Raises:
            QueueUnavailable: every call failed.
        """
        chunks = _chunks(sizes if sizes is not None else [0] * len(entries))
        calls = [(chunk, self._batch([entries[i] for i in chunk], call)) for chunk in chunks]
        return await in_parts(calls, len(entries))

    async def _batch(
        self, entries: Sequence[dict[str, Any]], call: Callable[[str, Any], Awaitable[Any]]
    ) -> list[bool]:
        """Make one call, then again for the entries that failed and may pass."""
        done = [False] * len(entries)
        left = list(range(len(entries)))
        for tries in range(1, _TRIES + 1):
            batch = [{"Id": str(i), **entries[i]} for i in left]
            response = await self._call(partial(_flipped, call, batch))
            failed = {int(entry["Id"]): entry for entry in response.get("Failed", ())}
            for i in left:
                done[i] = i not in failed
            for entry in failed.values():
                log.warning("queue.entry_failed", queue=self.name, code=entry["Code"], tries=tries)
            left = [i for i, entry in failed.items() if not entry["SenderFault"]]
            if not left or tries == _TRIES:
                break
            await asyncio.sleep(delay(tries, base=_RETRY_BASE, most=_RETRY_BASE * 10).total_seconds())
        return done


def _chunks(sizes: Sequence[int]) -> list[list[int]]:
    """Split indexes into runs that one call can take, by number and by bytes; what none can take is left out."""
    chunks: list[list[int]] = []
    room = 0
    for i, size in enumerate(sizes):
        if size > _BATCH_BYTES:
            log.warning("queue.entry_too_large", size_bytes=size)
            continue
        if not chunks or len(chunks[-1]) == BATCH or size > room:
            chunks.append([])
            room = _BATCH_BYTES
        chunks[-1].append(i)
        room -= size
    return chunks


def _without_reason(letter: Delivery) -> dict[str, str]:
    return {name: value for name, value in letter.attributes.items() if name != "reason"}


async def _flipped(call: Callable[[str, Any], Awaitable[Any]], batch: Sequence[Any], url: str) -> Any:  # noqa: ANN401
    return await call(url, batch)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated() -> "Iterator[None]":
    try:
        yield
    except (BotoCoreError, ClientError, TimeoutError, OSError) as error:
        raise QueueUnavailable("SQS does not answer, or refuses for now.") from error
