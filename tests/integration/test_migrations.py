"""The migrations: they make exactly the tables of the models, from nothing, back and again, however often."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.database import Database, asyncpg_url
from services.errors import ConfigurationError
from services.lifecycle import Event, JobStatus
from services.local_stack import Endpoint, Part
from services.migrating import alembic_config, migrate, require_current
from services.models import AssetStatus, AssetType, Job, WebhookStatus, Xid8

ENUMS: Final[Mapping[str, type[StrEnum]]] = {
    "job_status": JobStatus,
    "job_event": Event,
    "asset_type": AssetType,
    "asset_status": AssetStatus,
    "webhook_status": WebhookStatus,
}
CHECKS: Final = text("""
SELECT conrelid::regclass::text AS of, conname AS name, pg_get_constraintdef(oid) AS rule
FROM pg_constraint WHERE contype IN ('c', 'f', 'p', 'u') AND connamespace = 'public'::regnamespace
ORDER BY 1, 2
""")
INDEXES: Final = text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
DEFAULTS: Final = text("""
SELECT table_name, column_name, column_default, is_identity, identity_generation, udt_name, is_nullable
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
""")
LEFT_BEHIND: Final = text("""
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
""")


async def _in_database(url: str, action: Callable[[Connection], Any]) -> Any:
    engine = create_async_engine(asyncpg_url(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(action)
    finally:
        await engine.dispose()


@pytest.fixture
async def empty_url(stack: Mapping[Part, Endpoint]) -> AsyncIterator[str]:
    """Make a database without any table."""
    owner, name = stack[Part.POSTGRES].url, f"empty_{uuid4().hex}"
    engine = create_async_engine(asyncpg_url(owner), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}" STRATEGY file_copy'))
        yield make_url(owner).set(database=name).render_as_string(hide_password=False)
        await connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await engine.dispose()


def _described(connection: Connection) -> dict[str, list[Any]]:
    """Return all that PostgreSQL knows of our tables, but for the order of columns and Alembic's own table."""
    answers = {}
    for name, question in {"checks": CHECKS, "indexes": INDEXES, "columns": DEFAULTS}.items():
        rows = [tuple(row) for row in connection.execute(question)]
        answers[name] = [row for row in rows if not row[0].startswith("alembic_version")]
    return answers


async def test_a_migrated_database_has_nothing_that_autogenerate_would_change(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ischema_names, "xid8", Xid8)  # SQLAlchemy has no such type of its own

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, Job.metadata))

    assert await _in_database(database_url, differences) == []


async def test_migrations_make_the_constraints_indexes_and_defaults_of_the_models(
    database_url: str, empty_url: str
) -> None:
    # Autogenerate does not look at checks, at the conditions of indexes, or at identity columns.
    await _in_database(empty_url, Job.metadata.create_all)
    assert await _in_database(database_url, _described) == await _in_database(empty_url, _described)


async def test_the_enums_of_the_database_are_those_of_python(database_url: str) -> None:
    question = text("""
        SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
        FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid GROUP BY 1
    """)
    found = await _in_database(
        database_url, lambda connection: {row[0]: row[1] for row in connection.execute(question)}
    )
    assert found == {name: [member.value for member in kind] for name, kind in ENUMS.items()}


async def test_a_downgrade_to_base_leaves_nothing_and_an_upgrade_brings_all_back(database_url: str) -> None:
    before = await _in_database(database_url, _described)

    def down(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    await _in_database(database_url, down)
    left = await _in_database(database_url, lambda connection: set(connection.scalars(LEFT_BEHIND)))
    assert {name for name in left if "alembic_version" not in name} == set()

    await migrate(database_url)
    assert await _in_database(database_url, _described) == before


def test_there_is_one_head_and_one_way_to_it() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
    assert not any(revision.is_branch_point for revision in scripts.walk_revisions())


async def test_migrating_again_changes_nothing_and_keeps_the_rows(database_url: str) -> None:
    def insert(connection: Connection) -> None:
        connection.execute(
            text("""
                INSERT INTO jobs (id, type, world_id, asset_type, provider, status, seq, attempt, max_attempts,
                                  fencing_token, priority, requested_by, input_hash, send_count)
                VALUES (gen_random_uuid(), 'ASSET_GENERATION', 'w', 'IMAGE', 'local', 'QUEUED', 1, 0, 3, 0, 5,
                        'somebody', 'hash', 0)
            """)
        )

    await _in_database(database_url, insert)
    before = await _in_database(database_url, _described)
    await migrate(database_url)
    await migrate(database_url)
    assert await _in_database(database_url, _described) == before
    count = text("SELECT count(*) FROM jobs")
    assert await _in_database(database_url, lambda connection: connection.scalar(count)) == 1


async def test_processes_that_start_together_migrate_an_empty_database_once(empty_url: str) -> None:
    await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    applied = text("SELECT count(*) FROM alembic_version")
    assert await _in_database(empty_url, lambda connection: connection.scalar(applied)) == 1


async def test_an_empty_database_is_refused_with_the_command_to_run(empty_url: str, database_url: str) -> None:
    async def require(url: str) -> None:
        database = Database(url, timeout=timedelta(seconds=5))
        try:
            await require_current(database)
        finally:
            await database.close()

    with pytest.raises(ConfigurationError, match=r"DATABASE_URL.*`python server\.py migrate`"):
        await require(empty_url)
    await require(database_url)
    await migrate(empty_url)
    await require(empty_url)


async def test_tables_of_another_revision_are_refused(database_url: str) -> None:
    def pretend(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))

    await _in_database(database_url, pretend)
    database = Database(database_url, timeout=timedelta(seconds=5))
    with pytest.raises(ConfigurationError, match="from_the_future"):
        await require_current(database)
    await database.close()
