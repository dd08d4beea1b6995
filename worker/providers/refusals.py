"""What the answers of external services mean for a job: errors that pass, and errors that do not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

import structlog

from services.backoff import read_retry_after
from services.errors import GenerationError, PassingError, PermanentError

_POLICY_WORDS: Final = ("content_policy", "moderation", "safety", "nsfw", "sensitive")
_REQUEST_IDS: Final = ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray")
_MOST_TOLD: Final = 300

_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})
_UNAUTHORIZED: Final = ("PROVIDER_UNAUTHORIZED", "does not let us do this with our key")
_GONE: Final = ("PROVIDER_GONE", "does not offer this service (any more)")
_REFUSED: Final = ("PROVIDER_REFUSED", "does not accept this")
_PERMANENT: Final[Mapping[int, tuple[str, str]]] = {
    HTTPStatus.UNAUTHORIZED: _UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: _UNAUTHORIZED,
    HTTPStatus.NOT_FOUND: _GONE,
    HTTPStatus.GONE: _GONE,
}

log = structlog.get_logger(__name__)


class ServiceRefused(Exception):
    """A service answered with an error.

    Args:
        status: of HTTP.
        code: the service's own.
        message: the service's words.
        headers: of the answer.
    """

    def __init__(self, status: int, code: str | None, message: str, headers: Mapping[str, str]) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        super().__init__(f"{status} {code}")


class RenderNotFound(Exception):
    """A service does not know the render that it was asked for."""


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the id by which a service finds a request in its own logs."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def is_about_policy(*words: str | None) -> bool:
    """Whether a refusal is about what was asked for rather than how."""
    return any(sign in word.lower() for word in words if word for sign in _POLICY_WORDS)


def told(message: str, *secrets: str) -> str:
    """Return a service's words as they may be shown: no key of ours in them, and not too many."""
    for secret in secrets:
        message = message.replace(secret, "…")
    return message[:_MOST_TOLD]


def meaning(service: str, refusal: ServiceRefused, *secrets: str) -> GenerationError:
    """Return what a refusal means for the job; logs it with the service's id of the request."""
    log.warning(
        "service.refused",
        service=service,
        status=refusal.status,
        code=refusal.code,
        request_id=request_id(refusal.headers),
    )
    words = told(refusal.message, *secrets)
    wait = read_retry_after(refusal.headers.get("retry-after"), datetime.now(UTC)) or timedelta()
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        return PassingError("RATE_LIMITED", f"{service} asks us to wait.", wait)
    if refusal.status in _PASSING or refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return PassingError("PROVIDER_UNAVAILABLE", f"{service} fails at the moment ({refusal.status}).", wait)
    if is_about_policy(refusal.code, refusal.message):
        return PermanentError("CONTENT_POLICY", f"{service} does not make this: {words}")
    code, meant = _PERMANENT.get(refusal.status, _REFUSED)
    if refusal.status == HTTPStatus.NOT_FOUND and "model" in (refusal.code or ""):
        code, meant = _REFUSED  # the service is there, the model is not
    if code == "PROVIDER_UNAUTHORIZED" or not words:  # a service that names the key may name much of it
        return PermanentError(code, f"{service} {meant}.")
    return PermanentError(code, f"{service} {meant}: {words}")


def silence(service: str) -> PassingError:
    """Return what no answer means for the job."""
    return PassingError("PROVIDER_UNAVAILABLE", f"{service} does not answer.")


def nonsense(service: str) -> PermanentError:
    """Return what an answer means for the job that the service's own SDK does not understand."""
    return PermanentError("PROVIDER_UNKNOWN_STATE", f"{service} answers with what its SDK does not understand.")


@contextmanager
def whole_download(service: str, *broken: type[Exception]) -> Iterator[None]:
    """Turn what a download breaks off with into an error that passes."""
    try:
        yield
    except broken as error:
        raise PassingError("DOWNLOAD_TRUNCATED", f"A download from {service} broke off.") from error
