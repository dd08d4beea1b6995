"""Asking a served application, over HTTP and WebSocket, and what its errors say."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection

from services.settings import load_settings
from tests.serving import serving

EVENTS: Final = {"accept": "text/event-stream"}
MULTIPART: Final = {"accept": "multipart/mixed;subscriptionSpec=1.0,application/json"}
PRODUCTION: Final = {
    "LOREKEEPER_INTROSPECTION": "false",
    "LOREKEEPER_EXPLORER": "false",
    "LOREKEEPER_BOARD": "false",
}
"""What an installation that strangers reach sets beyond the defaults."""


@asynccontextmanager
async def serving_with(variables: Mapping[str, str], **options: Any) -> AsyncIterator[tuple[str, Starlette]]:
    """Serve with the settings that variables give; options are uvicorn's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        settings = load_settings()
    async with serving(settings, **options) as served:
        yield served


async def post(
    address: str, query: str, headers: Mapping[str, str] | None = None, **variables: Any
) -> httpx.Response:
    """POST an operation."""
    async with httpx.AsyncClient(timeout=10) as client:
        body = {"query": query, "variables": variables}
        return await client.post(f"http://{address}/graphql", json=body, headers=headers)


async def ask(address: str, query: str, **variables: Any) -> dict[str, Any]:
    """POST an operation; returns the answer."""
    answer: dict[str, Any] = (await post(address, query, **variables)).json()
    return answer


async def over_websocket(connection: ClientConnection, query: str, **variables: Any) -> dict[str, Any]:
    """Run one operation over a WebSocket; returns its first message."""
    payload = {"query": query, "variables": variables}
    await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
    message: dict[str, Any] = json.loads(await connection.recv())
    if message["type"] == "next":
        await connection.send('{"type": "complete", "id": "1"}')
        if "subscription" not in query:
            assert json.loads(await connection.recv())["type"] == "complete"
    return message


def errors_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the errors of an answer, or of a message of a WebSocket."""
    payload = answer.get("payload", answer)
    errors: list[dict[str, Any]] = payload if isinstance(payload, list) else payload.get("errors", [])
    return errors


def code_of(answer: Mapping[str, Any]) -> str | None:
    """Return the code of the only error; None where there is none."""
    errors = errors_of(answer)
    assert len(errors) <= 1, errors
    return str(errors[0]["extensions"]["code"]) if errors else None
