"""What the integration tests share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette

from schema.application import build_app
from services.resources import Resources, find_endpoints, open_resources
from services.settings import load_settings
from services.sqs import Queue

AT_ONCE: Final = timedelta()
A_WHILE: Final = timedelta(seconds=5)
NOWHERE: Final = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"}
"""Nothing here connects to either."""

Opener = Callable[..., Awaitable[Queue]]
Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def open_queue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opener]:
    """Open a queue at an address as a process would; keyword arguments are settings by variable."""
    async with AsyncExitStack() as exits:

        async def open_one(url: str, **overrides: str) -> Queue:
            values = {
                **NOWHERE,
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "SQS_QUEUE_NAME": f"test-{uuid4().hex}",
                **overrides,
            }
            with monkeypatch.context() as patch:
                for name, value in values.items():
                    patch.setenv(name, value)
                settings = load_settings()
            resources = open_resources(settings, find_endpoints(settings), name="test")
            return (await exits.enter_async_context(resources)).queues.normal

        yield open_one


@pytest.fixture
async def app(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Starlette]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = build_app(load_settings())
    async with AsyncExitStack() as exits:
        await exits.enter_async_context(app.router.lifespan_context(app))
        yield app


@pytest.fixture
def resources(app: Starlette) -> Resources:
    opened: Resources = app.state.resources
    return opened


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://lore.example") as client:
        yield client


@pytest.fixture
def ask(client: httpx.AsyncClient) -> Ask:
    async def send(query: str, **variables: object) -> dict[str, Any]:
        response = await client.post("/graphql", json={"query": query, "variables": variables})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    return send
