"""Bringing the database's tables to the revision that this code was written for."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.database import Database, asyncpg_url
from services.errors import ConfigurationError, DatabaseUnavailable

_SCRIPTS: Final = Path(__file__).resolve().parents[1] / "migrations"
_LOCK: Final = 0x6D696772  # "migr"
_POLL: Final = timedelta(milliseconds=200)


async def wait_for_database(database: Database, *, patience: timedelta) -> None:
    """Return as soon as PostgreSQL answers.

    Raises:
        DatabaseUnavailable: it did not for so long.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total_seconds()
    while True:
        try:
            return await database.ping()
        except DatabaseUnavailable as error:
            if loop.time() > deadline:
                raise DatabaseUnavailable(
                    f"PostgreSQL at DATABASE_URL did not answer for {patience.total_seconds():g} s: "
                    f"{error.__cause__}"
                ) from error
        await asyncio.sleep(_POLL.total_seconds())


async def migrate(url: str) -> None:
    """Apply what is missing. Processes that start together wait for each other."""
    engine = create_async_engine(asyncpg_url(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            # Another process may be migrating now; a table may be in use. Neither takes for ever.
            await connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


async def require_current(database: Database) -> None:
    """Return if the tables are those of this code.

    Raises:
        ConfigurationError: they are not.
    """
    async with database.connect() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    wanted = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    if current != wanted:
        raise ConfigurationError(
            f"DATABASE_URL: the tables are at revision {current}, this code needs {wanted}: "
            "run `python server.py migrate`"
        )


def alembic_config() -> Config:
    """Return Alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def _upgrade(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
