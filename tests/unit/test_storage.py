"""Local storage: content is there whole or not at all, and only under the URL that was signed for it."""

import asyncio
import hashlib
import stat
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from services.errors import AssetNotFound, StorageUnavailable
from services.storage import ASSETS_PATH, LocalStorage, signing_secret

KEY: Final = "01890a5d-ac96-774b-bcce-b302099a8057/3.png"
HOUR: Final = timedelta(hours=1)
BASE: Final = "https://lore.example/"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "assets", b"k" * 32)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise ConnectionResetError("the provider hung up")


async def endless(started: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"begun"
    started.set()
    await asyncio.Event().wait()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def signed(storage: LocalStorage, **changes: object) -> dict[str, str]:
    """Store content and return what its URL says, as `verify` takes it."""
    await storage.put(KEY, chunks(b"content"), "image/png")
    return read(await storage.url(KEY, filename="map of Æ.png", expires_in=HOUR, base_url=BASE)) | {
        name: str(value) for name, value in changes.items()
    }


def read(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
    return {"key": unquote(parts.path.removeprefix(f"{ASSETS_PATH}/")), **query}


def verify(storage: LocalStorage, told: Mapping[str, str]) -> Path:
    return storage.verify(
        told["key"], filename=told["filename"], expires=told["expires"], signature=told["signature"]
    )


async def test_what_is_put_is_stored_with_its_size_and_checksum(storage: LocalStorage, tmp_path: Path) -> None:
    stored = await storage.put(KEY, chunks(b"one", b"", b"two"), "image/png")
    assert (stored.size_bytes, stored.checksum) == (6, hashlib.sha256(b"onetwo").hexdigest())
    assert (tmp_path / "assets" / KEY).read_bytes() == b"onetwo"
    assert files(tmp_path) == [tmp_path / "assets" / KEY]


async def test_nothing_at_all_can_be_stored(storage: LocalStorage, tmp_path: Path) -> None:
    stored = await storage.put(KEY, chunks(), "image/png")
    assert (stored.size_bytes, stored.checksum) == (0, hashlib.sha256(b"").hexdigest())
    assert (tmp_path / "assets" / KEY).read_bytes() == b""


async def test_a_stream_that_breaks_leaves_nothing(storage: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        await storage.put(KEY, broken(b"half of it"), "image/png")
    assert files(tmp_path) == []


async def test_a_put_that_is_cancelled_leaves_nothing(storage: LocalStorage, tmp_path: Path) -> None:
    started = asyncio.Event()
    putting = asyncio.create_task(storage.put(KEY, endless(started), "image/png"))
    await started.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert files(tmp_path) == []


async def test_a_stream_that_breaks_leaves_the_earlier_content(storage: LocalStorage, tmp_path: Path) -> None:
    await storage.put(KEY, chunks(b"earlier"), "image/png")
    with pytest.raises(StorageUnavailable):
        await storage.put(KEY, broken(b"lat"), "image/png")
    assert (tmp_path / "assets" / KEY).read_bytes() == b"earlier"


async def test_content_is_not_visible_before_it_is_whole(storage: LocalStorage, tmp_path: Path) -> None:
    started = asyncio.Event()
    putting = asyncio.create_task(storage.put(KEY, endless(started), "image/png"))
    await started.wait()
    assert not (tmp_path / "assets" / KEY).exists()
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)


async def test_a_folder_that_cannot_be_written_is_an_unavailability(tmp_path: Path) -> None:
    (tmp_path / "assets").write_text("a file where the folder should be")
    with pytest.raises(StorageUnavailable):
        await LocalStorage(tmp_path / "assets", b"k").put(KEY, chunks(b"x"), "image/png")


async def test_deleting_removes_the_content_and_what_is_gone_may_be_deleted(
    storage: LocalStorage, tmp_path: Path
) -> None:
    await storage.put(KEY, chunks(b"content"), "image/png")
    await storage.delete(KEY)
    assert files(tmp_path) == []
    await storage.delete(KEY)


async def test_a_signed_url_leads_to_the_content(storage: LocalStorage) -> None:
    told = await signed(storage)
    assert told["key"] == KEY
    assert told["filename"] == "map of Æ.png"
    assert verify(storage, told).read_bytes() == b"content"


async def test_a_url_is_below_the_address_of_the_caller(storage: LocalStorage) -> None:
    for base in ("https://lore.example", "https://lore.example/"):
        url = await storage.url(KEY, filename="a.png", expires_in=HOUR, base_url=base)
        assert url.startswith(f"https://lore.example/assets/{KEY}?")


async def test_a_url_works_in_every_process_with_the_secret_and_in_no_other(
    storage: LocalStorage, tmp_path: Path
) -> None:
    told = await signed(storage)
    assert verify(LocalStorage(tmp_path / "assets", b"k" * 32), told).is_file()
    with pytest.raises(AssetNotFound):
        verify(LocalStorage(tmp_path / "assets", b"j" * 32), told)


CHANGES: Final[dict[str, Callable[[dict[str, str]], dict[str, str]]]] = {
    "another key": lambda told: told | {"key": "other.png"},
    "a longer way to the key": lambda told: told | {"key": f"./{told['key']}"},
    "a way out": lambda told: told | {"key": "../signing.key"},
    "another filename": lambda told: told | {"filename": "other.html"},
    "no filename": lambda told: told | {"filename": ""},
    "a later expiry": lambda told: told | {"expires": str(int(told["expires"]) + 1)},
    "an earlier expiry": lambda told: told | {"expires": str(int(told["expires"]) - 1)},
    "a garbled expiry": lambda told: told | {"expires": "soon"},
    "no expiry": lambda told: told | {"expires": ""},
    "an expiry in other digits": lambda told: told | {"expires": told["expires"].replace("1", "²")},
    "an endless expiry": lambda told: told | {"expires": "9" * 5000},
    "a negative expiry": lambda told: told | {"expires": f"-{told['expires']}"},
    "another signature": lambda told: told | {"signature": "0" * 64},
    "part of the signature": lambda told: told | {"signature": told["signature"][:-1]},
    "no signature": lambda told: told | {"signature": ""},
    "a signature in no alphabet": lambda told: told | {"signature": "é" * 64},
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_url_that_was_changed_is_refused(storage: LocalStorage, tmp_path: Path, change: str) -> None:
    told = await signed(storage)
    (tmp_path / "assets" / "other.png").write_bytes(b"somebody else's")
    (tmp_path / "signing.key").write_bytes(b"secret")
    with pytest.raises(AssetNotFound):
        verify(storage, CHANGES[change](told))


async def test_a_url_that_has_expired_is_refused(storage: LocalStorage) -> None:
    await storage.put(KEY, chunks(b"content"), "image/png")
    past = await storage.url(KEY, filename="a.png", expires_in=timedelta(seconds=-2), base_url=BASE)
    with pytest.raises(AssetNotFound):
        verify(storage, read(past))


async def test_a_url_of_content_that_is_gone_is_refused(storage: LocalStorage) -> None:
    told = await signed(storage)
    await storage.delete(KEY)
    with pytest.raises(AssetNotFound):
        verify(storage, told)


def test_the_signing_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    secret = signing_secret(tmp_path)
    assert len(secret) >= 32
    assert signing_secret(tmp_path) == secret
    (kept,) = files(tmp_path)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_every_home_has_its_own_secret(tmp_path: Path) -> None:
    homes = [tmp_path / "a", tmp_path / "b"]
    for home in homes:
        home.mkdir()
    assert signing_secret(homes[0]) != signing_secret(homes[1])


def test_processes_that_start_together_agree_on_one_whole_secret(tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=5)

    def read_it(home: Path) -> bytes:
        together.wait()
        return signing_secret(home)

    with ThreadPoolExecutor(4) as threads:
        for i in range(100):
            home = tmp_path / str(i)
            home.mkdir()
            secrets = set(threads.map(read_it, [home] * 4))
            assert len(secrets) == 1, secrets
            assert len(secrets.pop()) >= 32
            assert len(files(home)) == 1
