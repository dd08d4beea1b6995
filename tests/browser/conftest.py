"""A real browser: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

# Read here because every test runs without the developer's own LOREKEEPER_ variables.
_WANTED = os.environ.get("LOREKEEPER_CHROMIUM")
_REQUIRED = os.environ.get("LOREKEEPER_REQUIRE_BROWSER") == "1"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Only what we ask for goes over the wire, and neither a GPU nor a sandbox is needed.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What is not on this machine is not there.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Run a browser for one test; skip the test where there is none and none is required.

    Not for the session: while Playwright runs, the event loop of the tests that come later cannot.
    """
    path = _WANTED or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None or not Path(path).exists():
        reason = (
            f"no Chromium{f' at {path}' if path else ''}: `apt-get install chromium` or "
            "`LOREKEEPER_CHROMIUM=/path/to/chromium make test` enables the browser tests"
        )
        if _REQUIRED:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open tabs of browsers that have never been anywhere; keyword arguments are Playwright's for a context."""
    with ExitStack() as contexts:

        def open_one(*, width: int = 1400, height: int = 900, **options: Any) -> Page:
            context = browser.new_context(viewport={"width": width, "height": height}, **options)
            contexts.callback(context.close)
            return context.new_page()

        yield open_one
