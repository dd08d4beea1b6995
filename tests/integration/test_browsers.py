"""What pages of other origins can do: nothing, unless they are listed; and what every answer tells a browser."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from tests.processes import ROOT
from tests.remote import EVENTS, MULTIPART, code_of, serving_with
from tests.serving import PROTOCOL

LISTED: Final = "https://board.example"
ALSO_LISTED: Final = "http://localhost:3000"
EVIL: Final = "https://evil.example"
ORIGINS: Final = {"LOREKEEPER_ALLOWED_ORIGINS": f"{LISTED}, {ALSO_LISTED}"}
CREATE: Final = """mutation { createAssetJob(input: {worldId: "eldoria", assetType: IMAGE, provider: "simulator",
    promptSpec: {}}) { job { id } } }"""
COUNT: Final = "{ jobs { totalCount } }"
BODY: Final = json.dumps({"query": CREATE})


@pytest.fixture
async def address(environment: dict[str, str]) -> AsyncIterator[str]:
    async with serving_with(environment | ORIGINS) as (address, _):
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client:
        yield client


async def jobs(client: httpx.AsyncClient) -> int:
    answer = await client.post("/graphql", json={"query": COUNT})
    return int(answer.json()["data"]["jobs"]["totalCount"])


SIMPLE: Final[dict[str, dict[str, Any]]] = {
    "plain text": {"content": BODY, "headers": {"content-type": "text/plain"}},
    "plain text with a parameter": {"content": BODY, "headers": {"content-type": "text/plain; application/json"}},
    "no media type": {"content": BODY},
    "an empty media type": {"content": BODY, "headers": {"content-type": ""}},
    "a media type that contains ours": {"content": BODY, "headers": {"content-type": "text/x-application/json"}},
    "a form": {"data": {"query": CREATE}},
    "a form whose only field is JSON": {
        "content": BODY,
        "headers": {"content-type": "application/x-www-form-urlencoded"},
    },
    "a form of parts": {"files": {"operations": (None, BODY), "map": (None, "{}")}},
    "a form of parts that is announced as upload": {
        "files": {"operations": (None, BODY), "map": (None, "{}"), "0": ("a.txt", b"x")},
        "headers": {"apollo-require-preflight": "true"},
    },
    "the query in the address": {"params": {"query": CREATE}, "content": b""},
}
"""What a page can make a browser POST to any address without asking first, and some that look like it."""


TRANSPORTS: Final[dict[str, dict[str, str]]] = {"json": {}, "events": EVENTS, "multipart": MULTIPART}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_post_that_any_page_can_send_has_no_effect(client: httpx.AsyncClient, transport: str) -> None:
    for name, request in SIMPLE.items():
        page = {"origin": EVIL, "sec-fetch-site": "cross-site"}
        headers = page | TRANSPORTS[transport] | request.get("headers", {})
        answer = await client.post("/graphql", **request | {"headers": headers})
        assert (answer.status_code, code_of(answer.json())) == (400, "BAD_USER_INPUT"), name
    assert await jobs(client) == 0


BY_GET: Final = [
    {"query": CREATE},
    {"query": "query Harmless { __typename } " + CREATE.replace("mutation", "mutation M"), "operationName": "M"},
]


async def test_a_mutation_by_get_has_no_effect(client: httpx.AsyncClient) -> None:
    for transport, headers in TRANSPORTS.items():
        for parameters in BY_GET:
            answer = await client.get("/graphql", params=parameters, headers=headers)
            assert "mutations are not allowed" in answer.text.lower(), transport
            assert "BAD_USER_INPUT" in answer.text
            assert answer.status_code == (200 if transport == "events" else 400)
    assert await jobs(client) == 0


async def test_a_query_by_get_is_answered(client: httpx.AsyncClient) -> None:
    assert (await client.get("/graphql", params={"query": "{ __typename }"})).json()["data"] == {
        "__typename": "Query"
    }


async def test_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await client.request(
            method, "/graphql", content=BODY, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 405, method


def preflight(origin: str, method: str = "POST", headers: str = "content-type") -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


async def test_a_listed_origin_may_ask_with_a_token_and_resume_a_stream(client: httpx.AsyncClient) -> None:
    for origin in (LISTED, ALSO_LISTED):
        asked = preflight(origin, headers="authorization,content-type,last-event-id")
        answer = await client.options("/graphql", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        answer = await client.post("/graphql", json={"query": COUNT}, headers={"origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"


OTHERS: Final = [
    EVIL,
    "null",
    "*",
    "http://board.example",
    f"{LISTED}:444",
    f"{LISTED}.evil.example",
    "https://evil-board.example",
]


async def test_no_other_origin_may_ask_or_read(client: httpx.AsyncClient) -> None:
    for origin in OTHERS:
        assert (await client.options("/graphql", headers=preflight(origin))).status_code == 400, origin
        for request in (
            client.build_request("GET", "/graphql", params={"query": COUNT}, headers={"origin": origin}),
            client.build_request("POST", "/graphql", json={"query": COUNT}, headers={"origin": origin}),
        ):
            assert "access-control-allow-origin" not in (await client.send(request)).headers


async def test_by_default_no_origin_is_listed(environment: dict[str, str]) -> None:
    async with serving_with(environment) as (address, _), httpx.AsyncClient() as client:
        url = f"http://{address}/graphql"
        assert (await client.options(url, headers=preflight(LISTED))).status_code == 405
        answer = await client.post(url, json={"query": COUNT}, headers={"origin": LISTED})
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_websocket_is_opened_to_pages_of_ours_and_of_listed_origins_and_to_no_browser(
    address: str,
) -> None:
    url = f"ws://{address}/graphql"
    for origin in (None, f"http://{address}", LISTED, ALSO_LISTED, f"{LISTED}:443"):
        connection = await connect(url, subprotocols=PROTOCOL, origin=None if origin is None else Origin(origin))
        await connection.close()
    for origin in (EVIL, "null", "http://board.example", f"{LISTED}.evil.example", "http://127.0.0.1:1", ""):
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url, subprotocols=PROTOCOL, origin=Origin(origin))


PLACES: Final = ["/graphql", "/", "/healthz", "/readyz", "/metrics", "/assets/x", "/nowhere", "/static/nothing.js"]


async def test_every_answer_has_the_headers_that_browsers_heed(client: httpx.AsyncClient) -> None:
    for path in PLACES:
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "strict-transport-security" not in headers


async def test_a_fault_of_ours_has_them_too(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    async with serving_with(environment) as (address, _), httpx.AsyncClient() as client:
        monkeypatch.setattr("schema.application.generate_latest", broken)
        answer = await client.get(f"http://{address}/metrics")
        assert answer.status_code == 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "a fault" not in answer.text


async def test_answers_of_graphql_are_not_stored(client: httpx.AsyncClient) -> None:
    for query in (COUNT, "{", "{ nonsense }"):
        for answer in (
            await client.post("/graphql", json={"query": query}),
            await client.get("/graphql", params={"query": query}),
        ):
            assert answer.headers["cache-control"] == "no-store"


async def test_a_stream_is_not_stored(client: httpx.AsyncClient) -> None:
    query = 'subscription { jobUpdates(jobId: "x") { seq } }'
    for headers in (EVENTS, MULTIPART):
        answer = await client.post("/graphql", json={"query": query}, headers=headers)
        assert "no-store" in answer.headers["cache-control"]
    assert (
        "no-transform"
        in (await client.post("/graphql", json={"query": query}, headers=EVENTS)).headers["cache-control"]
    ), "proxies would collect events to compress them"


async def test_https_is_insisted_on_only_where_it_is_spoken(environment: dict[str, str]) -> None:
    for public_url, insisted in (("https://lore.example", True), ("http://lore.example", False)):
        async with serving_with(environment | {"LOREKEEPER_PUBLIC_URL": public_url}) as (address, _):
            async with httpx.AsyncClient() as client:
                headers = (await client.get(f"http://{address}/healthz")).headers
            assert ("strict-transport-security" in headers) is insisted


FOREIGN: Final = re.compile(
    r"""(?:src|href|action|from|import|url)\s*[=(]?\s*["'(]?\s*(?:https?:)?//[a-z0-9]""", re.IGNORECASE
)


@contextmanager
def pages() -> Iterator[list[str]]:
    folder = ROOT / "web" / "dist"
    if not folder.is_dir():
        pytest.skip("the page is not built: `make setup` builds it")
    yield [path.read_text() for path in folder.rglob("*.html")]


def test_no_page_loads_anything_from_another_server() -> None:
    with pages() as found:
        assert found
        for page in found:
            assert not FOREIGN.search(page)
            loaded = re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)="([^"]*)\"""", page)
            assert loaded
            assert all(re.match(r"/static/|data:", address) for address in loaded), loaded


async def policy_of(client: httpx.AsyncClient, path: str) -> dict[str, str]:
    with pages():
        answer = await client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200
    return dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))


async def test_the_explorer_forbids_itself_to_load_anything_from_elsewhere(client: httpx.AsyncClient) -> None:
    policy = await policy_of(client, "/graphql")
    assert policy["default-src"] == policy["script-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"https?:", str(policy))


async def test_the_board_forbids_itself_all_that_it_does_not_need(client: httpx.AsyncClient) -> None:
    policy = await policy_of(client, "/")
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("frame-src") == "blob:"
    nothing = {name for name, sources in policy.items() if sources == "'none'"}
    assert nothing == {"frame-ancestors", "base-uri", "form-action"}
    assert {sources for name, sources in policy.items() if name not in nothing} == {"'self'"}


async def test_the_board_may_show_what_lies_in_a_bucket(environment: dict[str, str]) -> None:
    outside = "https://assets.example:9000"
    bucket = {"LOREKEEPER_S3_BUCKET": "lore", "LOREKEEPER_S3_PUBLIC_ENDPOINT_URL": outside}
    async with (
        serving_with(environment | bucket) as (address, _),
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        policy = await policy_of(client, "/")
    assert policy["img-src"] == policy["media-src"] == policy["connect-src"] == f"'self' {outside}"
    assert policy["script-src"] == "'self'"


async def test_an_asset_may_be_shown_elsewhere_and_read_by_listed_origins(environment: dict[str, str]) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"painting"

    async with serving_with(environment | ORIGINS) as (address, app), httpx.AsyncClient() as client:
        storage = app.state.resources.storage
        await storage.put("job/1.png", content(), "image/png")
        url = await storage.url(
            "job/1.png", filename="a.png", expires_in=timedelta(minutes=1), base_url=f"http://{address}/"
        )
        answer = await client.get(url, headers={"origin": LISTED})
        assert answer.content == b"painting"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["access-control-allow-origin"] == LISTED
        assert "sandbox" in answer.headers["content-security-policy"]
        assert (await client.post(url)).status_code == 405
