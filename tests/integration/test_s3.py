"""Assets in S3, on the embedded server."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from services.errors import StorageUnavailable
from services.storage import S3Storage, Storage
from tests.conftest import Opener


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture
async def storage(open_services: Opener) -> Storage:
    return (await open_services(LOREKEEPER_S3_BUCKET=f"assets-{uuid4().hex}")).storage


async def fetch(storage: Storage, key: str, filename: str = "a.png") -> httpx.Response:
    url = await storage.url(key, filename=filename, expires_in=timedelta(minutes=1), base_url="unused")
    async with httpx.AsyncClient() as client:
        return await client.get(url)


async def test_content_is_stored_in_a_bucket_that_is_made_and_read_by_a_link(storage: Storage) -> None:
    assert isinstance(storage, S3Storage)
    stored = await storage.put("job/1.png", pieces(b"pain", b"ting"), "image/png")
    assert (stored.size_bytes, stored.checksum) == (8, hashlib.sha256(b"painting").hexdigest())
    found = await fetch(storage, "job/1.png", "image-1.png")
    assert (found.status_code, found.content) == (200, b"painting")
    assert found.headers["content-type"] == "image/png"
    assert "image-1.png" in found.headers["content-disposition"]


async def test_a_link_that_was_changed_is_refused(storage: Storage) -> None:
    await storage.put("job/1.png", pieces(b"x"), "image/png")
    await storage.put("job/2.png", pieces(b"y"), "image/png")
    url = await storage.url("job/1.png", filename="a", expires_in=timedelta(minutes=1), base_url="unused")
    async with httpx.AsyncClient() as client:
        assert (await client.get(url.replace("1.png?", "2.png?"))).status_code in (400, 403)


async def test_deleted_content_is_gone_and_deleting_again_is_harmless(storage: Storage) -> None:
    await storage.put("job/1.png", pieces(b"x"), "image/png")
    await storage.delete("job/1.png")
    await storage.delete("job/1.png")
    assert (await fetch(storage, "job/1.png")).status_code == 404


async def test_content_is_uploaded_by_a_link_into_a_bucket_that_is_made(storage: Storage) -> None:
    url = await storage.upload_url(
        "uploads/1.png", content_type="image/png", expires_in=timedelta(minutes=1), base_url="unused"
    )
    assert "content-type" in parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";")
    async with httpx.AsyncClient() as client:
        assert (
            await client.put(url, content=b"drawing", headers={"Content-Type": "image/png"})
        ).status_code == 200
        changed = url.replace("1.png?", "2.png?")
        assert (await client.put(changed, content=b"x", headers={"Content-Type": "image/png"})).status_code == 403
    found = await fetch(storage, "uploads/1.png")
    assert (found.content, found.headers["content-type"]) == (b"drawing", "image/png")


async def test_an_unreachable_s3_is_unavailable(open_services: Opener) -> None:
    cut_off = await open_services(
        LOREKEEPER_S3_BUCKET="assets", AWS_ENDPOINT_URL="http://127.0.0.1:1", LOREKEEPER_REQUEST_TIMEOUT_S="1"
    )
    with pytest.raises(StorageUnavailable):
        await cut_off.storage.put("job/1.png", pieces(b"x"), "image/png")
