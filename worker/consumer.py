"""The consumer: receive, claim, run, settle, delete; each in batches, all at once."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid4

import structlog

from services.backoff import delay
from services.batching import Batcher, answering
from services.dispatcher import job_of
from services.errors import GenerationError, PassingError, Unavailable
from services.job_store import Move, Moved, Refusal, advance, claim_moves, explain
from services.lifecycle import Event, JobStatus
from services.models import AssetRecord
from services.resources import Resources
from services.sqs import BATCH, Delivery
from services.updates import JobUpdate
from worker.handlers import HANDLERS, Run
from worker.leases import HeldLease, Leases, StopReason
from worker.progress import RunProgress
from worker.providers.protocol import Provider

_FILL: Final = timedelta(milliseconds=20)
"""How long a free slot waits for others: receives of ten cost a tenth of the requests."""
_SETTLE_LINGER: Final = timedelta(milliseconds=20)
"""How long a result waits for others, or for the next claim, whose statement it can share."""
_HIDE_LINGER: Final = timedelta(milliseconds=2)
_MOST_SETTLED: Final = 100
_DELETE_LINGER: Final = timedelta(milliseconds=50)
_MOST_UNSETTLED: Final = 200
"""Runs that have ended and wait to be settled, at the most, before no more are begun."""
_SETTLE_BASE: Final = timedelta(milliseconds=200)
_SETTLE_MOST: Final = timedelta(seconds=5)
_LONGEST_POLL: Final = timedelta(seconds=20)
_MOST_MESSAGE: Final = 500

log = structlog.get_logger(__name__)


class Consumer:
    """Runs jobs from the queue, as many at once as the concurrency allows."""

    def __init__(self, resources: Resources, providers: Mapping[str, Provider], leases: Leases) -> None:
        settings = resources.settings
        self._database = resources.database
        self._queue = resources.queue
        self._publisher = resources.publisher
        self._storage = resources.storage
        self._providers = providers
        self._leases = leases
        self._concurrency = settings.worker_concurrency
        self._lease = settings.lease
        self._retry_base = timedelta(seconds=settings.retry_base_s)
        self._retry_most = timedelta(seconds=settings.retry_max_s)
        self._attempt_timeout_s = settings.attempt_timeout_s
        self._running = 0
        self._room = asyncio.Condition()
        self._backlog = False
        self._settler: Batcher[Move, Moved | None] = Batcher(
            self._settle_together, most=_MOST_SETTLED, linger=_SETTLE_LINGER
        )
        self._deleter: Batcher[str, bool] = Batcher(self._queue.delete, most=BATCH, linger=_DELETE_LINGER)
        self._hider: Batcher[tuple[str, timedelta], bool] = Batcher(
            self._queue.change_visibility, most=BATCH, linger=_HIDE_LINGER
        )

    async def run(self) -> None:
        """Receive and run for ever.

        Raises:
            Unavailable: SQS or PostgreSQL does not answer.
        """
        while True:
            free = await self._wait_for_room()
            deliveries = await self._receive(free)
            if deliveries:
                await self.take(deliveries)

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Claim the jobs of deliveries and begin to run them; deal with those that cannot run now.

        Raises:
            Unavailable: PostgreSQL does not answer; the messages come back when their visibility ends.
        """
        wanted: dict[UUID, Delivery] = {}
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in deliveries:
            try:
                job_id = job_of(delivery.body)
            except ValueError as error:
                unreadable.append((delivery, str(error)))
                continue
            if job_id in wanted:
                # One message for a job is enough.
                self._deleter.put_nowait(delivery.receipt_handle)
            else:
                wanted[job_id] = delivery
        if unreadable:
            log.error("message.unreadable", messages=len(unreadable))
            await self._queue.bury(unreadable)
        if wanted:
            await self._claim(wanted)

    async def _claim(self, wanted: Mapping[UUID, Delivery]) -> None:
        """Claim jobs; results that wait to be settled ride along in the same statement."""
        moves = claim_moves(wanted, self._lease)
        settling = self._settler.take()
        async with answering(settling), self._database.connect() as connection:
            taken = await advance(connection, [*moves, *(move for move, _ in settling)], with_inputs=True)
            self._publisher.publish(map(JobUpdate.of_move, taken.values()))
            for move, future in settling:
                if not future.done():
                    future.set_result(_taken(move, taken))
            claimed = {move.job_id: taken[move.job_id] for move in moves if _taken(move, taken) is not None}
            missing = [Move(job_id, Event.CLAIM) for job_id in wanted if job_id not in claimed]
            refusals = await explain(connection, missing) if missing else {}
        for job_id, delivery in wanted.items():
            if job_id in refusals:
                self._put_off(delivery, refusals[job_id])
            elif claimed[job_id].job.status is JobStatus.PROCESSING:
                self._begin(claimed[job_id], delivery)
            else:
                self._deleter.put_nowait(delivery.receipt_handle)

    async def finish(self, grace: timedelta) -> None:
        """Let running jobs end within the grace period, release the rest, and deliver all that is left to say."""
        tasks = [held.task for held in self._leases if held.task is not None]
        if tasks:
            log.info("worker.draining", jobs=len(tasks), grace_s=grace.total_seconds())
            _, left = await asyncio.wait(tasks, timeout=grace.total_seconds())
            for held in self._leases:
                held.stop(StopReason.RELEASED)
            if left:
                await asyncio.wait(left, timeout=_SETTLE_MOST.total_seconds())
        await self._settler.drain()
        await self._hider.drain()
        await self._deleter.drain()

    async def _wait_for_room(self) -> int:
        """Wait until a job can begin, a moment longer for ten of them; returns how many can."""

        def free() -> int:
            unsettled = len(self._leases) - self._running
            return self._concurrency - self._running if unsettled < _MOST_UNSETTLED else 0

        full = min(BATCH, self._concurrency)
        async with self._room:
            await self._room.wait_for(lambda: free() > 0)
            if free() < full:
                try:
                    async with asyncio.timeout(_FILL.total_seconds()):
                        await self._room.wait_for(lambda: free() >= full)
                except TimeoutError:
                    pass
            return max(free(), 1)

    async def _receive(self, free: int) -> list[Delivery]:
        calls = free // BATCH
        if not self._backlog or calls <= 1:
            deliveries = await self._queue.receive(most=min(free, BATCH), wait=_LONGEST_POLL)
        else:
            # Behind a full receive there are probably more: several at once, none of which waits.
            batches = await asyncio.gather(
                *(self._queue.receive(most=BATCH, wait=timedelta()) for _ in range(calls))
            )
            deliveries = [delivery for batch in batches for delivery in batch]
        self._backlog = len(deliveries) >= BATCH * max(calls, 1)
        return deliveries

    def _begin(self, moved: Moved, delivery: Delivery) -> None:
        held = HeldLease(moved.job, delivery.receipt_handle, RunProgress(moved.job, self._publisher))
        self._leases.add(held)
        self._running += 1
        held.task = asyncio.create_task(self._run(held, moved), name=f"job {moved.job.id}")

    def _put_off(self, delivery: Delivery, refusal: Refusal) -> None:
        """Deal with a delivery whose job cannot be claimed now."""
        if refusal.wait is not None:
            self._hider.put_nowait((delivery.receipt_handle, refusal.wait + timedelta(seconds=1)))
            return
        if refusal.status is None:
            log.warning("message.without_job", body=delivery.body)
        # The row is the record: a final job needs no message.
        self._deleter.put_nowait(delivery.receipt_handle)

    async def _run(self, held: HeldLease, moved: Moved) -> None:
        run = Run(moved.job, moved.prompt_spec, held.progress, self._providers, self._storage)
        try:
            try:
                move = await self._outcome(held, run)
            finally:
                held.progress.close()
                self._running -= 1
                async with self._room:
                    self._room.notify_all()
            if move is not None:
                await self._settle(held, move)
        finally:
            self._leases.remove(held)

    async def _outcome(self, held: HeldLease, run: Run) -> Move | None:
        """Run the handler; returns the edge to take, or None where the job is no longer ours."""
        job = run.job
        to_take = partial(Move, job.id, held_token=job.fencing_token)
        try:
            asset = await self._handled(run)
        except asyncio.CancelledError:
            if held.stop_reason is None:
                raise
            # The cancellation was for the handler; this task goes on to settle.
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            log.info("run.stopped", job_id=str(job.id), reason=held.stop_reason)
            return to_take(Event.RELEASE) if held.stop_reason is StopReason.RELEASED else None
        except GenerationError as error:
            failure = error
        except TimeoutError:
            limit_s = job.timeout_s or self._attempt_timeout_s
            failure = PassingError("TIMEOUT", f"The attempt ran longer than {limit_s} s.")
        except Unavailable as error:
            failure = PassingError("UNAVAILABLE", str(error))
            failure.__cause__ = error.__cause__
        except Exception:
            log_id = uuid4().hex
            log.exception("run.failed", job_id=str(job.id), log_id=log_id)
            failure = PassingError("INTERNAL", f"The provider failed unexpectedly (log id {log_id}).")
        else:
            return to_take(Event.SUCCEED, asset=asset)
        log.info(
            "run.error",
            job_id=str(job.id),
            attempt=job.attempt,
            code=failure.code,
            error=str(failure),
            cause=repr(failure.__cause__) if failure.__cause__ else None,
        )
        to_take = partial(to_take, error_code=failure.code, error_message=str(failure)[:_MOST_MESSAGE])
        if failure.retryable and job.attempt < job.max_attempts:
            wait = delay(job.attempt, base=self._retry_base, most=self._retry_most)
            return to_take(Event.RETRY, retry_in=wait)
        return to_take(Event.FAIL)

    async def _handled(self, run: Run) -> AssetRecord:
        async with asyncio.timeout(run.job.timeout_s or self._attempt_timeout_s):
            return await HANDLERS[run.job.type](run)

    async def _settle(self, held: HeldLease, move: Move) -> None:
        tries = 0
        while True:
            try:
                settling = self._settler.put_nowait(move)
                if len(self._leases) == 1:
                    self._settler.leave()  # nobody else is about to end
                moved = await settling
                break
            except Unavailable as error:
                # The result is made and paid for: keep it until it can be stored, or is refused.
                tries += 1
                log.warning("settle.deferred", job_id=str(move.job_id), error=str(error))
                await asyncio.sleep(delay(tries, base=_SETTLE_BASE, most=_SETTLE_MOST).total_seconds())
        if moved is None:
            log.warning("settle.refused", job_id=str(move.job_id), event=move.event)
        elif move.event is Event.RETRY and move.retry_in is not None:
            self._hider.put_nowait((held.receipt_handle, move.retry_in))
        elif move.event is Event.RELEASE:
            self._hider.put_nowait((held.receipt_handle, timedelta()))
        else:
            self._deleter.put_nowait(held.receipt_handle)

    async def _settle_together(self, moves: Sequence[Move]) -> Sequence[Moved | None]:
        async with self._database.connect() as connection:
            taken = await advance(connection, moves)
        self._publisher.publish(map(JobUpdate.of_move, taken.values()))
        return [_taken(move, taken) for move in moves]


def _taken(move: Move, taken: Mapping[UUID, Moved]) -> Moved | None:
    """Return what became of a move; another one may have moved the same job."""
    moved = taken.get(move.job_id)
    return moved if moved is not None and moved.transition.event is move.event else None
