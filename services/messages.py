"""What travels through SQS: a message as it is sent and as it is delivered, and how SQS spells either."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

MOST_DELAY: Final = timedelta(minutes=15)
"""The longest that SQS holds a new message back."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent.

    Attributes:
        body: at most 1 MiB together with the attributes.
        attributes: strings that tell the message's kind without its body.
        wait: how long SQS holds it back, at most 15 minutes; a FIFO queue cannot.
        group: within which a FIFO queue keeps the order.
        deduplication_id: by which a FIFO queue knows it, for five minutes; random where it is empty.
    """

    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    wait: timedelta = timedelta()
    group: str = ""
    deduplication_id: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One receive of a message.

    Attributes:
        receipt_handle: names this delivery, not the message; for `delete` and `change_visibility`.
        body: as it was sent.
        attributes: as they were sent.
        receive_count: deliveries of this message so far, this one included.
        queue: the name of the queue that it came from.
    """

    receipt_handle: str
    body: str
    attributes: Mapping[str, str]
    receive_count: int
    queue: str


def size_of(message: Message) -> int:
    """Return how many bytes SQS counts."""
    return len(message.body.encode()) + sum(
        len(name.encode()) + len(value.encode()) + len("String") for name, value in message.attributes.items()
    )


def send_entry(message: Message, *, fifo: bool) -> dict[str, Any]:
    """Return a message as an entry of `SendMessageBatch`, but for its id."""
    how: dict[str, Any] = {"DelaySeconds": math.ceil(min(message.wait, MOST_DELAY).total_seconds())}
    if fifo:
        how = {
            # SQS wants ASCII there, and a world's name may be anything.
            "MessageGroupId": hashlib.sha256(message.group.encode()).hexdigest(),
            "MessageDeduplicationId": message.deduplication_id or uuid4().hex,
        }
    return how | {
        "MessageBody": message.body,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        },
    }


def delivery_of(message: Any, queue: str) -> Delivery:  # noqa: ANN401 - botocore's response
    """Return a message of `ReceiveMessage` from a queue of that name."""
    return Delivery(
        receipt_handle=message["ReceiptHandle"],
        body=message["Body"],
        attributes={
            name: value["StringValue"]
            for name, value in message.get("MessageAttributes", {}).items()
            if "StringValue" in value
        },
        receive_count=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
        queue=queue,
    )
