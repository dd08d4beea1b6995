"""What the integration tests share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from services.resources import find_endpoints, open_resources
from services.settings import load_settings
from services.sqs import Queue

AT_ONCE: Final = timedelta()
A_WHILE: Final = timedelta(seconds=5)
NOWHERE: Final = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"}
"""Nothing here connects to either."""

Opener = Callable[..., Awaitable[Queue]]


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
            return (await exits.enter_async_context(resources)).queue

        yield open_one
