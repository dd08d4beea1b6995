"""One call of a webhook: a POST to an address that was checked, and what came of it.

The check is made where the socket is made, with the address that this socket is about to connect to. So there is
no second resolution that could answer differently, and no form of a literal that only one of two parsers knows.
TLS and the header `Host` keep to the name. A redirect is an answer like any other: it is not followed.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from aiohttp import (
    AddrInfoType,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientOSError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    ServerDisconnectedError,
    TCPConnector,
    ThreadedResolver,
)

from services.backoff import read_retry_after
from worker.addresses import is_public

_HEADERS: Final = {"User-Agent": "lorekeeper-webhooks", "Content-Type": "application/json", "Accept": "*/*"}
_READ_AHEAD: Final = 4096
"""Bytes of a response's body that may come with its headers. None of them is looked at."""
_PRIVATE: Final = "The address is not public."


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call.

    Attributes:
        took: how long it took.
        status_code: the answer's, if there was one.
        retry_after: how long its target asks to be left alone, if it does.
        error: why there was no answer, for a person; tells nothing of our network.
    """

    took: timedelta
    status_code: int | None = None
    retry_after: timedelta | None = None
    error: str | None = None


class Caller:
    """Calls webhooks.

    Args:
        session: from `open_caller`.
        deadline: the longest that a call may take, from the resolution of the name to the headers of the answer.
    """

    def __init__(self, session: ClientSession, deadline: timedelta) -> None:
        self._session = session
        self._deadline = deadline

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a body; never fails."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        status_code, retry_after, error = None, None, None
        try:
            async with (
                asyncio.timeout(self._deadline.total_seconds()),
                self._session.post(
                    url, data=body, headers={**_HEADERS, **headers}, allow_redirects=False
                ) as answer,
            ):
                status_code = answer.status
                retry_after = read_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
                answer.close()  # its body is not ours to read, however long it is
        except TimeoutError:
            error = f"No answer within {self._deadline.total_seconds():g} s."
        except (ClientError, OSError, ValueError, RuntimeError) as failure:  # uvloop's sockets raise RuntimeErrors
            error = _reason(failure)
        took = timedelta(seconds=loop.time() - started_at)
        return Answer(took, status_code, retry_after, error if status_code is None else None)


@asynccontextmanager
async def open_caller(*, deadline: timedelta, allow_private: bool) -> AsyncIterator[Caller]:
    """Open what webhooks are called with. It keeps no connection, no cookie and no name, and knows no proxy."""
    connector = TCPConnector(
        ssl=ssl.create_default_context(),
        resolver=ThreadedResolver(),
        use_dns_cache=False,
        force_close=True,
        limit=0,  # the sender's concurrency is the limit
        socket_factory=_any_socket if allow_private else _public_socket,
    )
    async with ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=None),
        read_bufsize=_READ_AHEAD,
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield Caller(session, deadline)


class _NotPublic(OSError):
    """What stands for a failed connection where none was tried."""


def _any_socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    return socket.socket(family, kind, protocol)


def _public_socket(address: AddrInfoType) -> socket.socket:
    if not is_public(str(address[4][0])):
        raise _NotPublic(_PRIVATE)
    return _any_socket(address)


_REASONS: Final[Mapping[type[Exception], str]] = {
    ClientConnectorDNSError: "The name cannot be resolved.",
    ClientSSLError: "TLS failed: there is none, or the certificate is not valid for this name.",
    ClientConnectorError: "No connection.",
    ServerDisconnectedError: "The connection ended before the answer.",
    ClientOSError: "The connection ended before the answer.",
    InvalidURL: "The URL cannot be called.",
    ValueError: "The URL cannot be called.",
    ClientError: "The answer was not HTTP.",
}
"""In words that tell nothing of our network; the first that fits counts."""


def _reason(failure: Exception) -> str:
    if isinstance(failure, ClientConnectorError) and isinstance(failure.os_error, _NotPublic):
        return _PRIVATE
    return next((reason for kind, reason in _REASONS.items() if isinstance(failure, kind)), "No connection.")


def phrase(status_code: int) -> str:
    """Return a status code in words."""
    try:
        return f"{status_code} {HTTPStatus(status_code).phrase}"
    except ValueError:
        return str(status_code)
