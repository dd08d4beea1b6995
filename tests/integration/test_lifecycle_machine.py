"""Hypothesis drives the real store through every edge, with stale tokens and expired leases, on PostgreSQL."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import integers, sampled_from
from sqlalchemy import text

from services.database import Database
from services.job_queries import find_jobs
from services.job_store import advance, create, explain, extend
from services.lifecycle import EDGES, Event, Guard, JobStatus
from services.moves import Lease, Move
from tests.factories import a_new_job, an_asset, log_of

Result = TypeVar("Result")
MOST_ATTEMPTS = 3
FOREVER = timedelta(hours=1)
MOVES = sorted(set(EDGES) - {Event.CREATE})


class Machine(RuleBasedStateMachine):
    """One job, and what the table says that it must look like."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    database: Database

    @initialize()
    def create(self) -> None:
        async def go() -> Any:
            async with self.database.connect() as connection:
                return (await create(connection, [a_new_job(max_attempts=MOST_ATTEMPTS)]))[0].job

        self.job = self.run(go())
        self.status, self.seq, self.attempt, self.token = JobStatus.QUEUED, 1, 0, 0
        self.expired, self.due = False, True
        self.log = [(Event.CREATE, JobStatus.QUEUED)]

    def may(self, event: Event, age: int) -> bool:
        holds = {
            Guard.HOLDER: age == 0,
            Guard.EXPIRED: self.expired,
            Guard.DUE: self.due,
            Guard.ATTEMPTS_LEFT: self.attempt < MOST_ATTEMPTS,
            Guard.ATTEMPTS_SPENT: self.attempt >= MOST_ATTEMPTS,
        }
        edge = EDGES[event]
        return self.status in edge.sources and all(holds[guard] for guard in edge.guards)

    @rule(event=sampled_from(MOVES), age=integers(0, 2), soon=sampled_from([True, False]))
    def take_edge(self, event: Event, age: int, soon: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        move = Move(
            self.job.id,
            event,
            held_token=self.token - age,
            lease=FOREVER,
            retry_in=timedelta() if soon else FOREVER,
            error_code="X",
            asset=an_asset(self.job),
        )

        async def go() -> Any:
            async with self.database.connect() as connection:
                taken = await advance(connection, [move])
                return taken, await explain(connection, [move])

        taken, refusals = self.run(go())
        if not self.may(event, age):
            assert not taken
            assert refusals[self.job.id].status is self.status
            return
        self.follow(event, soon=soon)
        assert taken[self.job.id].transition.event is event

    def follow(self, event: Event, *, soon: bool) -> None:
        """Move the model the same way."""
        self.status = EDGES[event].target
        self.seq += 1
        if self.status is JobStatus.PROCESSING:
            self.attempt, self.token = self.attempt + 1, self.token + 1
        elif event is Event.RELEASE:
            self.attempt -= 1
        elif event is Event.RENEW:
            self.attempt = 0
        self.expired = False
        self.due = event is not Event.RETRY or soon
        self.log.append((event, self.status))

    @precondition(lambda self: self.status is JobStatus.PROCESSING)
    @rule()
    def let_the_lease_run_out(self) -> None:
        self.change("lease_expires_at = now() - interval '1 second'")
        self.expired = True

    @precondition(lambda self: self.status is JobStatus.RETRYING)
    @rule()
    def let_the_wait_end(self) -> None:
        self.change("next_attempt_at = now() - interval '1 second'")
        self.due = True

    @rule(age=integers(0, 2))
    def beat(self, age: int) -> None:
        async def go() -> Any:
            async with self.database.connect() as connection:
                return await extend(connection, [Lease(self.job.id, self.token - age)], FOREVER)

        kept = self.run(go()) == {self.job.id}
        assert kept == (self.status is JobStatus.PROCESSING and age == 0)
        if kept:
            self.expired = False

    def change(self, assignment: str) -> None:
        async def go() -> None:
            async with self.database.connect() as connection:
                await connection.execute(
                    text(f"UPDATE jobs SET {assignment} WHERE id = :id"),  # noqa: S608 - our own words
                    {"id": self.job.id},
                )

        self.run(go())

    @invariant()
    def the_row_is_the_model_and_the_log_has_no_hole(self) -> None:
        async def go() -> Any:
            async with self.database.connect() as connection:
                return (
                    (await find_jobs(connection, [self.job.id]))[self.job.id],
                    await log_of(connection, self.job.id),
                )

        state, page = self.run(go())
        job = state.job
        assert (job.status, job.seq, job.attempt, job.fencing_token) == (
            self.status,
            self.seq,
            self.attempt,
            self.token,
        )
        assert (state.asset is not None) == (self.status is JobStatus.SUCCEEDED)
        assert [entry.seq for entry in page.transitions] == list(range(1, self.seq + 1))
        assert [(entry.event, entry.status) for entry in page.transitions] == self.log


def test_every_move_is_exactly_as_the_table_says(database_url: str) -> None:
    """Falls without any guard of `_advance_sql`, or where an effect differs from the model's."""
    with asyncio.Runner() as runner:
        database = Database(database_url, timeout=timedelta(seconds=10))

        class Driven(Machine):
            pass

        Driven.run = staticmethod(runner.run)
        Driven.database = database
        limits = settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            derandomize=True,
        )
        try:
            run_state_machine_as_test(Driven, settings=limits)
        finally:
            runner.run(database.close())
