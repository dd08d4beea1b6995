"""What may be uploaded, by the value that breaks each rule; and where it goes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from services.access import ANONYMOUS, Caller, Scope
from services.errors import InvalidInput, WorldNotFound
from services.models import AssetType
from services.storage import LocalStorage
from services.uploads import Upload, UploadRequest, Uploads

VALID: Final[dict[str, Any]] = {
    "world_id": "eldoria",
    "asset_type": AssetType.IMAGE,
    "filename": "old map.png",
    "content_type": "image/png",
}


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(LocalStorage(tmp_path, b"k" * 32))


async def sign(uploads: Uploads, caller: Caller = ANONYMOUS, **changes: Any) -> Upload:
    return await uploads.create(UploadRequest(**VALID | changes), caller, base_url="https://lore.example/")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"world_id": ""}, "worldId"),
        ({"world_id": "a\x00"}, "worldId"),
        ({"filename": ""}, "filename"),
        ({"filename": " "}, "filename"),
        ({"filename": "."}, "filename"),
        ({"filename": ".."}, "filename"),
        ({"filename": "../a.png"}, "filename"),
        ({"filename": "/etc/passwd"}, "filename"),
        ({"filename": "a/b.png"}, "filename"),
        ({"filename": "C:\\a.png"}, "filename"),
        ({"filename": "a\n.png"}, "filename"),
        ({"filename": "a\x00.png"}, "filename"),
        ({"filename": "x" * 201}, "filename"),
        ({"content_type": ""}, "contentType"),
        ({"content_type": "image"}, "contentType"),
        ({"content_type": "image/"}, "contentType"),
        ({"content_type": "image/*"}, "contentType"),
        ({"content_type": "image/png\r\nX-Evil: 1"}, "contentType"),
        ({"content_type": "image/png; charset=x"}, "contentType"),
        ({"content_type": "image/p/ng"}, "contentType"),
        ({"content_type": " image/png"}, "contentType"),
        ({"content_type": "image/pñg"}, "contentType"),
        ({"content_type": "text/html"}, "contentType"),
        ({"content_type": "audio/mpeg"}, "contentType"),
        ({"asset_type": AssetType.PDF}, "contentType"),
        ({"asset_type": AssetType.PDF, "content_type": "application/pdfx"}, "contentType"),
        ({"asset_type": AssetType.AUDIO, "content_type": "audiobook/x"}, "contentType"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_its_path(
    uploads: Uploads, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await sign(uploads, **changes)
    assert refusal.value.path == ("input", field)


@pytest.mark.parametrize(
    ("asset_type", "content_type"),
    [
        (AssetType.IMAGE, "image/svg+xml"),
        (AssetType.MAP, "image/webp"),
        (AssetType.AUDIO, "audio/vnd.wave"),
        (AssetType.VIDEO, "video/mp4"),
        (AssetType.PDF, "application/pdf"),
        (AssetType.PDF, "Application/PDF"),
    ],
)
async def test_what_fits_its_asset_type_is_signed(
    uploads: Uploads, asset_type: AssetType, content_type: str
) -> None:
    upload = await sign(uploads, asset_type=asset_type, content_type=content_type)
    assert (upload.method, upload.headers) == ("PUT", {"Content-Type": content_type.lower()})
    assert upload.url.startswith(f"https://lore.example/assets/{upload.storage_key}?")
    assert timedelta(minutes=59) < upload.expires_at - datetime.now(UTC) <= timedelta(hours=1)


async def test_every_upload_has_a_key_of_its_own_below_its_world(uploads: Uploads) -> None:
    keys = [(await sign(uploads)).storage_key for _ in range(3)]
    assert len(set(keys)) == 3
    assert all(key.startswith("uploads/eldoria/") and key.endswith(".png") for key in keys)


@pytest.mark.parametrize(
    "world_id", ["..", ".", "a/../b", "a/b", "/", "~x", "Æ", "x" * 200, "a b", "%2e%2e", "\\"]
)
async def test_a_world_with_any_name_has_one_folder(uploads: Uploads, world_id: str) -> None:
    keys = [(await sign(uploads, world_id=world_id)).storage_key for _ in range(2)]
    other = (await sign(uploads, world_id=f"{world_id[:-1]}!")).storage_key
    folders = {tuple(key.split("/")[:-1]) for key in keys}
    assert len(folders) == 1
    (folder,) = folders
    assert (folder[0], len(folder), folder[1][0]) == ("uploads", 2, "~")
    assert folder[1] != other.split("/")[1]


@pytest.mark.parametrize(
    ("filename", "suffix"),
    [("a.PNG", ".png"), ("a", ""), (".png", ""), ("a.p ng", ""), ("a.é", ""), ("a.tar.gz", ".gz"), ("a.", "")],
)
async def test_of_the_filename_only_a_plain_suffix_comes_into_the_key(
    uploads: Uploads, filename: str, suffix: str
) -> None:
    name = (await sign(uploads, filename=filename)).storage_key.split("/")[-1]
    assert name[36:] == suffix


async def test_nothing_is_signed_for_another_world(uploads: Uploads) -> None:
    visitor = Caller("visitor", frozenset(Scope), frozenset({"elsewhere"}))
    with pytest.raises(WorldNotFound):
        await sign(uploads, visitor)
    assert (await sign(uploads, visitor, world_id="elsewhere")).storage_key.startswith("uploads/elsewhere/")
