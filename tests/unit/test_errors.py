"""What clients see of an error: a code for each that we raise on purpose, nothing of any other."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
import strawberry
from strawberry.types import ExecutionResult

from schema.errors import CODES, CodedErrors, code_of
from services import errors
from services.errors import (
    AssetNotFound,
    ConfigurationError,
    DatabaseUnavailable,
    EventsUnavailable,
    Forbidden,
    GenerationError,
    IdempotencyConflict,
    IllegalTransition,
    InvalidInput,
    JobNotFound,
    KeysUnavailable,
    LeaseHeld,
    LeaseLost,
    LorekeeperError,
    NotDue,
    PassingError,
    PermanentError,
    PurgeForbidden,
    QueueNotFound,
    QueueUnavailable,
    StorageUnavailable,
    TooManyConnections,
    TooManyMutations,
    Unauthenticated,
    Unavailable,
    WorldNotFound,
)

WITHIN: Final[dict[type[LorekeeperError], str]] = {
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
    DatabaseUnavailable: "UNAVAILABLE",
    QueueUnavailable: "UNAVAILABLE",
    EventsUnavailable: "UNAVAILABLE",
    StorageUnavailable: "UNAVAILABLE",
    KeysUnavailable: "UNAVAILABLE",
}
BEYOND: Final = {
    LorekeeperError,
    LeaseLost,
    LeaseHeld,
    NotDue,
    ConfigurationError,
    GenerationError,
    PassingError,
    PermanentError,
}
"""What workers and the start-up raise. No resolver does, and if one did it would be a fault of ours."""
PUBLIC_CODES: Final = {
    "BAD_USER_INPUT",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "NOT_FOUND",
    "CONFLICT",
    "RATE_LIMITED",
    "UNAVAILABLE",
    "INTERNAL",
}
SECRET: Final = "postgresql://user:p4ssw0rd@db.internal/lore"


def kinds(kind: type[LorekeeperError] = LorekeeperError) -> Iterator[type[LorekeeperError]]:
    yield kind
    for inner in kind.__subclasses__():
        if inner.__module__ == errors.__name__:
            yield from kinds(inner)


def an_error(kind: type[LorekeeperError]) -> LorekeeperError:
    if issubclass(kind, InvalidInput):
        return kind(["input", "references", 3], "is wrong")
    if issubclass(kind, TooManyMutations):
        return kind("what happened", retry_after=timedelta(seconds=1.5))
    if issubclass(kind, GenerationError):
        return kind("CODE", SECRET)
    return kind("what happened")


@strawberry.type
class Query:
    @strawberry.field
    async def fail(self, info: strawberry.Info) -> int:
        raise info.context

    @strawberry.field
    def fail_at_once(self, info: strawberry.Info) -> int:
        raise info.context

    @strawberry.field
    def maybe(self, info: strawberry.Info) -> int | None:
        raise info.context

    @strawberry.field
    def fine(self) -> int:
        return 1


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def before(self, info: strawberry.Info) -> AsyncGenerator[int, None]:
        raise info.context
        yield 1

    @strawberry.subscription
    async def after(self, info: strawberry.Info) -> AsyncGenerator[int, None]:
        yield 1
        await asyncio.sleep(0)
        raise info.context

    @strawberry.subscription
    async def inside(self) -> AsyncGenerator[Query, None]:
        yield Query()


SCHEMA: Final = strawberry.Schema(Query, subscription=Subscription, extensions=[CodedErrors])


async def answer(document: str, error: BaseException | None) -> ExecutionResult:
    """Return the answer of a query, or the last item of a subscription."""
    if not document.startswith("subscription"):
        return await SCHEMA.execute(document, context_value=error)
    items = [item async for item in await SCHEMA.subscribe(document, context_value=error)]
    last = items[-1]
    assert isinstance(last, ExecutionResult)
    return last


async def the_error(document: str, error: BaseException | None) -> dict[str, Any]:
    told_of = (await answer(document, error)).errors
    assert told_of is not None
    (told,) = told_of
    return dict(told.formatted)


WAYS: Final = [
    "{ fail }",
    "{ failAtOnce }",
    "{ maybe fine }",
    "subscription { before }",
    "subscription { after }",
    "subscription { inside { fail } }",
]


def test_every_error_is_known_to_come_from_resolvers_or_not_to() -> None:
    assert set(kinds()) == WITHIN.keys() | BEYOND


@pytest.mark.parametrize("kind", WITHIN)
def test_every_error_of_a_resolver_has_its_code(kind: type[LorekeeperError]) -> None:
    assert code_of(an_error(kind)) == WITHIN[kind]


@pytest.mark.parametrize("kind", sorted(BEYOND, key=str))
def test_an_error_of_workers_has_no_code(kind: type[LorekeeperError]) -> None:
    assert code_of(an_error(kind)) is None


def test_all_codes_are_those_that_clients_know() -> None:
    assert set(CODES.values()) <= PUBLIC_CODES


@pytest.mark.parametrize("kind", WITHIN)
@pytest.mark.parametrize("document", WAYS)
async def test_an_error_on_purpose_leaves_with_its_code_and_message(
    document: str, kind: type[LorekeeperError]
) -> None:
    error = an_error(kind)
    told = await the_error(document, error)
    assert told["message"] == str(error)
    expected: dict[str, Any] = {"code": WITHIN[kind]}
    if kind is InvalidInput:
        expected["path"] = ["input", "references", 3]
    if kind is TooManyMutations:
        expected["retryAfterSeconds"] = 1.5
    assert told["extensions"] == expected


@pytest.mark.parametrize(
    "error",
    [ValueError(SECRET), KeyError(SECRET), PermanentError("CODE", SECRET), LeaseLost(SECRET)],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("document", WAYS)
async def test_any_other_error_leaves_as_internal_with_an_id_and_without_its_text(
    document: str, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    told = await the_error(document, error)
    assert "p4ssw0rd" not in str(told)
    assert type(error).__name__ not in str(told)
    assert told["extensions"]["code"] == "INTERNAL"
    log_id = told["extensions"]["logId"]
    assert log_id in told["message"]
    # Whoever runs the server finds all of it by that id.
    log = capsys.readouterr().out
    assert log_id in log
    assert type(error).__name__ in log


async def test_every_internal_error_has_an_id_of_its_own() -> None:
    told = [await the_error("{ fail }", ValueError(SECRET)) for _ in range(2)]
    assert told[0]["extensions"]["logId"] != told[1]["extensions"]["logId"]


async def test_where_an_error_happened_is_told() -> None:
    told = await the_error("{ maybe fine }", JobNotFound("none"))
    assert told["path"] == ["maybe"]
    assert told["locations"] == [{"line": 1, "column": 3}]


async def test_what_did_not_fail_is_answered() -> None:
    assert (await answer("{ maybe fine }", ValueError(SECRET))).data == {"maybe": None, "fine": 1}


@pytest.mark.parametrize("document", ["{ unknown }", "{ fine(argument: 1) }", "{", "query($x: Int!) { fine }"])
async def test_a_document_that_does_not_fit_is_the_users_fault(document: str) -> None:
    told = await the_error(document, None)
    assert told["extensions"]["code"] == "BAD_USER_INPUT"


def test_passing_errors_and_no_others_say_that_they_may_pass() -> None:
    passing = {kind for kind in kinds() if kind.retryable}
    assert passing == {kind for kind in kinds() if issubclass(kind, Unavailable | PassingError | TooManyMutations)}
