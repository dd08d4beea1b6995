"""The provider `replicate`: any model that its service runs."""

import asyncio
import base64
import binascii
import mimetypes
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from replicate.client import Client

from services.catalog import ProviderSpec
from services.errors import PassingError, PermanentError
from services.models import AssetType
from services.service_catalog import REPLICATE
from worker.providers.protocol import Content, Order, Progress
from worker.providers.refusals import (
    RenderNotFound,
    ServiceRefused,
    is_about_policy,
    meaning,
    nonsense,
    silence,
    told,
    whole_download,
)
from worker.providers.rendering import Look, Stage, bounded, render, still_there

PATIENCE: Final = timedelta(seconds=60)
_CHUNK: Final = 64 * 1024
_STAGES: Final = {
    "starting": Stage.RUNNING,
    "processing": Stage.RUNNING,
    "succeeded": Stage.DONE,
    "failed": Stage.FAILED,
    "canceled": Stage.FAILED,
    "aborted": Stage.FAILED,
}
_KINDS: Final = {
    AssetType.IMAGE: "image/",
    AssetType.MAP: "image/",
    AssetType.AUDIO: "audio/",
    AssetType.VIDEO: "video/",
    AssetType.PDF: "application/pdf",
}


class ReplicateProvider:
    """Asks for a prediction, follows it, and downloads the first file of its output.

    Args:
        token: for the service.
        base_url: of its API; None for its own.
        patience: how long one answer may take to begin, or to go on.
        wait: before the second look at a prediction; the waits grow from there.
    """

    name = "replicate"

    def __init__(
        self,
        *,
        token: str,
        base_url: str | None = None,
        patience: timedelta = PATIENCE,
        wait: timedelta = timedelta(seconds=1),
    ) -> None:
        self._token = token
        self._patience_s = patience.total_seconds()
        self._wait = wait
        timeout = httpx.Timeout(patience.total_seconds(), connect=min(patience.total_seconds(), 10.0))
        # Its own errors leave out the headers, and with them how long to wait.
        self._client = Client(token, base_url=base_url, timeout=timeout, event_hooks={"response": [_refuse]})
        # Files lie with others, to whom our token is nothing to be told.
        self._files = httpx.AsyncClient(timeout=timeout, follow_redirects=True)

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""
        return REPLICATE

    async def generate(self, order: Order, progress: Progress) -> Content:
        """Run a model."""
        _, output = await render(order, progress, self, self._wait)
        address = _first_file(output)
        if address is None:
            raise PermanentError("WRONG_CONTENT", f"{order.model_id} made no file.")
        async with still_there(order, self.name):
            content_type, chunks = await self._download(address)
        if not content_type.startswith(_KINDS[order.asset_type]):
            raise PermanentError(
                "WRONG_CONTENT", f"{order.model_id} made {content_type[:100]!r}, and not {order.asset_type}."
            )
        suffix = (mimetypes.guess_extension(content_type) or ".bin").removeprefix(".")
        return Content(suffix, content_type, chunks, {"model": order.model_id})

    async def begin(self, order: Order) -> str:
        """Ask for a prediction."""
        model, _, version = (order.model_id or "").partition(":")
        wanted: dict[str, Any] = {"version": version} if version else {"model": model}
        # Here the SDK takes the deadline of its client away, which is meant for models that it waits for.
        with self._asked():
            async with asyncio.timeout(self._patience_s):
                prediction = await self._client.predictions.async_create(
                    input=order.prompt_spec["input"], wait=False, **wanted
                )
        return prediction.id

    async def cancel(self, handle: str) -> None:
        """Cancel a prediction."""
        with suppress(RenderNotFound), self._asked(about_render=True):
            await self._client.predictions.async_cancel(handle)

    async def close(self) -> None:
        """Close the connections."""
        await self._client._async_client.aclose()  # noqa: SLF001 - the SDK has no other way
        await self._files.aclose()

    async def look(self, handle: str) -> Look:
        """Ask how far a prediction is."""
        with self._asked(about_render=True):
            prediction = await self._client.predictions.async_get(handle)
        state = str(prediction.status)
        fraction = prediction.progress.percentage if prediction.progress else None
        error: PassingError | PermanentError | None = None
        if prediction.error:
            words = told(str(prediction.error), self._token)
            error = PassingError("RENDER_FAILED", f"replicate could not make this: {words}")
            if is_about_policy(words):
                error = PermanentError("CONTENT_POLICY", f"replicate does not make this: {words}")
        return Look(_STAGES.get(state, Stage.UNKNOWN), state, fraction, prediction.output, error)

    async def _download(self, address: str) -> tuple[str, AsyncIterator[bytes]]:
        """Begin a download; returns its media type, and its bytes as they come."""
        if address.startswith("data:"):
            return _decoded(address)
        stack = AsyncExitStack()
        try:
            response = await stack.enter_async_context(self._files.stream("GET", address))
        except httpx.HTTPError:
            raise silence("replicate") from None
        if response.status_code != HTTPStatus.OK:
            await stack.aclose()
            if response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
                raise RenderNotFound
            raise meaning("replicate", ServiceRefused(response.status_code, None, "", response.headers))

        async def chunks() -> AsyncIterator[bytes]:
            async with stack:
                with whole_download("replicate", httpx.HTTPError):
                    async for chunk in bounded(response.aiter_bytes(_CHUNK), "replicate"):
                        yield chunk

        named = response.headers.get("content-type", "").partition(";")[0].strip()
        guessed, _ = mimetypes.guess_type(urlsplit(address).path)
        return (guessed if named in {"", "application/octet-stream"} and guessed else named), chunks()

    @contextmanager
    def _asked(self, *, about_render: bool = False) -> Iterator[None]:
        """Turn the SDK's errors into ours. What it raised may hold our token, so that is not told any further.

        Raises:
            PassingError, PermanentError: what the service refused with, or that it did not answer.
            RenderNotFound: it does not know the prediction that it was asked about.
        """
        try:
            yield
        except ServiceRefused as refusal:
            if about_render and refusal.status == HTTPStatus.NOT_FOUND:
                raise RenderNotFound from None
            raise meaning("replicate", refusal, self._token) from None
        except (httpx.HTTPError, TimeoutError):
            raise silence("replicate") from None
        except ValueError:  # also a state that the SDK does not know
            raise nonsense("replicate") from None


async def _refuse(response: httpx.Response) -> None:
    """Raise what an answer refuses with (RFC 7807 is how the service says it)."""
    if response.is_error:
        await response.aread()
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        if not isinstance(problem, dict):
            problem = {}
        message = str(problem.get("detail") or problem.get("title") or "")
        # It knows models by its addresses: where one is missing, the service itself is still there.
        code = "model" if "/models/" in response.url.path else None
        raise ServiceRefused(response.status_code, code, message, response.headers)


def _first_file(output: Any) -> str | None:  # noqa: ANN401 - each model's own
    """Return the address of the first file in a model's output."""
    if isinstance(output, str):
        return output if output.startswith(("https://", "http://", "data:")) else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, list) else ()
    return next((found for part in parts if (found := _first_file(part)) is not None), None)


def _decoded(address: str) -> tuple[str, AsyncIterator[bytes]]:
    """Return the media type and the bytes of a `data:` URL in base64 (RFC 2397)."""
    head, _, body = address.removeprefix("data:").partition(",")
    try:
        data = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise PermanentError("WRONG_CONTENT", "replicate gave a file that cannot be read.") from error

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return head.partition(";")[0], chunks()
