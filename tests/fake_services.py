"""A local server in the place of OpenAI's and Replicate's: their shapes, and whatever goes wrong with them.

The shapes are those of the documentation and of the SDKs' own types, in November 2026.
"""

import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from PIL import Image

from tests.conftest import until

KEY: Final = "sk-a-key-that-nobody-may-see"
FILM: Final = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 1000
SOUND: Final = b"ID3" + bytes(range(256)) * 300

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Call:
    """What was asked: which operation, with which headers and body, and of which render."""

    operation: str
    headers: dict[str, str]
    body: Any
    handle: str


@dataclass
class FakeServices:
    """The server. What an operation does next is planned; behind its plan it does well."""

    url: str = ""
    plan: dict[str, list[Reply]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def will(self, operation: str, *replies: Reply) -> None:
        """Plan what an operation does the next times."""
        self.plan.setdefault(operation, []).extend(replies)

    def count(self, operation: str) -> int:
        return sum(call.operation == operation for call in self.calls)

    def serve(self, app: web.Application) -> None:
        for method, path, operation, well in (
            ("POST", "/v1/images/generations", "image", picture),
            ("POST", "/v1/audio/speech", "speech", sound),
            ("POST", "/v1/videos", "create", video("queued")),
            ("GET", "/v1/videos/{id}", "look", video("completed", progress=100)),
            ("GET", "/v1/videos/{id}/content", "file", film),
            ("DELETE", "/v1/videos/{id}", "cancel", answer({"id": "video_1", "deleted": True})),
            ("POST", "/v1/models/{owner}/{name}/predictions", "create", prediction("starting")),
            ("POST", "/v1/predictions", "create", prediction("starting")),
            ("GET", "/v1/predictions/{id}", "look", self.predicted),
            ("POST", "/v1/predictions/{id}/cancel", "cancel", prediction("canceled")),
            ("GET", "/files/film.mp4", "file", film),
        ):
            app.router.add_route(method, path, self._planned(operation, well))

    async def predicted(self, request: web.Request) -> web.StreamResponse:
        return await prediction("succeeded", output=[f"{self.url}/files/film.mp4"])(request)

    def _planned(self, operation: str, well: Reply) -> Reply:
        async def reply(request: web.Request) -> web.StreamResponse:
            text = await request.text()
            body = json.loads(text) if request.content_type == "application/json" and text else text
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.calls.append(Call(operation, headers, body, request.match_info.get("id", "")))
            planned = self.plan.get(operation)
            return await (planned.pop(0) if planned else well)(request)

        return reply


@asynccontextmanager
async def fake_services() -> AsyncIterator[FakeServices]:
    """Serve on a free port."""
    services, app = FakeServices(), web.Application()
    services.serve(app)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    services.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield services
    finally:
        await runner.cleanup()


def answer(body: object, status: int = 200, **headers: str) -> Reply:
    """Answer in JSON."""
    named = {"x-request-id": "req_1"} | {name.replace("_", "-"): value for name, value in headers.items()}

    async def reply(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=named)

    return reply


def openai_error(status: int, code: str | None = None, message: str = "No.", **headers: str) -> Reply:
    """Refuse as OpenAI does."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return answer({"error": error}, status, **headers)


def problem(status: int, detail: str = "No.", **headers: str) -> Reply:
    """Refuse as Replicate does (RFC 7807)."""
    return answer({"title": "Problem", "detail": detail, "status": status}, status, **headers)


def video(status: str, **changes: Any) -> Reply:
    """Tell how a film is."""
    shape: dict[str, Any] = {
        "id": "video_1",
        "object": "video",
        "created_at": 1,
        "model": "sora-2",
        "progress": 0,
        "seconds": "4",
        "size": "1280x720",
        "status": status,
    }
    return answer(shape | changes)


def prediction(status: str, **changes: Any) -> Reply:
    """Tell how a prediction is."""
    shape: dict[str, Any] = {
        "id": "prediction_1",
        "model": "owner/name",
        "version": "hidden",
        "input": {},
        "logs": "",
        "output": None,
        "error": None,
        "status": status,
        "created_at": "2026-11-01T00:00:00Z",
        "urls": {},
    }
    return answer(shape | changes)


async def picture(_: web.Request) -> web.StreamResponse:
    """Answer with a picture of 8 by 6 pixels."""
    png = io.BytesIO()
    Image.new("RGB", (8, 6), (10, 20, 30)).save(png, "PNG")
    return web.json_response({"created": 1, "data": [{"b64_json": base64.b64encode(png.getvalue()).decode()}]})


async def sound(_: web.Request) -> web.StreamResponse:
    """Answer with speech."""
    return web.Response(body=SOUND, content_type="audio/mpeg")


async def film(_: web.Request) -> web.StreamResponse:
    """Answer with a film."""
    return web.Response(body=FILM, content_type="video/mp4")


async def cut_short(request: web.Request) -> web.StreamResponse:
    """Break off in the midst of a file."""
    response = web.StreamResponse(headers={"Content-Length": str(len(FILM)), "Content-Type": "video/mp4"})
    await response.prepare(request)
    await response.write(FILM[:1000])
    return await hang_up(request)


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Cut the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def page(_: web.Request) -> web.StreamResponse:
    """Answer with a page, as a server does that is something else by now."""
    return web.Response(text="<h1>Welcome</h1>", content_type="text/html")


async def never(request: web.Request) -> web.StreamResponse:
    """Do not answer, until the client has gone."""
    assert request.transport is not None
    await until(request.transport.is_closing)
    return web.Response()
