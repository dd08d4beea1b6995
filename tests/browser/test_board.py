"""What somebody sees at the board: asks for an asset, watches it being made, and loses nothing on the way."""

import re
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.visitor import Visitor
from tests.processes import ROOT, Process, ask
from tests.tokens import JWT, a_token

pytestmark = pytest.mark.timeout(120)

AXE: Final = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
CREATE: Final = "mutation($inputs: [CreateAssetJobInput!]!) { createAssetJobs(inputs: $inputs) { job { id } } }"
MANY: Final = 5000
SMOOTH_FPS: Final = 50

Visit = Callable[..., "Reader"]
Serve = Callable[..., Process]


class Reader(Visitor):
    """Somebody at the board."""

    def open_board(self, place: str = "") -> None:
        """Open it, and wait until it is live."""
        self.page.goto(f"{self.url}/{place}")
        self.expect_sign("Live")

    def expect_sign(self, text: "str | re.Pattern[str]") -> None:
        """Wait until the connection's sign says something."""
        expect(self.page.locator(".connection")).to_have_text(text, timeout=30_000)

    @property
    def rows(self) -> Locator:
        return self.page.get_by_role("region", name="Jobs, newest first").get_by_role("listitem")

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("complementary", name="Details")

    def expect_status(self, text: str) -> None:
        """Wait until the page of the job says so."""
        expect(self.panel.locator(".standing .status")).to_have_text(text, timeout=30_000)

    def history(self) -> list[str]:
        return self.panel.locator(".timeline li b").all_inner_texts()


@pytest.fixture
def visit(tab: Callable[..., Page], tmp_path: Path) -> Visit:
    """Sit somebody down at a browser that has never been here."""
    return lambda url, **options: Reader(tab(**options), url, tmp_path)


@pytest.fixture
def work(start: Callable[..., Process], environment: dict[str, str]) -> Callable[[], Process]:
    """Start a worker."""
    return lambda: start("-m", "worker", **environment)


def a_job(spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the input of a mutation."""
    wanted = {"worldId": "eldoria", "assetType": "IMAGE", "provider": "simulator", "promptSpec": spec or {}}
    return wanted | changes


def created(server: Process, *jobs: dict[str, Any]) -> list[str]:
    """Create jobs; returns their ids."""
    return [
        payload["job"]["id"] for payload in ask(server.url, CREATE, {"inputs": jobs})["data"]["createAssetJobs"]
    ]


def test_an_asset_is_asked_for_by_the_form_and_seen_while_it_is_made(
    serve: Serve, work: Callable[[], Process], visit: Visit
) -> None:
    """A newcomer presses two buttons. The worker comes when the page is open, so that each step is seen."""
    reader = visit(serve().url)
    reader.open_board()
    expect(reader.page.get_by_role("heading", name="Nothing was made in eldoria yet")).to_be_visible()
    reader.screenshot("empty")
    reader.panel.get_by_role("button", name="Make the picture").click()
    reader.expect_status("Queued")
    expect(reader.rows).to_have_count(1)
    work()
    reader.expect_status("Processing")
    expect(reader.panel.get_by_role("progressbar")).to_have_attribute("aria-valuenow", re.compile("[1-9]"))
    reader.screenshot("processing")
    reader.expect_status("Succeeded")
    picture = reader.panel.get_by_role("img", name="A misty mountain lake at dawn, pine forest on the shore")
    expect(picture).to_be_visible()
    reader.wait_for(lambda: picture.evaluate("image => image.naturalWidth") == 1024, what="the picture")
    expect(reader.panel.locator(".timeline li")).to_have_count(3)
    assert reader.history() == ["Queued", "Processing", "Succeeded"]
    thumbnail = reader.rows.first.locator("img")
    reader.wait_for(lambda: thumbnail.evaluate("image => image.naturalWidth") > 0, what="the thumbnail")
    reader.screenshot("succeeded")
    reader.expect_a_quiet_page()


def test_each_kind_of_asset_is_shown_where_it_was_made(
    serve: Serve, work: Callable[[], Process], visit: Visit
) -> None:
    server = serve()
    small = {"description": "A lake", "width": 128, "height": 96, "duration_s": 1, "fps": 12}
    sheet = {"title": "The Harbour of Vael", "text": "Vael lies by the sea."}
    made: dict[str, dict[str, Any]] = {
        "MAP": {"description": "Some islands", "width": 256, "height": 256},
        "AUDIO": {"description": "A dance", "duration_s": 4},
        "VIDEO": small,
        "PDF": sheet,
    }
    jobs = [a_job(spec, assetType=kind, provider="local") for kind, spec in made.items()]
    _, audio, video, pdf = created(server, *jobs)
    reader = visit(server.url)
    reader.open_board(f"?job={audio}")
    work()
    plays = "player => player.readyState >= 1 && player.duration > 0.9 && player.error === null"
    for job, player in ((audio, "audio"), (video, "video")):
        reader.page.locator(f".row[href*='{job}']").click()
        reader.expect_status("Succeeded")
        expect(reader.panel.locator(player)).to_be_visible()
        reader.wait_for(partial(reader.panel.locator(player).evaluate, plays), what=player)
    reader.page.locator(f".row[href*='{pdf}']").click()
    expect(reader.panel.locator("iframe[src^='blob:']")).to_be_visible()
    reader.screenshot("sheet")
    reader.expect_a_quiet_page()


def test_a_killed_api_is_told_and_caught_up_with_and_a_page_that_is_loaded_anew_goes_on(
    serve: Serve, work: Callable[[], Process], visit: Visit
) -> None:
    """Falls where a stream does not resume behind its last cursor: what ended meanwhile is then missed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = serve(LOREKEEPER_PORT=port)
    jobs = created(server, *[a_job()] * 6)
    reader = visit(server.url)
    reader.open_board(f"?job={jobs[0]}")
    reader.page.evaluate("() => { window.loadedAt = 1 }")
    reader.expect_status("Queued")
    jobs += created(server, a_job())
    expect(reader.rows).to_have_count(len(jobs))
    cursor = _last_cursor(reader)
    server.kill_all()
    reader.expect_sign(re.compile("Connection lost"))
    reader.screenshot("lost")
    # The worker finishes them while nobody tells.
    work()
    reader.page.wait_for_timeout(4000)
    serve(LOREKEEPER_PORT=port).wait_for("is ready")
    reader.expect_sign(re.compile(r"Caught up, \d+ updates"))
    reader.expect_status("Succeeded")
    expect(reader.page.locator(".row .status.succeeded")).to_have_count(len(jobs))
    assert reader.history() == ["Queued", "Processing", "Succeeded"]
    assert reader.page.evaluate("() => window.loadedAt") == 1
    assert _resumed_behind(reader) == cursor

    cursor = _last_cursor(reader)
    reader.wait_for(lambda: _kept_cursor(reader) == cursor, what="the cursor in the browser's storage")
    reader.operations.clear()
    reader.sent.clear()
    reader.page.reload()
    reader.expect_status("Succeeded")
    expect(reader.rows).to_have_count(len(jobs))
    reader.wait_for(lambda: _resumed_behind(reader) == cursor, what="a subscription behind the kept cursor")
    assert "Jobs" not in reader.operations


def _resumed_behind(reader: Reader) -> str | None:
    """Return the cursor that the latest subscription of the world was to go on behind."""
    subscribed = [frame["payload"] for frame in reader.sent if frame["type"] == "subscribe"]
    cursors = [payload["variables"]["after"] for payload in subscribed if "worldUpdates" in payload["query"]]
    return cursors[-1] if cursors else None


def _last_cursor(reader: Reader) -> str:
    data = [frame["payload"].get("data") or {} for frame in reader.frames if frame["type"] == "next"]
    cursor: str = [each["worldUpdates"]["cursor"] for each in data if "worldUpdates" in each][-1]
    return cursor


def _kept_cursor(reader: Reader) -> object:
    return reader.page.evaluate(
        """() => new Promise(done => {
            const opening = indexedDB.open("lorekeeper/eldoria");
            opening.onsuccess = () => {
                const reading = opening.result.transaction("jobs").objectStore("jobs").get("~bookmark");
                reading.onsuccess = () => { opening.result.close(); done(reading.result?.cursor); };
            };
        })"""
    )


def test_thousands_of_jobs_scroll_smoothly(serve: Serve, visit: Visit) -> None:
    server = serve()
    for _ in range(MANY // 1000):
        created(server, *[a_job()] * 1000)
    reader = visit(server.url)
    reader.open_board()
    expect(reader.page.get_by_role("button", name="All 5,000")).to_be_visible(timeout=60_000)
    assert reader.rows.count() < 50
    # The best of some seconds: other tests want the machine too.
    reader.wait_for(lambda: _scroll(reader) >= SMOOTH_FPS, what=f"{SMOOTH_FPS} frames a second", within_s=60)
    assert reader.page.locator(".scroller").evaluate("list => list.scrollTop") > 0
    reader.expect_a_quiet_page()


def _scroll(reader: Reader) -> float:
    """Scroll for a second, a good row a frame; returns the frames that there were."""
    frames: float = reader.page.evaluate(
        """() => new Promise(done => {
            const list = document.querySelector(".scroller");
            let frames = 0, start;
            requestAnimationFrame(function step(now) {
                start ??= now;
                if (now - start >= 1000) return done(frames * 1000 / (now - start));
                frames += 1;
                list.scrollTop += 100;
                requestAnimationFrame(step);
            });
        })"""
    )
    print(f"\n{frames:.0f} frames a second")
    return frames


def test_jobs_are_found_opened_cancelled_and_tried_again(serve: Serve, visit: Visit) -> None:
    server = serve()
    created(
        server,
        *(a_job({"description": f"Hill {number}"}, provider="local", assetType="MAP") for number in range(3)),
        a_job({"description": "A harbour"}, provider="local"),
    )
    reader = visit(server.url)
    reader.open_board()
    expect(reader.rows).to_have_count(4)
    reader.page.keyboard.press("/")
    reader.page.keyboard.type("hill")
    expect(reader.rows).to_have_count(3)
    reader.page.keyboard.press("Escape")
    reader.page.get_by_label("Search jobs").clear()
    reader.page.get_by_role("group", name="Type").get_by_label("Picture").click()
    expect(reader.rows).to_have_count(1)
    reader.page.get_by_role("group", name="Type").get_by_label("Picture").click()
    # By the keyboard: to the second row, and into it.
    reader.rows.first.get_by_role("link").focus()
    reader.page.keyboard.press("ArrowDown")
    expect(reader.rows.nth(1).get_by_role("link")).to_be_focused()
    reader.page.keyboard.press("Enter")
    expect(reader.panel.get_by_role("heading", name="Hill 2")).to_be_visible()
    reader.panel.get_by_role("button", name="Cancel").click()
    reader.expect_status("Cancelled")
    reader.page.get_by_role("group", name="Status").get_by_role("button", name="Cancelled 1").click()
    expect(reader.rows).to_have_count(1)
    reader.panel.get_by_role("button", name="Try again").click()
    reader.expect_status("Queued")
    expect(reader.panel.locator(".timeline li")).to_have_count(3)
    assert reader.history() == ["Queued", "Cancelled", "Queued"]
    reader.page.keyboard.press("Escape")
    expect(reader.panel.get_by_role("heading", name="Make an asset")).to_be_visible()
    reader.page.go_back()
    expect(reader.panel.get_by_role("heading", name="Hill 2")).to_be_visible()
    reader.page.get_by_role("group", name="Status").get_by_role("button", name="All").click()
    # Another world, over the connection that is there, and back.
    reader.page.get_by_label("World").fill("nowhere")
    reader.page.keyboard.press("Enter")
    expect(reader.page.get_by_role("heading", name="Nothing was made in nowhere yet")).to_be_visible()
    reader.expect_sign("Live")
    reader.page.go_back()
    expect(reader.rows).to_have_count(4)
    reader.expect_sign("Live")
    reader.expect_a_quiet_page()


def test_the_form_follows_the_schema_of_the_provider(serve: Serve, visit: Visit) -> None:
    reader = visit(serve(REPLICATE_API_TOKEN="none").url)
    reader.open_board()
    form = reader.panel
    form.get_by_label("Description").fill(" ")
    form.get_by_role("button", name="Make the picture").click()
    expect(form.get_by_text("This does not have the form that is asked for.")).to_be_visible()
    assert "CreateJob" not in reader.operations
    form.get_by_role("button", name="PDF").click()
    expect(form.get_by_label("Title needed")).to_have_value("The Harbour of Vael")
    form.get_by_text("More options").click()
    form.get_by_role("button", name="Add").click()
    form.get_by_label("Name").fill("Ruler")
    form.get_by_label("Value").fill("Ilse")
    form.get_by_label("Provider").select_option("simulator")
    form.get_by_label("Duration (ms)").fill("5")
    form.get_by_label("Provider").select_option("local")
    form.get_by_role("button", name="Make the PDF").click()
    expect(form.locator("pre")).to_contain_text("Vael lies where the river Ost meets the grey sea.")
    reader.page.get_by_role("button", name="New asset").click()
    form.get_by_label("Provider").select_option("replicate")
    form.get_by_label("Model needed").fill("owner/name")
    form.get_by_label("Input (JSON) needed").fill('{"prompt": "A harbour", "steps": 4}')
    form.get_by_role("button", name="Make the picture").click()
    expect(form.locator("pre")).to_contain_text('"steps": 4')
    reader.expect_a_quiet_page()


def test_a_token_is_asked_for_and_used_everywhere(serve: Serve, visit: Visit) -> None:
    reader = visit(serve(**JWT).url)
    reader.page.goto(reader.url)
    reader.page.get_by_label("Bearer token").fill(a_token(scope="jobs:read jobs:write"))
    reader.page.get_by_role("button", name="Enter").click()
    reader.expect_sign("Live")
    reader.panel.get_by_role("button", name="Make the picture").click()
    reader.expect_status("Queued")
    # How much the queues hold is for others.
    expect(reader.page.locator(".chart")).to_have_count(1)


def test_readers_of_all_kinds_can_use_it(serve: Serve, work: Callable[[], Process], visit: Visit) -> None:
    """By the rules of axe-core; none of those that it calls serious or critical is broken."""
    server = serve()
    done, *_ = created(
        server, a_job(), a_job({"fail_attempts": 1, "permanent": True}), a_job({"duration_ms": 60_000})
    )
    worker = work()
    for width, scheme in ((1400, "light"), (390, "dark")):
        reader = visit(server.url, width=width, color_scheme=scheme)
        reader.page.add_init_script(path=AXE)
        reader.open_board()
        expect(reader.page.locator(".row .status.failed")).to_be_visible()
        _expect_accessible(reader)
        reader.screenshot(f"list-{scheme}-{width}")
        for place in (f"?job={done}", "?new"):
            reader.open_board(place)
            expect(reader.panel.get_by_role("heading").first).to_be_visible()
            _expect_accessible(reader)
            reader.screenshot(f"panel-{scheme}-{width}{place[:4]}")
    worker.kill_all()  # it would wait for the job that is still being made


def _expect_accessible(reader: Reader) -> None:
    found = reader.page.evaluate("() => axe.run()")
    serious = [rule for rule in found["violations"] if rule["impact"] in {"serious", "critical"}]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in serious] == []
    assert found["passes"]
