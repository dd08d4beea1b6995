"""OpenAI's SDK as its providers use it: it tries nothing twice by itself, and its errors become ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import httpx2
from openai import APIConnectionError, APIResponseValidationError, APIStatusError, AsyncOpenAI

from worker.providers.refusals import RenderNotFound, ServiceRefused, meaning, nonsense, silence, whole_download
from worker.providers.rendering import bounded

_CHUNK: Final = 64 * 1024


class OpenAiService:
    """One server that speaks OpenAI's protocol.

    Args:
        name: of the provider.
        key: for the server; where it wants none, any text.
        base_url: of its API; None for OpenAI's own.
        patience: how long one answer may take to begin, or to go on.
    """

    def __init__(self, name: str, *, key: str, base_url: str | None, patience: timedelta) -> None:
        self.name = name
        self._key = key
        # A retry of a request that creates something buys it twice; what may be repeated, the providers repeat.
        self.client = AsyncOpenAI(
            api_key=key,
            base_url=base_url or "https://api.openai.com/v1",
            max_retries=0,
            timeout=httpx2.Timeout(patience.total_seconds(), connect=min(patience.total_seconds(), 10.0)),
        )

    @contextmanager
    def asked(self, *, about_render: bool = False) -> Iterator[None]:
        """Turn the SDK's errors into ours. What it raised holds our key, so that is not told any further.

        Raises:
            PassingError, PermanentError: what the server refused with, or that it did not answer.
            RenderNotFound: it does not know the render that it was asked about.
        """
        try:
            yield
        except APIStatusError as error:
            if about_render and error.status_code == HTTPStatus.NOT_FOUND:
                raise RenderNotFound from None
            raise meaning(self.name, self._refusal(error), self._key) from None
        except APIConnectionError:
            raise silence(self.name) from None
        except (ValueError, AttributeError, APIResponseValidationError):
            raise nonsense(self.name) from None

    async def download(
        self, request: AbstractAsyncContextManager[Any], *, about_render: bool = False
    ) -> AsyncIterator[bytes]:
        """Begin a download by one of the SDK's streaming calls; returns its bytes, as they come."""
        stack = AsyncExitStack()
        with self.asked(about_render=about_render):
            response = await stack.enter_async_context(request)

        async def chunks() -> AsyncIterator[bytes]:
            async with stack:
                with whole_download(self.name, httpx2.HTTPError):
                    async for chunk in bounded(response.iter_bytes(_CHUNK), self.name):
                        yield chunk

        return chunks()

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    def _refusal(self, error: APIStatusError) -> ServiceRefused:
        body = error.body if isinstance(error.body, dict) else {}
        message = str(body.get("message") or "")
        return ServiceRefused(error.status_code, error.code or error.type, message, error.response.headers)
