"""Where the content of assets lies: a local folder behind signed URLs, or S3 behind presigned ones."""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlencode

from botocore.exceptions import BotoCoreError, ClientError

from services.errors import AssetNotFound, Forbidden, StorageUnavailable
from services.kept_secrets import kept_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_aiobotocore_s3.client import S3Client

ASSETS_PATH: Final = "/assets"
"""Where the server answers the signed URLs of local storage."""
_KEY_FILE: Final = "signing.key"
_INSTANT: Final = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was put into storage.

    Attributes:
        size_bytes: length of the content.
        checksum: hex SHA-256 of the content.
    """

    size_bytes: int
    checksum: str


class Storage(Protocol):
    """Keeps content under keys. Keys are ours: relative paths of letters, digits, `-`, `_`, `~`, `.` and `/`."""

    async def put(self, key: str, content: AsyncIterator[bytes], content_type: str) -> Stored:
        """Store a stream under a key, whole or not at all.

        Raises:
            StorageUnavailable: it cannot be stored now.
        """

    async def delete(self, key: str) -> None:
        """Remove what lies under a key, if anything does.

        Raises:
            StorageUnavailable: it cannot be removed now.
        """

    async def url(self, key: str, *, filename: str, expires_in: timedelta, base_url: str) -> str:
        """Return a URL that downloads the content without further credentials.

        Args:
            key: what to download.
            filename: under which name a browser saves it.
            expires_in: how long the URL works.
            base_url: the address under which the caller reaches this server, for storage that we serve.
        """

    async def upload_url(self, key: str, *, content_type: str, expires_in: timedelta, base_url: str) -> str:
        """Return a URL that stores content by PUT, without further credentials.

        Args:
            key: where to store it.
            content_type: what the request must name as its `Content-Type`.
            expires_in: how long the URL works.
            base_url: as in `url`.

        Raises:
            StorageUnavailable: the storage does not answer.
        """


class LocalStorage:
    """A folder, served by this process under URLs signed with HMAC-SHA256.

    Args:
        folder: where the files lie.
        secret: the key of the signatures; the same in every process.
    """

    def __init__(self, folder: Path, secret: bytes) -> None:
        self._folder = folder
        self._secret = secret

    async def put(self, key: str, content: AsyncIterator[bytes], content_type: str) -> Stored:  # noqa: ARG002
        """Store a stream under a key, whole or not at all."""
        path = self._folder / key
        try:
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            descriptor, name = await asyncio.to_thread(tempfile.mkstemp, dir=path.parent, prefix=".")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    stored = await _write(file, content)
                await asyncio.to_thread(os.replace, name, path)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(name)  # noqa: PTH108 - one call that does not wait, also while being cancelled
                raise
        except OSError as error:
            raise StorageUnavailable("The asset cannot be written.") from error
        return stored

    async def delete(self, key: str) -> None:
        """Remove what lies under a key, if anything does."""
        try:
            await asyncio.to_thread((self._folder / key).unlink, missing_ok=True)
        except OSError as error:
            raise StorageUnavailable("The asset cannot be removed.") from error

    async def url(self, key: str, *, filename: str, expires_in: timedelta, base_url: str) -> str:
        """Return a signed URL of this server."""
        query = self._signed(expires_in, key=key, filename=filename)
        return f"{base_url.rstrip('/')}{ASSETS_PATH}/{quote(key)}?{query}"

    async def upload_url(self, key: str, *, content_type: str, expires_in: timedelta, base_url: str) -> str:
        """Return a signed URL of this server."""
        query = self._signed(expires_in, put=key, content_type=content_type)
        return f"{base_url.rstrip('/')}{ASSETS_PATH}/{quote(key)}?{query}"

    def verify(self, key: str, *, filename: str, expires: str, signature: str) -> Path:
        """Return the file that a signed URL stands for.

        Raises:
            AssetNotFound: the signature is not ours, the URL has expired, or the content is gone.
        """
        path = self._folder / key
        if not self._is_genuine(expires, signature, key=key, filename=filename) or not path.is_file():
            raise AssetNotFound("The link is not valid, or no longer.")
        return path

    def verify_upload(self, key: str, *, content_type: str, expires: str, signature: str) -> None:
        """Check that a signed URL gives leave to store content of this type under a key.

        Raises:
            Forbidden: the signature is not ours, is for something else, or has expired.
        """
        if not self._is_genuine(expires, signature, put=key, content_type=content_type):
            raise Forbidden("The link is not valid for this upload, or no longer.")

    def _signed(self, expires_in: timedelta, **what: str) -> str:
        """Return the query of a URL; the key is in its path."""
        expires = int((datetime.now(UTC) + expires_in).timestamp())
        told = {"filename": what["filename"]} if "filename" in what else {}
        return urlencode({**told, "expires": expires, "signature": self._signature(expires, what)})

    def _is_genuine(self, expires: str, signature: str, **what: str) -> bool:
        instant = int(expires) if _INSTANT.fullmatch(expires) else 0
        # As bytes: of text, the comparison takes ASCII alone.
        genuine = hmac.compare_digest(self._signature(instant, what).encode(), signature.encode())
        return genuine and instant >= datetime.now(UTC).timestamp()

    def _signature(self, expires: int, what: Mapping[str, str]) -> str:
        # Named and escaped, so that no two things which can be signed read the same.
        return hmac.digest(self._secret, urlencode({**what, "expires": expires}).encode(), "sha256").hex()


class S3Storage:
    """An S3 bucket.

    Args:
        client: an open client of aioboto3.
        bucket: created where it is missing.
        signer: the client whose endpoint browsers reach; signs URLs and never sends anything.
    """

    def __init__(self, client: "S3Client", bucket: str, signer: "S3Client") -> None:
        self._client = client
        self._bucket = bucket
        self._signer = signer
        self._has_bucket = False

    async def put(self, key: str, content: AsyncIterator[bytes], content_type: str) -> Stored:
        """Store a stream under a key, whole or not at all."""
        # S3 wants the length first. A file on disk, not memory, waits for it.
        with tempfile.TemporaryFile() as file:
            stored = await _write(file, content)
            with _translated():
                try:
                    await self._upload(file, key, content_type)
                except ClientError as error:
                    if error.response.get("Error", {}).get("Code") != "NoSuchBucket":
                        raise
                    await self._create_bucket()
                    await self._upload(file, key, content_type)
        return stored

    async def delete(self, key: str) -> None:
        """Remove what lies under a key, if anything does."""
        with _translated():
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    async def url(self, key: str, *, filename: str, expires_in: timedelta, base_url: str) -> str:  # noqa: ARG002
        """Return a presigned URL of the bucket."""
        parameters: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentDisposition": f'inline; filename="{filename}"',
        }
        with _translated():
            return await self._signer.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=int(expires_in.total_seconds())
            )

    async def upload_url(self, key: str, *, content_type: str, expires_in: timedelta, base_url: str) -> str:  # noqa: ARG002
        """Return a presigned URL of the bucket, which is made if it is missing."""
        with _translated():
            await self._require_bucket()
            return await self._signer.generate_presigned_url(
                "put_object",
                Params={"Bucket": self._bucket, "Key": key, "ContentType": content_type},
                ExpiresIn=int(expires_in.total_seconds()),
            )

    async def _require_bucket(self) -> None:
        """Make the bucket if it is missing; asked once, for nobody but us takes buckets away."""
        if not self._has_bucket:
            try:
                await self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status == HTTPStatus.NOT_FOUND:
                    await self._create_bucket()
                elif status != HTTPStatus.FORBIDDEN:  # it is there, and we may not list it: no need to
                    raise
            self._has_bucket = True

    async def _upload(self, file: IO[bytes], key: str, content_type: str) -> None:
        file.seek(0)
        await self._client.upload_fileobj(file, self._bucket, key, ExtraArgs={"ContentType": content_type})

    async def _create_bucket(self) -> None:
        region: Any = self._client.meta.region_name
        # us-east-1 is where a bucket is made that names no place, and the one place that cannot be named.
        place: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        await self._client.create_bucket(Bucket=self._bucket, **place)


def signing_secret(home: Path) -> bytes:
    """Return the secret of this home's signed URLs, made at the first call."""
    return kept_secret(home / _KEY_FILE, lambda: secrets.token_hex(32)).encode()


async def _write(file: IO[bytes], content: AsyncIterator[bytes]) -> Stored:
    digest = hashlib.sha256()
    size = 0
    async for chunk in content:
        digest.update(chunk)
        size += len(chunk)
        await asyncio.to_thread(file.write, chunk)
    await asyncio.to_thread(file.flush)
    return Stored(size, digest.hexdigest())


@contextmanager
def _translated() -> "Iterator[None]":
    try:
        yield
    except (BotoCoreError, ClientError, TimeoutError, OSError) as error:
        raise StorageUnavailable("The asset storage does not answer, or refuses for now.") from error
