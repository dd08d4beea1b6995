"""Each filter of a list finds its rows by an index, on tables that are worth one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import Engine, event, text

from services.access import ANONYMOUS, Caller
from services.database import Database
from services.messages import MOST_DELAY
from services.outbox import unsent
from services.resources import Resources
from tests.asking import a_caller, ask
from tests.conftest import Opener

FILL: Final = (
    # Ids that sort by number, all of one kind; one row in a thousand is of another.
    """
    INSERT INTO jobs (id, type, world_id, asset_type, provider, status, seq, attempt, max_attempts, fencing_token,
                      priority, requested_by, input_hash, send_count, created_at, started_at, finished_at)
    SELECT ('01890a5d-ac96-774b-bcce-' || lpad(to_hex(i), 12, '0'))::uuid, 'ASSET_GENERATION',
           CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'world' || i % 10 END,
           (CASE WHEN i % 1000 = 0 THEN 'PDF' ELSE 'IMAGE' END)::asset_type,
           CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'local' END,
           (CASE WHEN i % 1000 = 0 THEN 'CANCELLED' ELSE 'SUCCEEDED' END)::job_status,
           1, 1, 3, 1, 5, CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'somebody' END, 'hash' || i, 0,
           '2026-01-01T00:00:00Z'::timestamptz + i * interval '1 minute', now(), now()
    FROM generate_series(1, 20000) AS i""",
    """
    INSERT INTO derivations (job_id, prompt_spec, claim_ids, entity_ids, source_chunk_ids, source_id)
    SELECT id, '{}', ARRAY['claim' || n % 1000, 'common'], ARRAY['entity' || n % 1000],
           ARRAY['chunk' || n % 1000], CASE WHEN n % 2 = 0 THEN 'source' || n % 1000 END
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM jobs) AS numbered""",
    """
    INSERT INTO assets (id, job_id, world_id, asset_type, format, content_type, status, size_bytes, checksum,
                        storage_key, details, created_by)
    SELECT id, id, world_id, asset_type, 'png', 'image/png',
           (CASE WHEN world_id = 'rare' THEN 'DELETED' ELSE 'READY' END)::asset_status, 1, repeat('0', 64),
           id::text, '{}', requested_by
    FROM jobs""",
    "ANALYZE jobs, derivations, assets",
)
JOBS: Final = "query($filter: JobFilter) { found: jobs(filter: $filter) { totalCount edges { node { id } } } }"
ASSETS: Final = (
    "query($filter: AssetFilter) { found: assets(filter: $filter) { totalCount edges { node { id } } } }"
)
Statement = tuple[str, tuple[Any, ...]]


@pytest.fixture
async def resources(open_services: Opener) -> Resources:
    opened = await open_services()
    async with opened.database.connect() as connection:
        for statement in FILL:
            await connection.execute(text(statement))
    return opened


@contextmanager
def sent_statements() -> Iterator[list[Statement]]:
    """Collect every statement inside the block, with its parameters."""
    statements: list[Statement] = []

    def record(
        _connection: object, _cursor: object, statement: str, parameters: tuple[Any, ...], *_: object
    ) -> None:
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)


async def plans(
    resources: Resources, query: str, wanted: Mapping[str, object], caller: Caller = ANONYMOUS
) -> list[str]:
    """Return PostgreSQL's plans of all that a list asks for."""
    with sent_statements() as statements:
        answer = await ask(resources, query, caller, filter=wanted)
    assert answer["data"]["found"]["edges"], wanted
    assert len(statements) == 2, statements
    return [await plan(resources.database, statement) for statement in statements]


async def plan(database: Database, statement: Statement) -> str:
    sql, parameters = statement
    async with database.connect() as connection:
        rows = await connection.exec_driver_sql(f"EXPLAIN {sql}", parameters)
        return "\n".join(row[0] for row in rows)


async def test_each_filter_of_jobs_uses_its_index(resources: Resources) -> None:
    for wanted, index in (
        ({"worldId": "rare"}, "ix_jobs_world"),
        ({"status": ["CANCELLED"]}, "ix_jobs_status"),
        ({"status": ["CANCELLED", "FAILED"]}, "ix_jobs_status"),
        ({"worldId": "rare", "status": ["CANCELLED"]}, "ix_jobs_world"),
        ({"assetType": ["PDF"]}, "ix_jobs_asset_type"),
        ({"provider": "rare"}, "ix_jobs_provider"),
        ({"requestedBy": "rare"}, "ix_jobs_requested_by"),
        ({"createdAfter": "2026-01-14T21:00:00Z"}, "ix_jobs_created_at"),
        ({"createdBefore": "2026-01-01T01:00:00Z"}, "ix_jobs_created_at"),
    ):
        for told in await plans(resources, JOBS, wanted):
            assert index in told, (wanted, told)
            assert "Seq Scan" not in told, (wanted, told)


async def test_each_filter_of_assets_uses_its_index(resources: Resources) -> None:
    for wanted, index in (
        ({"worldId": "rare"}, "ix_assets_world"),
        ({"assetType": ["PDF"]}, "ix_assets_asset_type"),
        ({"status": "DELETED"}, "ix_assets_status"),
        ({"createdBy": "rare"}, "ix_assets_created_by"),
        ({"claimId": "claim7"}, "ix_derivations_claim_ids"),
        ({"entityId": "entity7"}, "ix_derivations_entity_ids"),
        ({"sourceChunkId": "chunk7"}, "ix_derivations_source_chunk_ids"),
        ({"sourceId": "source8"}, "ix_derivations_source_id"),
    ):
        for told in await plans(resources, ASSETS, wanted):
            assert index in told, (wanted, told)
            assert "Seq Scan" not in told, (wanted, told)


@pytest.mark.parametrize("query", [JOBS, ASSETS], ids=["jobs", "assets"])
async def test_a_page_without_a_filter_reads_no_more_than_the_page(resources: Resources, query: str) -> None:
    page, _ = await plans(resources, query, {})
    assert "_pkey" in page
    assert "Seq Scan" not in page


@pytest.mark.parametrize(
    ("query", "index"), [(JOBS, "ix_jobs_world"), (ASSETS, "ix_assets_world")], ids=["jobs", "assets"]
)
async def test_the_worlds_of_a_caller_are_found_by_an_index(resources: Resources, query: str, index: str) -> None:
    for told in await plans(resources, query, {}, a_caller("rare", "nowhere")):
        assert index in told, told
        assert "Seq Scan" not in told, told


async def test_jobs_that_are_to_run_much_later_do_not_slow_the_outbox(resources: Resources) -> None:
    """Each second it is asked for what is due: none of what is held back is read for that."""
    held_back = """
        INSERT INTO jobs (id, type, world_id, asset_type, provider, status, seq, attempt, max_attempts,
                          fencing_token, priority, requested_by, input_hash, send_count, run_at, created_at)
        SELECT gen_random_uuid(), 'ASSET_GENERATION', 'world', 'IMAGE', 'local', 'QUEUED', 1, 0, 3,
               0, 5, 'somebody', 'held' || i, 0, now() + interval '30 days', now() - interval '1 hour'
        FROM generate_series(1, 20000) AS i"""
    async with resources.database.connect() as connection:
        await connection.execute(text(held_back))
        await connection.execute(text("ANALYZE jobs"))
        with sent_statements() as statements:
            found = await unsent(connection, older_than=timedelta(seconds=5), horizon=MOST_DELAY, most=100)
        assert found == []
        (sql, parameters) = statements[-1]
        rows = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {sql}", parameters)
        told = "\n".join(row[0] for row in rows)
    assert "ix_jobs_outbox" in told, told
    assert "Rows Removed by Filter" not in told, told
