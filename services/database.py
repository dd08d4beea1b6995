"""Connections to PostgreSQL: one pool a process, a deadline on every wait, errors translated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import orjson
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi as _driver
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.backoff import delay
from services.errors import DatabaseUnavailable

_PASSING_CLASSES: Final = frozenset({"08", "53", "57", "58"})
"""SQLSTATE classes that say the server cannot serve now: connection, resources, operator, system error."""
_PASSING_STATES: Final = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the same statement may succeed when sent again."""
_PAUSE_BASE: Final = timedelta(milliseconds=200)
_PAUSE_MOST: Final = timedelta(seconds=2)
_MISUSE: Final = (
    _driver.DataError,
    _driver.ProgrammingError,
    _driver.NotSupportedError,
    _driver.IntegrityError,
)
"""What the driver raises, without a SQLSTATE, when we use it wrongly."""


class Database:
    """A pool of connections.

    Args:
        url: `postgresql://…`, any driver suffix; `sslmode` is understood.
        timeout: the longest that connecting or one statement may take.
        pool_size: connections kept, and at the most open.
        name: shown in `pg_stat_activity`.
    """

    def __init__(self, url: str, *, timeout: timedelta, pool_size: int = 10, name: str = "lorekeeper") -> None:
        self._engine = _engine(url, timeout, pool_size, name)
        self._transactional = self._engine.execution_options(isolation_level="READ COMMITTED")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection in autocommit: each statement is its own transaction, in one round trip.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer in time, or says that it cannot serve now.
        """
        with _translated():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection inside a transaction that commits when the block ends well.

        Raises:
            DatabaseUnavailable: as `connect`.
        """
        with _translated():
            async with self._transactional.begin() as connection:
                yield connection

    async def ping(self) -> None:
        """Return when PostgreSQL answers.

        Raises:
            DatabaseUnavailable: it does not.
        """
        async with self.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def pause(failures: int) -> None:
    """Wait before PostgreSQL is asked again, after so many failures in a row."""
    await asyncio.sleep(delay(failures, base=_PAUSE_BASE, most=_PAUSE_MOST).total_seconds())


def asyncpg_url(url: str) -> URL:
    """Return the URL with the driver that we use, and libpq's `sslmode` as that driver spells it."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    if "sslmode" in parsed.query:
        mode = parsed.query["sslmode"]
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return parsed


def _engine(url: str, timeout: timedelta, pool_size: int, name: str) -> AsyncEngine:
    seconds = timeout.total_seconds()
    engine = create_async_engine(
        asyncpg_url(url),
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # inputs of clients do not belong into logs
        pool_timeout=seconds,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": seconds,
            "command_timeout": seconds,
            # The server gives up a little later than the client, so that it never works for nobody for long.
            "server_settings": {
                "application_name": name,
                "timezone": "UTC",
                "statement_timeout": str(round(seconds * 1000) + 500),
            },
        },
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401
        # After a restart of the server the pool holds closed sockets. Asking the driver costs no round trip,
        # and the pool opens another connection instead of failing the caller's first statement.
        if dbapi_connection.driver_connection.is_closed():
            raise DisconnectionError

    return engine


class _translated:  # noqa: N801 - reads as a phrase where it is used
    """Turns the driver's errors into ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception) and _is_passing(error):
            raise DatabaseUnavailable("PostgreSQL does not answer.") from error


def _is_passing(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if state is not None:
            return state in _PASSING_STATES or state[:2] in _PASSING_CLASSES
        # Without a SQLSTATE the server never answered: the driver lost or never had the connection.
        return error.connection_invalidated or not isinstance(error.orig, _MISUSE)
    return isinstance(error, OSError | TimeoutError | PoolTimeoutError | asyncio.TimeoutError)
