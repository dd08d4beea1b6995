"""The web pages: the board and the explorer, and what a browser lets each of them do."""

from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from services.settings import Settings
from services.storage import Storage

FOLDER: Final = Path(__file__).resolve().parents[1] / "web" / "dist"
STATIC_FOLDER: Final = FOLDER / "static"
"""What the pages load; the names change with the content."""
_FOR_ALL: Final = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# Styles may be inline because the editor injects its own.
_EXPLORER: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    f"font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; {_FOR_ALL}"
)


async def answer_board(request: Request) -> Response:
    """Answer a browser with the board, which may show what lies in the storage of assets."""
    storage: Storage = request.app.state.resources.storage
    settings: Settings = request.app.state.settings
    # Where links lead is known to the storage alone: an S3 may have one address for us and another for browsers.
    address = str(settings.public_url or request.base_url)
    link = urlsplit(await storage.url("any", filename="any", expires_in=timedelta(minutes=1), base_url=address))
    ours = link.netloc == request.url.netloc
    assets = "'self'" if ours else f"'self' {link.scheme}://{link.netloc}"
    return _page(
        "index.html",
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        # Sheets are shown by the browser's own reader, from a copy in memory.
        f"img-src {assets}; media-src {assets}; connect-src {assets}; frame-src blob:; {_FOR_ALL}",
    )


def answer_explorer() -> Response:
    """Answer a browser with the explorer."""
    return _page("graphql.html", _EXPLORER)


def _page(name: str, policy: str) -> Response:
    path = FOLDER / name
    if not path.is_file():
        return PlainTextResponse("The web page is not built: run `make setup`.", status_code=404)
    return FileResponse(
        path,
        headers={"Cache-Control": "no-cache", "Vary": "Accept", "Content-Security-Policy": policy},
    )
