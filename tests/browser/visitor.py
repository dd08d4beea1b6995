"""Somebody at a browser, and all that the page did meanwhile: nothing here knows how a page is made."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, Request, Response, WebSocket


class Visitor:
    """Somebody at a browser.

    Args:
        page: an open tab.
        url: the server.
        folder: where screenshots go.
    """

    def __init__(self, page: Page, url: str, folder: Path) -> None:
        self.page = page
        self.url = url
        self.operations: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self._hosts: set[str] = set()
        self._folder = folder
        page.set_default_timeout(20_000)
        page.on("request", self._saw_request)
        page.on("response", self._saw_response)
        page.on("requestfailed", self._saw_failure)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type in {"error", "warning"} else None,
        )
        page.on("websocket", self._saw_websocket)

    def wait_for(self, condition: Callable[[], object], *, what: object, within_s: float = 30) -> None:
        """Wait until something is so, while the page goes on."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"not seen: {what}; in view: {self.in_view()}; {self.complaints}"
            self.page.wait_for_timeout(20)

    def in_view(self) -> str:
        """Return what the page says."""
        return self.page.locator("body").inner_text()

    def screenshot(self, name: str) -> None:
        """Take a picture, for whoever wants to look at it."""
        self.page.screenshot(path=self._folder / f"{name}.png")

    def expect_a_quiet_page(self) -> None:
        """No request failed or left for another host, and the console has nothing to complain about."""
        assert not self.complaints, self.complaints
        assert self._hosts == {urlsplit(self.url).netloc}, self._hosts

    def _saw_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        # The rest is in memory, or the browser's own, as its reader of PDF.
        if address.scheme in {"http", "https"}:
            self._hosts.add(address.netloc)
        if request.method == "POST" and request.post_data:
            self.operations.append(json.loads(request.post_data).get("operationName"))

    def _saw_response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def _saw_failure(self, request: Request) -> None:
        # A player reads as much of a file as it wants, and ends the request.
        if request.resource_type != "media":
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def _saw_websocket(self, websocket: WebSocket) -> None:
        self._hosts.add(urlsplit(websocket.url).netloc)
        websocket.on("framereceived", lambda frame: self.frames.append(json.loads(frame)))
        websocket.on("framesent", lambda frame: self.sent.append(json.loads(frame)))
