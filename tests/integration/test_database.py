"""The pool: what a caller sees of a PostgreSQL that is away, slow, restarted or contradicted."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from services.database import Database, asyncpg_url
from services.errors import DatabaseUnavailable
from tests.conftest import until

SOON = timedelta(seconds=1)
PID = text("SELECT pg_backend_pid()")


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """Open a pool of one connection."""
    database = Database(database_url, timeout=timedelta(seconds=5), pool_size=1, name="single")
    yield database
    await database.close()


async def _kill(database_url: str, pid: object) -> None:
    other = Database(database_url, timeout=timedelta(seconds=5), name="other")
    async with other.connect() as connection:
        await connection.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
    await other.close()


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://u:p@h/d?sslmode=require", "require"),
        ("postgres://u:p@h/d?sslmode=disable", "disable"),
        ("postgresql+psycopg2://u:p@h/d?sslmode=verify-full", "verify-full"),
    ],
)
def test_sslmode_becomes_what_the_driver_calls_it(url: str, mode: str) -> None:
    parsed = asyncpg_url(url)
    assert parsed.drivername == "postgresql+asyncpg"
    assert dict(parsed.query) == {"ssl": mode}
    assert (parsed.username, parsed.password, parsed.host, parsed.database) == ("u", "p", "h", "d")


def test_other_parameters_of_the_url_stay() -> None:
    parsed = asyncpg_url("postgresql://h/d?sslmode=prefer&target_session_attrs=read-write")
    assert dict(parsed.query) == {"ssl": "prefer", "target_session_attrs": "read-write"}
    assert not asyncpg_url("postgresql://h/d").query


@pytest.mark.parametrize("mode", ["disable", "prefer"])
async def test_a_database_without_tls_is_reached_where_sslmode_allows_it(database_url: str, mode: str) -> None:
    database = Database(f"{database_url}?sslmode={mode}", timeout=SOON)
    await database.ping()
    await database.close()


async def test_a_database_without_tls_is_refused_where_sslmode_requires_it(database_url: str) -> None:
    database = Database(f"{database_url}?sslmode=require", timeout=SOON)
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    await database.close()


async def test_a_server_that_is_away_is_reported_in_time() -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it, connecting is refused
        database = Database(f"postgresql://u:secret@127.0.0.1:{probe.getsockname()[1]}/d", timeout=SOON)
        async with asyncio.timeout(3):
            with pytest.raises(DatabaseUnavailable) as caught:
                await database.ping()
    assert "secret" not in str(caught.value)
    await database.close()


async def test_a_server_that_never_answers_is_reported_in_time() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # the kernel connects, nobody accepts
        port = silent.getsockname()[1]
        database = Database(f"postgresql://u:p@127.0.0.1:{port}/d", timeout=timedelta(milliseconds=300))
        async with asyncio.timeout(3):
            with pytest.raises(DatabaseUnavailable):
                await database.ping()
        await database.close()


async def test_a_statement_that_takes_too_long_is_reported_and_stopped(database_url: str) -> None:
    database = Database(database_url, timeout=timedelta(milliseconds=300), name="impatient")
    with pytest.raises(DatabaseUnavailable):
        async with database.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    async def stopped() -> bool:
        others = text(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        )
        async with database.connect() as connection:
            return bool((await connection.execute(others)).scalar_one() == 0)

    await until(stopped, within_s=3)
    await database.close()


async def test_a_pool_without_a_free_connection_is_reported_in_time(database_url: str) -> None:
    database = Database(database_url, timeout=timedelta(milliseconds=300), pool_size=1)
    async with asyncio.timeout(3), database.connect():
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
    await database.ping()
    await database.close()


async def test_a_killed_connection_is_replaced_without_an_error_for_the_next_caller(
    single: Database, database_url: str
) -> None:
    async with single.connect() as connection:
        before = (await connection.execute(PID)).scalar_one()
    await _kill(database_url, before)
    await asyncio.sleep(0.05)  # until the closing of the socket has come through
    async with single.connect() as connection:
        assert (await connection.execute(PID)).scalar_one() != before
    async with single.transaction() as connection:
        await connection.execute(PID)


async def test_a_connection_killed_in_use_is_unavailable_for_its_caller_alone(
    single: Database, database_url: str
) -> None:
    async def die() -> None:
        async with single.connect() as connection:
            await _kill(database_url, (await connection.execute(PID)).scalar_one())
            await connection.execute(PID)

    with pytest.raises(DatabaseUnavailable):
        await die()
    await single.ping()


async def test_a_connection_killed_during_a_statement_is_unavailable(single: Database, database_url: str) -> None:
    pid: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def sleep() -> None:
        async with single.transaction() as connection:
            pid.set_result((await connection.execute(PID)).scalar_one())
            await connection.execute(text("SELECT pg_sleep(30)"))

    sleeping = asyncio.create_task(sleep())
    await _kill(database_url, await pid)
    with pytest.raises(DatabaseUnavailable):
        await sleeping
    await single.ping()


async def test_a_broken_constraint_is_no_unavailability(single: Database) -> None:
    with pytest.raises(IntegrityError):
        async with single.connect() as connection:
            await connection.execute(text("INSERT INTO transitions (job_id, seq) VALUES (gen_random_uuid(), 1)"))
    with pytest.raises(IntegrityError):
        async with single.transaction() as connection:
            await connection.execute(text("INSERT INTO alembic_version SELECT version_num FROM alembic_version"))
    await single.ping()


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT * FROM nowhere"])
async def test_wrong_sql_is_no_unavailability(single: Database, statement: str) -> None:
    with pytest.raises(ProgrammingError):
        async with single.connect() as connection:
            await connection.execute(text(statement))


async def test_a_wrong_value_is_no_unavailability(single: Database) -> None:
    with pytest.raises(DBAPIError):
        async with single.connect() as connection:
            await connection.execute(text("SELECT CAST(:value AS integer)"), {"value": "no number"})


async def test_a_deadlock_is_an_unavailability_that_passes(database: Database) -> None:
    both_hold = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with database.transaction() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({first})"))
            await both_hold.wait()
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({second})"))

    outcomes = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DatabaseUnavailable", "NoneType"]


async def test_a_connection_commits_each_statement_by_itself(single: Database, database: Database) -> None:
    async with single.connect() as connection:
        await connection.execute(text("CREATE TABLE kept (n int)"))
        await connection.execute(text("INSERT INTO kept VALUES (1)"))
        async with database.connect() as outsider:
            assert (await outsider.execute(text("SELECT count(*) FROM kept"))).scalar_one() == 1


async def test_a_transaction_commits_whole_or_not_at_all(single: Database) -> None:
    async with single.transaction() as connection:
        await connection.execute(text("CREATE TABLE kept (n int)"))
    with suppress(RuntimeError):
        async with single.transaction() as connection:
            await connection.execute(text("INSERT INTO kept VALUES (1)"))
            raise RuntimeError
    async with single.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM kept"))).scalar_one() == 0


async def test_a_connection_tells_who_it_is_and_speaks_utc(single: Database) -> None:
    question = text("SELECT current_setting('application_name'), current_setting('timezone')")
    async with single.connect() as connection:
        assert tuple((await connection.execute(question)).one()) == ("single", "UTC")
