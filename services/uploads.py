"""Uploads: leave to put content into storage, under a key that prompts can refer to. They make no asset."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Final

from services.access import Caller
from services.errors import InvalidInput
from services.intake import check_name
from services.models import AssetType, new_id
from services.storage import Storage

_LASTS: Final = timedelta(hours=1)
_METHOD: Final = "PUT"
_FITTING: Final[Mapping[AssetType, str]] = {
    AssetType.IMAGE: "image/*",
    AssetType.MAP: "image/*",
    AssetType.AUDIO: "audio/*",
    AssetType.VIDEO: "video/*",
    AssetType.PDF: "application/pdf",
}
"""The media types of each asset type."""
_NAME: Final = "[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE: Final = re.compile(f"{_NAME}/{_NAME}", re.ASCII | re.IGNORECASE)
"""RFC 6838, section 4.2, without parameters."""
_PLAIN_WORLD: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAIN_SUFFIX: Final = re.compile(r"\.[a-z0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """What a client wants to upload, not yet validated. Names and meanings are those of CreateUploadInput."""

    world_id: str
    asset_type: AssetType
    filename: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Upload:
    """The leave to upload.

    Attributes:
        url: where to; signed, no further credentials are needed.
        method: the HTTP method.
        headers: what to send along, exactly.
        storage_key: where the content lies once it has been uploaded.
        expires_at: until when.
    """

    url: str
    method: str
    headers: Mapping[str, str]
    storage_key: str
    expires_at: datetime


class Uploads:
    """Gives leave to upload."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def create(self, request: UploadRequest, caller: Caller, *, base_url: str) -> Upload:
        """Sign an upload. Nothing is stored until the content comes, and then all of it or nothing.

        Raises:
            InvalidInput: the first value that breaks a rule, by its path.
            WorldNotFound: there is no such world for the caller.
            StorageUnavailable: the storage does not answer.
        """
        world_id = check_name(request.world_id, ("input", "worldId"))
        filename = _file_name(request.filename)
        content_type = _content_type(request)
        caller.require_world(world_id)
        key = f"uploads/{_folder(world_id)}/{new_id()}{_suffix(filename)}"
        expires_at = datetime.now(UTC) + _LASTS
        url = await self._storage.upload_url(key, content_type=content_type, expires_in=_LASTS, base_url=base_url)
        return Upload(url, _METHOD, {"Content-Type": content_type}, key, expires_at)


def _file_name(value: str) -> str:
    path = ("input", "filename")
    check_name(value, path)
    if "/" in value or "\\" in value or value in (".", ".."):
        raise InvalidInput(path, "must be the name of a file, without a way to it")
    return value


def _content_type(request: UploadRequest) -> str:
    path = ("input", "contentType")
    if not _MEDIA_TYPE.fullmatch(request.content_type):
        raise InvalidInput(path, "must be a media type such as image/png, without parameters")
    content_type = request.content_type.lower()
    fitting = _FITTING[request.asset_type]
    if fitting not in (content_type, f"{content_type.partition('/')[0]}/*"):
        raise InvalidInput(path, f"does not fit {request.asset_type}, whose content is {fitting}")
    return content_type


def _folder(world_id: str) -> str:
    """Return the folder of a world: its id where that is plain, else a digest, which no plain id looks like."""
    if _PLAIN_WORLD.fullmatch(world_id):
        return world_id
    return "~" + hashlib.sha256(world_id.encode()).hexdigest()[:32]


def _suffix(filename: str) -> str:
    suffix = PurePosixPath(filename).suffix.lower()
    return suffix if _PLAIN_SUFFIX.fullmatch(suffix) else ""
