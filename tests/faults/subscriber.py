"""A subscriber: one real client, which follows streams over one connection and resumes each by its cursor."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self

import pytest
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportConnectionFailed
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from tests.conftest import until
from tests.faults.conftest import Created, History

_PAUSE_S: Final = 0.2
_CANCEL_AGAIN_S: Final = 0.5
NO_FRAME: Final = 1006
_ITEM: Final = "{ kind jobId seq status cursor at job { priority } }"
JOB_UPDATES: Final = (
    f"subscription($jobId: ID!, $after: String) {{ jobUpdates(jobId: $jobId, after: $after) {_ITEM} }}"
)
WORLD_UPDATES: Final = (
    f"subscription($worldId: ID!, $after: String) {{ worldUpdates(worldId: $worldId, after: $after) {_ITEM} }}"
)

MARKER: Final = 9
"""The priority of jobs that are created when all others are final: whoever follows a world sees them."""

Item = dict[str, Any]


@dataclass
class Stream:
    """One subscription, and what it has brought."""

    query: str
    variables: dict[str, Any]
    begins: int | None
    """The `seq` behind which each job's updates begin; None where they begin anywhere."""
    items: list[Item] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)
    """The latest `seq` of each job."""
    ended_at: float | None = None
    """When the server ended it, by the clock, in seconds."""

    @classmethod
    def of_job(cls, job: Created, *, whole: bool = True) -> Self:
        """Follow a job from its creation, or from now."""
        variables = {"jobId": str(job.id)}
        return (
            cls(JOB_UPDATES, variables | {"after": job.cursor}, job.seq)
            if whole
            else cls(JOB_UPDATES, variables, None)
        )

    @classmethod
    def of_world(cls, world: str, cursor: str | None, query: str = WORLD_UPDATES) -> Self:
        """Follow a world: from a cursor that stands before its jobs, or from now."""
        return cls(query, {"worldId": world, "after": cursor}, None if cursor is None else 0)

    def take(self, item: Item) -> None:
        self.items.append(item | {"came_at": time.time()})
        self.reached[item["jobId"]] = item["seq"]
        self.variables = self.variables | {"after": item["cursor"]}

    def is_complete(self, histories: Mapping[str, History]) -> bool:
        """Whether it has told all of the log that it must tell, and has ended where it must end."""
        if "jobId" in self.variables:
            return self.ended_at is not None
        return all(
            self.reached.get(job_id) == len(histories[job_id].statuses) for job_id in self._expected(histories)
        )

    def check(self, histories: Mapping[str, History], *, within_s: float, since: float = 0) -> None:
        """Compare with the log: nothing missed, repeated or reordered, and all of it told in time.

        That is so long after the last transition, or after a moment by the clock before which nothing is asked.
        """
        reached: dict[str, int] = {}
        for item in self.items:
            job_id, kind, seq = item["jobId"], item["kind"], item["seq"]
            before = reached.get(job_id, self.begins)
            match kind:
                case "TRANSITION":
                    assert before is None or seq == before + 1, self._trace(job_id)
                    assert item["status"] == histories[job_id].statuses[seq - 1], self._trace(job_id)
                case "PROGRESS":
                    assert before is None or seq == before, self._trace(job_id)
                case "SNAPSHOT":
                    assert before is None, self._trace(job_id)
                case _:
                    pytest.fail(self._trace(job_id))
            reached[job_id] = seq
        expected = self._expected(histories)
        for job_id in expected:
            assert reached.get(job_id, self.begins) == len(histories[job_id].statuses), self._trace(job_id)
        if "jobId" in self.variables:
            assert self.ended_at is not None, self._trace(self.variables["jobId"])
        else:
            assert self.ended_at is None, "a world has no end"
        told_at = self.ended_at or self.items[-1]["came_at"]
        assert told_at - max(since, *(histories[job_id].last_at for job_id in expected)) <= within_s

    def _expected(self, histories: Mapping[str, History]) -> Collection[str]:
        """Return the jobs whose last transition must come."""
        if "jobId" in self.variables:
            return [self.variables["jobId"]]
        return [
            job_id
            for job_id, history in histories.items()
            if history.world_id == self.variables["worldId"]
            and (self.begins is not None or job_id in self.reached or history.priority == MARKER)
        ]

    def _trace(self, job_id: str) -> str:
        """Return what was told of a job, for whoever reads why a test failed."""
        told = [f"{item['kind']} {item['seq']} {item['status']}" for item in self.items if item["jobId"] == job_id]
        return f"{self.variables}, begun behind {self.begins}, told of {job_id}: {', '.join(told)}"


class Subscriber:
    """Follows its streams until the server has ended each.

    Args:
        address: `host:port` of the server.
        streams: what to follow.
        patience: asked, each time a stream is begun or resumed, for the number of items after which to leave it
            and to resume it on the same connection; None stays.
    """

    def __init__(
        self, address: str, streams: Sequence[Stream], *, patience: Callable[[], int | None] = lambda: None
    ) -> None:
        self._address = address
        self._patience = patience
        self.streams = streams
        self.losses: Counter[int] = Counter()
        """Connections that were lost, by close code: 1006 without a close frame."""
        self.is_connected = False

    @property
    def has_ended(self) -> bool:
        """Whether the server has ended all that it follows."""
        return all(stream.ended_at is not None for stream in self.streams)

    async def run(self) -> None:
        """Follow, connecting as often as it takes."""
        while not self.has_ended:
            try:
                async with (
                    Client(transport=_transport(self._address)) as session,
                    asyncio.TaskGroup() as following,
                ):
                    self.is_connected = True
                    for stream in self.streams:
                        following.create_task(self._follow(session, stream))
            except* TransportConnectionFailed as lost:
                code = _close_code(lost)
                if code is not None:
                    self.losses[code] += 1
            self.is_connected = False
            await asyncio.sleep(random.uniform(0, _PAUSE_S))

    async def _follow(self, session: AsyncClientSession, stream: Stream) -> None:
        while stream.ended_at is None:
            left = self._patience()
            request = GraphQLRequest(stream.query, variable_values=stream.variables)
            async with aclosing(session.subscribe(request)) as results:
                async for result in results:
                    (item,) = result.values()
                    stream.take(item)
                    left = left and left - 1
                    if left == 0:
                        break
                else:
                    stream.ended_at = time.time()


class Crowd:
    """Subscribers that follow at the same time, until the block ends."""

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []
        self._following: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        left = set(self._following)
        while left:
            for task in left:
                task.cancel()
            # Once is not always enough: wait_for of Python 3.11, by which gql opens and closes, can swallow one.
            left = (await asyncio.wait(left, timeout=_CANCEL_AGAIN_S))[1]

    @property
    def is_connected(self) -> bool:
        """Whether all are connected who still have something to follow."""
        return all(subscriber.is_connected or subscriber.has_ended for subscriber in self.subscribers)

    def join(self, subscriber: Subscriber, *, late_s: float = 0) -> None:
        """Let a subscriber begin, now or later."""
        self.subscribers.append(subscriber)
        self._following.append(asyncio.create_task(_begin(subscriber, late_s)))

    async def check(self, histories: Mapping[str, History], *, within_s: float, since: float = 0) -> None:
        """Wait until all have been told everything, and compare it with the log."""
        with suppress(TimeoutError):  # what is missing then is told by the comparison
            await until(lambda: self._is_complete(histories), within_s=within_s)
        for task in self._following:
            if task.done():
                task.result()
        for stream in self._streams:
            stream.check(histories, within_s=within_s, since=since)

    @property
    def _streams(self) -> list[Stream]:
        return [stream for subscriber in self.subscribers for stream in subscriber.streams]

    def _is_complete(self, histories: Mapping[str, History]) -> bool:
        failed = any(task.done() and task.exception() is not None for task in self._following)
        return failed or all(stream.is_complete(histories) for stream in self._streams)

    @property
    def losses(self) -> Counter[int]:
        """Connections that were lost, by close code."""
        return sum((subscriber.losses for subscriber in self.subscribers), Counter())

    def __str__(self) -> str:
        told = sum(len(stream.items) for stream in self._streams)
        return f"{told} updates told to {len(self.subscribers)} subscribers, losses by code {dict(self.losses)}"


async def _begin(subscriber: Subscriber, late_s: float) -> None:
    await asyncio.sleep(late_s)
    await subscriber.run()


def _transport(address: str) -> WebsocketsTransport:
    return WebsocketsTransport(
        url=f"ws://{address}/graphql", subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL], close_timeout=2
    )


def _close_code(lost: BaseExceptionGroup[TransportConnectionFailed]) -> int | None:
    """Return the code with which a connection was closed, None if it was never opened."""
    error: BaseException | None = lost
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    while error is not None:
        if isinstance(error, ConnectionClosed):
            return NO_FRAME if error.rcvd is None else error.rcvd.code
        error = error.__cause__
    return None
