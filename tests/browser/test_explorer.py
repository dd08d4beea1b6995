"""What a reader sees who opens the explorer and follows the README: nothing here knows how the page is made."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Response, WebSocket

from tests.processes import Process
from tests.readme import block

pytestmark = pytest.mark.timeout(120)

_JOB_ID = re.compile(r'"id":\s*"([0-9a-f-]{36})"')


class Reader:
    """Somebody at a browser, and all that the page did meanwhile."""

    def __init__(self, page: Page, url: str, folder: Path) -> None:
        self.page = page
        self.url = url
        self.frames: list[dict[str, Any]] = []
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        self._folder = folder
        page.set_default_timeout(20_000)
        page.on("request", self._saw_request)
        page.on("response", self._saw_response)
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type in {"error", "warning"} else None,
        )
        page.on("websocket", self._saw_websocket)

    def open_explorer(self) -> None:
        self.page.goto(f"{self.url}/graphql")
        self.page.locator(".graphiql-query-editor .view-line").first.wait_for()
        # The schema has arrived: until then the button runs nothing.
        self.page.get_by_label("Show Documentation Explorer").wait_for()
        self.page.wait_for_load_state("networkidle")

    def open_tab(self, title: str) -> None:
        self.page.locator(".graphiql-tab-button", has_text=title).click()

    def write_query(self, text: str) -> None:
        self._write(".graphiql-query-editor", text)

    def write_variables(self, variables: object) -> None:
        self._write(".graphiql-editor-tool", json.dumps(variables))

    def run(self) -> None:
        self.page.get_by_label("Execute query").click()

    def read_response(self, pattern: "str | re.Pattern[str]") -> "re.Match[str]":
        """Wait until the response pane shows something."""
        self.wait_for(lambda: re.search(pattern, self._response()), what=pattern)
        match = re.search(pattern, self._response())
        assert match is not None
        return match

    def wait_for(self, condition: Callable[[], object], *, what: object) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, f"not seen: {what}; in view: {self._response()}; {self.complaints}"
            self.page.wait_for_timeout(20)

    @property
    def updates(self) -> list[dict[str, Any]]:
        """The updates that came over the WebSocket: the pane shows the last lines only."""
        return [frame["payload"]["data"]["jobUpdates"] for frame in self.frames if frame["type"] == "next"]

    def screenshot(self, name: str) -> None:
        self.page.screenshot(path=self._folder / f"{name}.png")

    def _write(self, editor: str, text: str) -> None:
        self.page.locator(f"{editor} .view-lines:visible").click()
        self.page.keyboard.press("Control+A")
        # Pasted as a reader does it: the editor adds brackets of its own to what is typed.
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        self.page.keyboard.press("Control+V")

    def _response(self) -> str:
        return self.page.locator(".graphiql-response").inner_text().replace("\u00a0", " ")

    def _saw_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"}:
            self.hosts.add(address.netloc)

    def _saw_response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def _saw_websocket(self, websocket: WebSocket) -> None:
        self.hosts.add(urlsplit(websocket.url).netloc)
        websocket.on("framereceived", lambda frame: self.frames.append(json.loads(frame)))


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Callable[[str], Reader]]:
    """Sit somebody down at a browser that has never been here."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    yield lambda url: Reader(context.new_page(), url, tmp_path)
    context.close()


def _expect_a_finished_picture(reader: Reader) -> None:
    """From QUEUED to SUCCEEDED by every step once, and a picture at the end that the browser can open."""
    first, *between, last = reader.updates
    assert (first["kind"], first["status"], first["seq"]) == ("SNAPSHOT", "QUEUED", 1)
    transitions = [update for update in reader.updates if update["kind"] == "TRANSITION"]
    assert [(update["seq"], update["status"]) for update in transitions] == [(2, "PROCESSING"), (3, "SUCCEEDED")]
    progress = [update["progress"] for update in between if update["kind"] == "PROGRESS"]
    assert progress
    assert progress == sorted(progress)
    assert last["status"] == "SUCCEEDED"
    assert last["errorCode"] is None
    url = last["job"]["asset"]["downloadUrl"]
    # In the pane it is broken over several lines.
    in_view = reader.read_response(r'"downloadUrl": "([^"]+)"').group(1)
    assert "".join(in_view.split()) == url
    picture = reader.page.context.new_page()
    answer = picture.goto(url)
    assert answer is not None
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.body().startswith(b"\x89PNG\r\n")
    size = picture.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]")
    assert size == [1024, 640]
    picture.close()


def _expect_a_quiet_page(reader: Reader) -> None:
    """No request failed or left for another host, and the console has nothing to complain about."""
    assert reader.complaints == []
    assert reader.hosts == {urlsplit(reader.url).netloc}


def test_explorer_loads_from_this_server_alone(
    start: Callable[..., Process], visit: Callable[[str], Reader]
) -> None:
    reader = visit(start("server.py", "--no-worker").url)
    reader.open_explorer()
    tabs = reader.page.locator(".graphiql-tab-button").all_inner_texts()
    assert tabs[:2] == ["CreatePicture", "Watch"]
    reader.screenshot("explorer")
    _expect_a_quiet_page(reader)


def test_readme_quickstart_goes_from_queued_to_a_picture(
    start: Callable[..., Process], visit: Callable[[str], Reader]
) -> None:
    """The worker comes when the stream is open, so that none of its steps is missed."""
    reader = visit(start("server.py", "--no-worker").url)
    reader.open_explorer()
    reader.write_query(block("graphql", "mutation"))
    reader.run()
    job_id = reader.read_response(_JOB_ID).group(1)
    reader.screenshot("created")
    reader.open_tab("Watch")
    reader.write_query(block("graphql", "subscription"))
    reader.write_variables({"jobId": job_id})
    reader.run()
    reader.read_response('"status": "QUEUED"')
    start("-m", "worker")
    reader.read_response('"status": "SUCCEEDED"')
    reader.screenshot("watched")
    reader.wait_for(lambda: reader.frames[-1]["type"] == "complete", what="the end of the stream")
    _expect_a_finished_picture(reader)
    _expect_a_quiet_page(reader)


def test_opening_tabs_follow_a_job_on_the_whole_system(
    start: Callable[..., Process], visit: Callable[[str], Reader]
) -> None:
    reader = visit(start("server.py").url)
    reader.open_explorer()
    # A worker runs already: it leaves the job alone until the stream is open.
    run_at = datetime.now(UTC) + timedelta(seconds=6)
    job = {
        "worldId": "eldoria",
        "assetType": "IMAGE",
        "provider": "local",
        "promptSpec": {"description": "A misty mountain lake at dawn"},
        "runAt": run_at.isoformat(),
    }
    reader.write_variables({"input": job})
    reader.run()
    job_id = reader.read_response(_JOB_ID).group(1)
    reader.open_tab("Watch")
    reader.write_variables({"jobId": job_id})
    reader.run()
    reader.read_response('"status": "QUEUED"')
    reader.read_response('"status": "SUCCEEDED"')
    reader.wait_for(lambda: reader.frames[-1]["type"] == "complete", what="the end of the stream")
    _expect_a_finished_picture(reader)
    _expect_a_quiet_page(reader)
