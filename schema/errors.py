"""From our errors to the codes that clients see. What is not in the table leaves as INTERNAL with an id."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import uuid4

import structlog
from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import MaskErrors
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from schema.input_errors import Path, find_paths
from services.errors import (
    AssetNotFound,
    Forbidden,
    IdempotencyConflict,
    IllegalTransition,
    InvalidInput,
    JobNotFound,
    LorekeeperError,
    PurgeForbidden,
    QueueNotFound,
    TooManyConnections,
    TooManyMutations,
    Unauthenticated,
    Unavailable,
    WorldNotFound,
)

CODES: Final[Mapping[type[LorekeeperError], str]] = {
    InvalidInput: "BAD_USER_INPUT",
    JobNotFound: "NOT_FOUND",
    AssetNotFound: "NOT_FOUND",
    QueueNotFound: "NOT_FOUND",
    WorldNotFound: "NOT_FOUND",
    Unauthenticated: "UNAUTHENTICATED",
    Forbidden: "FORBIDDEN",
    PurgeForbidden: "FORBIDDEN",
    IllegalTransition: "CONFLICT",
    IdempotencyConflict: "CONFLICT",
    TooManyConnections: "RATE_LIMITED",
    TooManyMutations: "RATE_LIMITED",
    Unavailable: "UNAVAILABLE",
}

_REQUEST_ERRORS: Final = (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError)
"""Strawberry's own, for what it refuses to execute on a stream."""

_BAD_INPUT: Final[dict[str, Any]] = {"code": "BAD_USER_INPUT"}

log = structlog.get_logger(__name__)


def code_of(error: LorekeeperError) -> str | None:
    """Return the code of an error, by its class or the nearest of its bases."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), None)


class CodedErrors(MaskErrors):
    """Gives every error its `extensions.code`, on every transport; hides what is not meant for clients."""

    def _process_errors(self, errors: list[GraphQLError]) -> list[GraphQLError]:
        """Return the errors as they may leave, those about an argument with its path."""
        context: Any = self.execution_context
        if all(error.path is not None for error in errors):
            return coded(errors)  # the operation was executed
        paths = find_paths(errors, context.schema._schema, context.graphql_document, context.variables)  # noqa: SLF001 - graphql-core's
        return [_coded(error, path) for error, path in zip(errors, paths, strict=True)]


def coded(errors: Iterable[GraphQLError]) -> list[GraphQLError]:
    """Return errors as they may leave."""
    return [_coded(error) for error in errors]


def _coded(error: GraphQLError, path: Path | None = None) -> GraphQLError:
    # What a scalar raises where it does not take a value is no fault of ours.
    message, extensions = _told(error) if path is None else (error.message, _BAD_INPUT | {"path": list(path)})
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )


def _told(error: GraphQLError) -> tuple[str, dict[str, Any]]:
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    if cause is None or isinstance(cause, _REQUEST_ERRORS):
        # GraphQL's own: the document or its variables do not fit the schema, or the transport.
        return error.message, _BAD_INPUT | (error.extensions or {})
    code = code_of(cause) if isinstance(cause, LorekeeperError) else None
    if code is None:
        log_id = uuid4().hex
        log.error("graphql.internal", log_id=log_id, path=error.path, exc_info=cause)
        return f"Something went wrong on our side (log id {log_id}).", {"code": "INTERNAL", "logId": log_id}
    if isinstance(cause, InvalidInput):
        return str(cause), {"code": code, "path": list(cause.path)}
    if isinstance(cause, TooManyMutations):
        return str(cause), {"code": code, "retryAfterSeconds": cause.retry_after.total_seconds()}
    if isinstance(cause, Unavailable):
        log.warning("graphql.unavailable", path=error.path, error=str(cause), cause=repr(cause.__cause__))
    return str(cause), {"code": code}
