"""The job store on real PostgreSQL: every edge as the table says, or refused with the reason."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.database import Database
from services.errors import IllegalTransition, JobNotFound, LeaseHeld, LeaseLost, NotDue
from services.job_queries import find_derivations, find_jobs
from services.job_store import advance, claim, create, explain, extend
from services.lifecycle import Event, JobStatus
from services.models import JobRecord
from services.moves import Lease, Move, Moved
from services.outbox import mark_sent, unsent
from tests.factories import a_new_job, an_asset, log_of

LEASE = timedelta(seconds=30)


async def created(database: Database, **changes: object) -> JobRecord:
    async with database.connect() as connection:
        return (await create(connection, [a_new_job(**changes)]))[0].job


async def claimed(database: Database, job_id: UUID, lease: timedelta = LEASE) -> Moved:
    async with database.connect() as connection:
        return (await claim(connection, [job_id], lease))[job_id]


async def take(database: Database, move: Move) -> Moved | None:
    async with database.connect() as connection:
        return (await advance(connection, [move])).get(move.job_id)


async def refused(database: Database, move: Move) -> Exception:
    async with database.connect() as connection:
        assert not await advance(connection, [move])
        return (await explain(connection, [move]))[move.job_id].error


async def lapse(database: Database, job_id: UUID) -> None:
    """Let a lease run out, by the database's clock."""
    async with database.connect() as connection:
        await connection.execute(
            text("UPDATE jobs SET lease_expires_at = now() - interval '1 second' WHERE id = :id"), {"id": job_id}
        )


async def history(database: Database, job_id: UUID) -> list[tuple[int, Event, JobStatus]]:
    async with database.connect() as connection:
        page = await log_of(connection, job_id)
    return [(entry.seq, entry.event, entry.status) for entry in page.transitions]


async def test_a_created_job_has_its_inputs_and_its_first_transition(database: Database) -> None:
    wanted = {"prompt_spec": {"steps": 3}, "lore_snapshot": {"name": "Eldoria"}, "idempotency_key": "k"}
    job = await created(database, **wanted)
    assert (job.status, job.seq, job.attempt, job.fencing_token) == (JobStatus.QUEUED, 1, 0, 0)
    async with database.connect() as connection:
        derivation = (await find_derivations(connection, [job.id]))[job.id]
        assert (await find_jobs(connection, [job.id]))[job.id].job == job
    assert (derivation.prompt_spec, derivation.lore_snapshot) == ({"steps": 3}, {"name": "Eldoria"})
    assert await history(database, job.id) == [(1, Event.CREATE, JobStatus.QUEUED)]


async def test_nothing_remains_of_a_creation_that_was_rolled_back(database: Database) -> None:
    new = a_new_job()

    async def create_and_fail() -> None:
        async with database.transaction() as connection:
            assert await create(connection, [new])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await create_and_fail()
    async with database.connect() as connection:
        for table in ("jobs", "derivations", "transitions"):
            assert (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar() == 0  # noqa: S608


async def test_many_jobs_are_created_in_one_statement(database: Database) -> None:
    async with database.connect() as connection:
        made = await create(connection, [a_new_job() for _ in range(1000)])
    assert len({moved.job.id for moved in made}) == 1000
    assert [moved.job.id for moved in made] == sorted(moved.job.id for moved in made)


async def test_one_idempotency_key_makes_one_row_however_many_ask_at_once(database: Database) -> None:
    async def attempt() -> int:
        async with database.connect() as connection:
            return len(await create(connection, [a_new_job(idempotency_key="same")]))

    assert sum(await asyncio.gather(*(attempt() for _ in range(50)))) == 1


async def test_a_run_that_succeeds(database: Database) -> None:
    job = await created(database, prompt_spec={"steps": 1})
    run = await claimed(database, job.id)
    assert (run.job.status, run.job.attempt, run.job.fencing_token) == (JobStatus.PROCESSING, 1, 1)
    assert run.prompt_spec == {"steps": 1}
    assert run.job.lease_expires_at is not None
    assert run.job.started_at is not None
    done = await take(
        database, Move(job.id, Event.SUCCEED, held_token=run.job.fencing_token, asset=an_asset(run.job))
    )
    assert done is not None
    assert done.asset is not None
    assert (done.job.status, done.job.progress, done.job.seq) == (JobStatus.SUCCEEDED, 1.0, 3)
    assert done.job.finished_at is not None
    async with database.connect() as connection:
        state = (await find_jobs(connection, [job.id]))[job.id]
    assert state.asset == done.asset
    assert await history(database, job.id) == [
        (1, Event.CREATE, JobStatus.QUEUED),
        (2, Event.CLAIM, JobStatus.PROCESSING),
        (3, Event.SUCCEED, JobStatus.SUCCEEDED),
    ]


async def test_a_job_is_claimed_once_however_many_workers_want_it(database: Database) -> None:
    jobs = [await created(database) for _ in range(5)]

    async def worker() -> list[UUID]:
        async with database.connect() as connection:
            return list(await claim(connection, [job.id for job in jobs], LEASE))

    won = [job_id for ids in await asyncio.gather(*(worker() for _ in range(8))) for job_id in ids]
    assert sorted(won) == sorted(job.id for job in jobs)


async def test_a_held_lease_is_refused_with_the_time_that_is_left(database: Database) -> None:
    job = await created(database)
    await claimed(database, job.id)
    async with database.connect() as connection:
        assert not await claim(connection, [job.id], LEASE)
        refusal = (await explain(connection, [Move(job.id, Event.CLAIM)]))[job.id]
    assert isinstance(refusal.error, LeaseHeld)
    assert refusal.wait is not None
    assert timedelta(seconds=25) < refusal.wait <= LEASE


async def test_stale_worker_cannot_settle_a_reclaimed_job(database: Database) -> None:
    """Falls with the fence: the line `NOT w.holder OR j.fencing_token = w.held_token`."""
    job = await created(database)
    stale = await claimed(database, job.id)
    await lapse(database, job.id)
    current = await claimed(database, job.id)
    assert (current.job.fencing_token, current.job.attempt, current.transition.event) == (2, 2, Event.RECLAIM)
    for event in (Event.SUCCEED, Event.RETRY, Event.FAIL, Event.RELEASE):
        late = Move(job.id, event, held_token=1, error_code="X", retry_in=LEASE, asset=an_asset(stale.job))
        assert isinstance(await refused(database, late), LeaseLost)
    async with database.connect() as connection:
        assert not await extend(connection, [Lease(job.id, 1, progress=0.9)], LEASE)
        state = (await find_jobs(connection, [job.id]))[job.id]
    assert (state.job.progress, state.asset, state.job.seq) == (None, None, 3)


async def test_a_job_whose_last_lease_ran_out_fails_instead_of_running_again(database: Database) -> None:
    job = await created(database, max_attempts=1)
    await claimed(database, job.id)
    await lapse(database, job.id)
    ended = await claimed(database, job.id)
    assert (ended.job.status, ended.job.error_code) == (JobStatus.FAILED, "WORKER_LOST")
    assert ended.transition.event is Event.EXPIRE


async def test_a_retry_keeps_its_error_and_waits_for_its_time(database: Database) -> None:
    job = await created(database)
    await claimed(database, job.id)
    move = Move(
        job.id, Event.RETRY, held_token=1, retry_in=timedelta(hours=1), error_code="BUSY", error_message="full"
    )
    waiting = await take(database, move)
    assert waiting is not None
    assert (waiting.job.status, waiting.job.error_code, waiting.job.error_message) == (
        JobStatus.RETRYING,
        "BUSY",
        "full",
    )
    assert isinstance(await refused(database, Move(job.id, Event.CLAIM, lease=LEASE)), NotDue)
    async with database.connect() as connection:
        await connection.execute(text("UPDATE jobs SET next_attempt_at = now()"))
    again = await claimed(database, job.id)
    assert (again.job.attempt, again.job.error_code, again.job.next_attempt_at) == (2, None, None)


async def test_a_retry_without_attempts_left_is_refused(database: Database) -> None:
    job = await created(database, max_attempts=1)
    await claimed(database, job.id)
    move = Move(job.id, Event.RETRY, held_token=1, retry_in=LEASE, error_code="X")
    assert isinstance(await refused(database, move), IllegalTransition)


async def test_a_release_costs_no_attempt_but_raises_the_fence(database: Database) -> None:
    job = await created(database)
    await claimed(database, job.id)
    released = await take(database, Move(job.id, Event.RELEASE, held_token=1))
    assert released is not None
    assert (released.job.status, released.job.attempt) == (JobStatus.QUEUED, 0)
    assert (await claimed(database, job.id)).job.fencing_token == 2


async def test_cancel_ends_a_live_job_and_renew_brings_it_back(database: Database) -> None:
    job = await created(database)
    await claimed(database, job.id)
    cancelled = await take(database, Move(job.id, Event.CANCEL))
    assert cancelled is not None
    assert (cancelled.job.status, cancelled.job.lease_expires_at) == (JobStatus.CANCELLED, None)
    late = Move(job.id, Event.SUCCEED, held_token=1, asset=an_asset(job))
    assert isinstance(await refused(database, late), IllegalTransition)
    async with database.connect() as connection:
        await mark_sent(connection, [job.id])
    renewed = await take(database, Move(job.id, Event.RENEW))
    assert renewed is not None
    assert (renewed.job.status, renewed.job.attempt, renewed.job.sent_at) == (JobStatus.QUEUED, 0, None)
    assert (await claimed(database, job.id)).job.fencing_token == 2


async def test_an_unknown_job_is_refused_as_such(database: Database) -> None:
    assert isinstance(await refused(database, Move(uuid4(), Event.CANCEL)), JobNotFound)


async def test_a_heartbeat_extends_the_lease_and_stores_progress(database: Database) -> None:
    job = await created(database)
    before = await claimed(database, job.id, timedelta(seconds=5))
    async with database.connect() as connection:
        kept = await extend(connection, [Lease(job.id, 1, progress=0.5, progress_message="half")], LEASE)
        after = (await find_jobs(connection, [job.id]))[job.id].job
    assert kept == {job.id}
    assert (after.progress, after.progress_message, after.seq) == (0.5, "half", 2)
    assert after.lease_expires_at is not None
    assert before.job.lease_expires_at is not None
    assert after.lease_expires_at > before.job.lease_expires_at + timedelta(seconds=20)


async def test_the_outbox_holds_what_waits_and_was_not_sent(database: Database) -> None:
    first, second = await created(database), await created(database)
    claimed_one = await created(database)
    await claimed(database, claimed_one.id)
    async with database.connect() as connection:
        waiting = await unsent(connection, older_than=timedelta(), horizon=timedelta(), most=10)
        assert [job.id for job in waiting] == [first.id, second.id]
        await mark_sent(connection, [first.id])
        waiting = await unsent(connection, older_than=timedelta(), horizon=timedelta(), most=10)
        assert [job.id for job in waiting] == [second.id]
        assert not await unsent(connection, older_than=timedelta(hours=1), horizon=timedelta(), most=10)


async def test_a_job_has_at_most_one_asset(database: Database) -> None:
    job = await created(database)
    run = await claimed(database, job.id)
    await take(database, Move(job.id, Event.SUCCEED, held_token=1, asset=an_asset(run.job)))
    with pytest.raises(IntegrityError, match="uq_assets_job"):
        async with database.connect() as connection:
            await connection.execute(
                text(
                    "INSERT INTO assets SELECT gen_random_uuid(), job_id, world_id, asset_type, format,"
                    " content_type, status, size_bytes, checksum, storage_key, duration_seconds, details,"
                    " created_by, created_at FROM assets"
                )
            )


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'SUCCEEDED'", "ck_jobs_finished_at"),
        ("finished_at = now()", "ck_jobs_finished_at"),
        ("lease_expires_at = now()", "ck_jobs_lease"),
        ("next_attempt_at = now()", "ck_jobs_next_attempt"),
        ("error_code = 'X'", "ck_jobs_error_code"),
        ("priority = 10", "ck_jobs_priority"),
        ("attempt = 4", "ck_jobs_attempt"),
        ("progress = 1.5", "ck_jobs_progress"),
    ],
)
async def test_the_table_refuses_what_the_lifecycle_forbids(
    database: Database, change: str, constraint: str
) -> None:
    await created(database)
    with pytest.raises(IntegrityError, match=constraint):
        async with database.connect() as connection:
            await connection.execute(text(f"UPDATE jobs SET {change}"))  # noqa: S608 - our own words
