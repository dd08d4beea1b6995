"""Real clients that follow subscriptions: they reconnect after a loss and resume by the last cursor."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.async_transport import AsyncTransport
from gql.transport.exceptions import TransportConnectionFailed
from gql.transport.websockets import WebsocketsTransport

from tests.processes import ROOT

CLIENTS: Final = ROOT / "tests" / "clients"
NODE: Final = CLIENTS / "node_modules" / ".bin" / "node"
"""What `make` has installed the clients with."""

Item = dict[str, Any]
Subscription = tuple[str, dict[str, Any]]
"""A document and its variables."""


@dataclass
class Subscriber:
    """What one subscription has brought so far."""

    items: list[Item] = field(default_factory=list)
    ended: bool = False


@dataclass
class Following:
    """Subscriptions that one client follows."""

    subscribers: list[Subscriber]
    losses: int = 0
    """How often the client noticed that it had lost a connection."""
    failures: list[Any] = field(default_factory=list)
    """What no client recovers from: refusals, and clients that broke."""


Follow = Callable[[str, Sequence[Subscription]], AbstractAsyncContextManager[Following]]
"""Follow subscriptions of the server at an address (`host:port`), until the block ends."""


@asynccontextmanager
async def _follow_by_node(
    script: str, scheme: str, address: str, subscriptions: Sequence[Subscription]
) -> AsyncIterator[Following]:
    following = Following([Subscriber() for _ in subscriptions])
    orders = {
        "url": f"{scheme}://{address}/graphql",
        "subscriptions": [{"query": query, "variables": variables} for query, variables in subscriptions],
    }
    process = await asyncio.create_subprocess_exec(
        NODE, CLIENTS / script, json.dumps(orders), stdout=asyncio.subprocess.PIPE
    )
    reading = asyncio.create_task(_read(process, following))
    try:
        yield following
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await reading


async def _read(process: asyncio.subprocess.Process, following: Following) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        event = json.loads(line)
        subscriber = following.subscribers[event["index"]]
        if "item" in event:
            subscriber.items.append(event["item"])
        elif "lost" in event:
            following.losses += 1
        elif "ended" in event:
            subscriber.ended = True
        else:
            following.failures.append(event)
    code = await process.wait()
    if code > 0:
        following.failures.append(f"Node.js ended with exit code {code}")


def _web_socket(address: str) -> AsyncTransport:
    return WebsocketsTransport(
        url=f"ws://{address}/graphql", subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    )


def _multipart(address: str) -> AsyncTransport:
    return AIOHTTPTransport(url=f"http://{address}/graphql")


@asynccontextmanager
async def _follow_by_gql(
    transport: Callable[[str], AsyncTransport], address: str, subscriptions: Sequence[Subscription]
) -> AsyncIterator[Following]:
    following = Following([Subscriber() for _ in subscriptions])

    async def follow(subscriber: Subscriber, query: str, variables: dict[str, Any]) -> None:
        while not (subscriber.ended or ending):
            request = GraphQLRequest(query, variable_values=variables)
            try:
                async with Client(transport=transport(address)) as session:
                    async for result in session.subscribe(request):
                        (item,) = result.values()
                        subscriber.items.append(item)
                        variables = variables | {"after": item["cursor"]}
                subscriber.ended = True
            except TransportConnectionFailed:
                following.losses += 1
                await asyncio.sleep(random.uniform(0.01, 0.1))
            except Exception as error:  # noqa: BLE001 - the test reports it
                following.failures.append(error)
                return

    ending = False
    left = {
        asyncio.create_task(follow(subscriber, query, variables))
        for subscriber, (query, variables) in zip(following.subscribers, subscriptions, strict=True)
    }
    try:
        yield following
    finally:
        # A cancellation is lost where it meets the failure to connect; a second one may meet gql as it closes.
        ending = True
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=10)
        assert not left


FOLLOW: Final[Mapping[str, Follow]] = {
    "graphql-ws": partial(_follow_by_node, "follow_ws.mjs", "ws"),
    "graphql-sse": partial(_follow_by_node, "follow_sse.mjs", "http"),
    "eventsource": partial(_follow_by_node, "follow_eventsource.mjs", "http"),
    "gql over WebSocket": partial(_follow_by_gql, _web_socket),
    "gql over multipart": partial(_follow_by_gql, _multipart),
}
