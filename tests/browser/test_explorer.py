"""What a reader sees who opens the explorer and follows the README: nothing here knows how the page is made."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.visitor import Visitor
from tests.processes import Process
from tests.readme import block
from tests.tokens import JWT, a_token

pytestmark = pytest.mark.timeout(120)

_JOB_ID = re.compile(r'"id":\s*"([0-9a-f-]{36})"')


class Reader(Visitor):
    """Somebody at the explorer."""

    def open_explorer(self) -> None:
        self.page.goto(f"{self.url}/graphql")
        self.page.locator(".graphiql-query-editor .view-line").first.wait_for()
        # The schema has arrived: until then the button runs nothing.
        self.page.get_by_label("Show Documentation Explorer").wait_for()
        self.page.wait_for_load_state("networkidle")

    def open_tab(self, title: str) -> None:
        self.page.locator(".graphiql-tab-button").get_by_text(title, exact=True).click()
        # GraphiQL reads the name of the operation a moment after the tab was opened; nobody is quicker than that.
        self.page.wait_for_timeout(300)

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

    @property
    def updates(self) -> list[dict[str, Any]]:
        """The updates that came over the WebSocket: the pane shows the last lines only."""
        return [frame["payload"]["data"]["jobUpdates"] for frame in self.frames if frame["type"] == "next"]

    def _write(self, editor: str, text: str) -> None:
        self.page.locator(f"{editor} .view-lines:visible").click()
        self.page.keyboard.press("Control+A")
        # Pasted as a reader does it: the editor adds brackets of its own to what is typed.
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        self.page.keyboard.press("Control+V")

    def _response(self) -> str:
        return self.page.locator(".graphiql-response").inner_text().replace("\u00a0", " ")


@pytest.fixture
def visit(tab: Callable[..., Page], tmp_path: Path) -> Callable[[str], Reader]:
    """Sit somebody down at a browser that has never been here."""
    return lambda url: Reader(tab(permissions=["clipboard-read", "clipboard-write"]), url, tmp_path)


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


def test_explorer_loads_from_this_server_alone(
    start: Callable[..., Process], environment: dict[str, str], visit: Callable[[str], Reader]
) -> None:
    reader = visit(start("server.py", "--no-worker", **environment).url)
    reader.open_explorer()
    tabs = reader.page.locator(".graphiql-tab-button").all_inner_texts()
    assert tabs == ["CreatePicture", "Watch", "WatchWorld", "LatestJobs"]
    for plugin in ("Documentation Explorer", "History", "GraphiQL Explorer"):
        reader.page.get_by_label(f"Show {plugin}").click()
        reader.page.get_by_label(f"Hide {plugin}").wait_for()
    reader.screenshot("explorer")
    reader.expect_a_quiet_page()


def test_readme_quickstart_goes_from_queued_to_a_picture(
    start: Callable[..., Process], environment: dict[str, str], visit: Callable[[str], Reader]
) -> None:
    """The worker comes when the stream is open, so that none of its steps is missed."""
    reader = visit(start("server.py", "--no-worker", **environment).url)
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
    start("-m", "worker", **environment)
    reader.read_response('"status": "SUCCEEDED"')
    reader.screenshot("watched")
    reader.wait_for(lambda: reader.frames[-1]["type"] == "complete", what="the end of the stream")
    _expect_a_finished_picture(reader)
    reader.expect_a_quiet_page()


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
    assert "Connected by graphql-transport-ws" in reader.in_view()
    reader.read_response('"status": "SUCCEEDED"')
    reader.wait_for(lambda: reader.frames[-1]["type"] == "complete", what="the end of the stream")
    _expect_a_finished_picture(reader)
    reader.wait_for(lambda: "No subscription is running" in reader.in_view(), what="the end of the connection")
    reader.open_tab("LatestJobs")
    reader.run()
    reader.read_response(f'"id": "{job_id}"')
    reader.open_tab("WatchWorld")
    reader.run()
    reader.wait_for(lambda: "Connected by graphql-transport-ws" in reader.in_view(), what="a connection")
    reader.expect_a_quiet_page()


def test_headers_of_the_headers_pane_reach_subscriptions(
    start: Callable[..., Process], environment: dict[str, str], visit: Callable[[str], Reader]
) -> None:
    reader = visit(start("server.py", "--no-worker", **environment | JWT).url)
    # Without a token the explorer has no schema to offer, which it says on its console.
    reader.page.goto(f"{reader.url}/graphql")
    reader.open_tab("WatchWorld")
    reader.run()
    reader.read_response("UNAUTHENTICATED|4403")
    reader.page.get_by_role("button", name="Headers").click()
    reader.write_variables({"Authorization": f"Bearer {a_token()}"})
    reader.run()
    reader.wait_for(lambda: "Connected by graphql-transport-ws" in reader.in_view(), what="a connection")
