"""Uploads to local storage over HTTP: only what was signed, whole or not at all, and not too much."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from schema.application import build_app
from services.settings import load_settings

SIGN: Final = """mutation($input: CreateUploadInput!) {
  createUpload(input: $input) { url method headers storageKey expiresAt }
}"""
INPUT: Final = {"worldId": "eldoria", "assetType": "IMAGE", "filename": "a.png", "contentType": "image/png"}
MOST: Final = 100_000


@pytest.fixture
async def app(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Starlette]:
    own = {"LOREKEEPER_MAX_UPLOAD_BYTES": str(MOST), "LOREKEEPER_STREAM_IDLE_S": "0.3"}
    for name, value in (environment | own).items():
        monkeypatch.setenv(name, value)
    app = build_app(load_settings())
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lore.example") as client:
        yield client


async def signed(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    body = {"query": SIGN, "variables": {"input": INPUT | changes}}
    answer = (await client.post("/graphql", json=body)).json()
    assert "errors" not in answer, answer
    upload: dict[str, Any] = answer["data"]["createUpload"]
    return upload


async def send(client: httpx.AsyncClient, upload: Mapping[str, Any], content: bytes, url: str = "") -> int:
    response = await client.request(
        upload["method"], url or upload["url"], headers=upload["headers"], content=content
    )
    return response.status_code


def put_in_the_way(app: Starlette) -> None:
    (app.state.settings.home / "assets").write_text("a file where the folder should be")


def files(app: Starlette) -> list[Path]:
    return [path for path in (app.state.settings.home / "assets").rglob("*") if path.is_file()]


async def test_what_is_uploaded_lies_under_its_key(app: Starlette, client: httpx.AsyncClient) -> None:
    upload = await signed(client)
    assert upload["url"].startswith(f"http://lore.example/assets/{upload['storageKey']}?")
    assert await send(client, upload, b"drawing") == 200
    (file,) = files(app)
    assert file == app.state.settings.home / "assets" / upload["storageKey"]
    assert file.read_bytes() == b"drawing"


async def test_an_upload_makes_no_asset(client: httpx.AsyncClient) -> None:
    await send(client, await signed(client), b"drawing")
    answer = await client.post("/graphql", json={"query": "{ assets { totalCount } }"})
    assert answer.json()["data"]["assets"]["totalCount"] == 0


CHANGES: Final[dict[str, Callable[[str], str]]] = {
    "another key": lambda url: url.replace("/uploads/eldoria/", "/uploads/gondor/"),
    "a way out": lambda url: url.replace("/assets/uploads/", "/assets/%2e%2e/"),
    "a later expiry": lambda url: url.replace("expires=1", "expires=2"),
    "another signature": lambda url: url[:-1] + ("1" if url[-1] == "0" else "0"),
    "no signature": lambda url: url.partition("&signature")[0],
    "nothing signed": lambda url: url.partition("?")[0],
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_link_that_was_changed_is_refused(app: Starlette, client: httpx.AsyncClient, change: str) -> None:
    upload = await signed(client)
    assert await send(client, upload, b"x", CHANGES[change](upload["url"])) == 403
    assert files(app) == []


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html"}, {"Content-Type": "image/jpeg"}, {}])
async def test_content_of_another_type_is_refused(
    app: Starlette, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    upload = await signed(client)
    assert await send(client, upload | {"headers": headers}, b"x") == 403
    assert files(app) == []


async def test_a_link_to_upload_does_not_download_and_the_other_way_round(
    app: Starlette, client: httpx.AsyncClient
) -> None:
    upload = await signed(client)
    await send(client, upload, b"drawing")
    assert (await client.get(upload["url"])).status_code == 404
    storage = app.state.resources.storage
    key = upload["storageKey"]
    link = await storage.url(
        key, filename="image/png", expires_in=timedelta(hours=1), base_url="http://lore.example"
    )
    assert (await client.get(link)).content == b"drawing"
    assert await send(client, upload, b"other", link) == 403


async def test_what_is_too_large_is_refused_before_it_is_read(app: Starlette, client: httpx.AsyncClient) -> None:
    upload = await signed(client)
    assert await send(client, upload, b"x" * MOST) == 200
    assert await send(client, upload, b"y" * (MOST + 1)) == 413
    assert [file.read_bytes() for file in files(app)] == [b"x" * MOST]


async def test_what_turns_out_to_be_too_large_leaves_nothing(app: Starlette, client: httpx.AsyncClient) -> None:
    """Falls without counting what comes: a stream does not say how long it is."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MOST // 1000 + 100):
            yield b"x" * 1000
        pytest.fail("it was read to its end")

    upload = await signed(client)
    response = await client.put(upload["url"], headers=upload["headers"], content=endless())
    assert response.status_code == 413
    assert files(app) == []


async def put_by_hand(app: Starlette, upload: Mapping[str, Any], *messages: Message) -> list[Message]:
    """Send an upload in pieces; what comes behind them never comes."""
    url = httpx.URL(upload["url"])
    waiting = list(messages)
    sent: list[Message] = []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send_on(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": url.path,
        "query_string": url.query,
        "headers": [(b"content-type", b"image/png")],
        "app": app,
    }
    async with asyncio.timeout(10):
        await app(scope, receive, send_on)
    return sent


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    app: Starlette, client: httpx.AsyncClient
) -> None:
    half = {"type": "http.request", "body": b"half", "more_body": True}
    await put_by_hand(app, await signed(client), half, {"type": "http.disconnect"})
    assert files(app) == []


async def test_a_client_that_falls_silent_is_let_go(app: Starlette, client: httpx.AsyncClient) -> None:
    half = {"type": "http.request", "body": b"half", "more_body": True}
    sent = await put_by_hand(app, await signed(client), half)
    assert sent[0]["status"] == 408
    assert files(app) == []


async def test_storage_that_cannot_be_written_is_told_as_such(app: Starlette, client: httpx.AsyncClient) -> None:
    put_in_the_way(app)
    assert await send(client, await signed(client), b"x") == 503


async def test_bad_input_names_its_path(client: httpx.AsyncClient) -> None:
    body = {"query": SIGN, "variables": {"input": INPUT | {"filename": "../a.png"}}}
    (error,) = (await client.post("/graphql", json=body)).json()["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["input", "filename"]}
