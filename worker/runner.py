"""Runs of claimed jobs: begun, ended, settled, and their messages dealt with; settling and the rest in batches."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid4

import structlog

from services.asset_queries import find_assets
from services.backoff import delay
from services.batching import Batcher
from services.errors import GenerationError, PassingError, Unavailable
from services.job_store import advance
from services.lifecycle import Event
from services.messages import Delivery
from services.models import AssetRecord
from services.moves import Move, Moved
from services.renders import keep
from services.resources import Resources
from services.sqs import BATCH
from services.supervision import is_cancelled
from services.updates import JobUpdate
from worker.handlers import HANDLERS, Run
from worker.leases import HeldLease, Leases, StopReason
from worker.progress import RunProgress
from worker.providers.protocol import Provider

_FILL: Final = timedelta(milliseconds=20)
"""How long a free slot waits for others: receives of ten cost a tenth of the requests."""
_SETTLE_LINGER: Final = timedelta(milliseconds=20)
"""How long a result waits for others, or for the next claim, whose statement it can share."""
_MOST_SETTLED: Final = 100
_HIDE_LINGER: Final = timedelta(milliseconds=2)
_DELETE_LINGER: Final = timedelta(milliseconds=50)
_MOST_UNSETTLED: Final = 200
"""Runs that have ended and wait to be settled, at the most, before no more are begun."""
_SETTLE_BASE: Final = timedelta(milliseconds=200)
_SETTLE_MOST: Final = timedelta(seconds=5)
_MOST_MESSAGE: Final = 500

log = structlog.get_logger(__name__)


class Runner:
    """Runs jobs, as many at once as the concurrency allows."""

    def __init__(self, resources: Resources, providers: Mapping[str, Provider], leases: Leases) -> None:
        settings = resources.settings
        self._database = resources.database
        queues = resources.queues
        self._publisher = resources.publisher
        self._webhook_bell = resources.webhook_bell
        self._storage = resources.storage
        self._providers = providers
        self._leases = leases
        self._concurrency = settings.worker_concurrency
        self._retry_base = timedelta(seconds=settings.retry_base_s)
        self._retry_most = timedelta(seconds=settings.retry_max_s)
        self._attempt_timeout_s = settings.attempt_timeout_s
        self._running = 0
        self._reserved = 0
        self._changed = asyncio.Event()
        self.settler: Batcher[Move, Moved | None] = Batcher(
            self._settle_together, most=_MOST_SETTLED, linger=_SETTLE_LINGER
        )
        self._deleter: Batcher[Delivery, bool] = Batcher(queues.delete, most=BATCH, linger=_DELETE_LINGER)
        self._hider: Batcher[tuple[Delivery, timedelta], bool] = Batcher(
            queues.change_visibility, most=BATCH, linger=_HIDE_LINGER
        )

    async def wait_for_room(self) -> int:
        """Wait until a job can begin, a moment longer for ten of them; returns how many can."""

        def free() -> int:
            unsettled = len(self._leases) - self._running
            return self._concurrency - self._running - self._reserved if unsettled < _MOST_UNSETTLED else 0

        async def wait_for(slots: int) -> None:
            while free() < slots:
                self._changed.clear()
                await self._changed.wait()

        await wait_for(1)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FILL.total_seconds()):
                await wait_for(min(BATCH, self._concurrency))
        return max(free(), 1)

    @contextmanager
    def reserving(self) -> Iterator[None]:
        """Keep room for one job inside the block."""
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1
            self._changed.set()

    def begin(self, moved: Moved, delivery: Delivery) -> None:
        """Run a job that was just claimed."""
        held = HeldLease(moved.job, delivery, RunProgress(moved.job, self._publisher))
        self._leases.add(held)
        self._running += 1
        held.task = asyncio.create_task(self._run(held, moved), name=f"job {moved.job.id}")
        held.task.add_done_callback(lambda _: self._let_go(held))

    def delete(self, delivery: Delivery) -> None:
        """Delete a message soon. If that fails it comes back, and its job is found final."""
        self._deleter.put_nowait(delivery)

    def hide(self, delivery: Delivery, wait: timedelta) -> None:
        """Let a message come back after a wait. If that fails it comes back when its visibility ends."""
        self._hider.put_nowait((delivery, wait))

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
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_MOST.total_seconds()):
                await self.settler.drain()
                await self._hider.drain()
                await self._deleter.drain()

    async def _run(self, held: HeldLease, moved: Moved) -> None:
        held.started = True
        run = Run(
            job=moved.job,
            prompt_spec=moved.prompt_spec,
            handle=moved.handle,
            keep=partial(self._keep, held),
            progress=held.progress,
            providers=self._providers,
            storage=self._storage,
        )
        move = await self._outcome(held, run)
        self._end(held)
        if move is not None:
            await self._settle(held, move)

    async def _keep(self, held: HeldLease, handle: str | None) -> None:
        """Keep a service's handle for the attempts that follow.

        Raises:
            CancelledError: the job is somebody else's by now.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        job = held.job
        async with self._database.connect() as connection:
            ours = await keep(connection, job.id, handle, held_token=job.fencing_token, provider=job.provider)
        if not ours:
            held.stop_reason = held.stop_reason or StopReason.LOST
            raise asyncio.CancelledError

    def _end(self, held: HeldLease) -> None:
        """Give the slot of a run free: its handler is done."""
        if not held.settling:
            held.settling = True
            held.progress.close()
            self._running -= 1
            self._changed.set()

    def _let_go(self, held: HeldLease) -> None:
        self._end(held)
        self._leases.remove(held)
        self._changed.set()

    async def _outcome(self, held: HeldLease, run: Run) -> Move | None:
        """Run the handler; returns the edge to take, or None where the job is no longer ours."""
        job = run.job
        to_take = partial(Move, job.id, held_token=job.fencing_token)
        failure: GenerationError
        try:
            if held.stop_reason is not None:
                raise asyncio.CancelledError  # noqa: TRY301 - it was stopped before it began
            asset = await self._handled(run)
        except asyncio.CancelledError as error:
            if held.stop_reason is not None:
                # The cancellation was for the handler; this task goes on to settle.
                asyncio.current_task().uncancel()  # type: ignore[union-attr]
                log.info("run.stopped", job_id=str(job.id), reason=held.stop_reason)
                return to_take(Event.RELEASE) if held.stop_reason is StopReason.RELEASED else None
            if is_cancelled():
                raise
            failure = _unexpected("run.failed", job.id, error)  # the provider's own
        except GenerationError as error:
            failure = error
        except Unavailable as error:
            failure = PassingError("UNAVAILABLE", str(error))
            failure.__cause__ = error.__cause__
        except Exception as error:  # noqa: BLE001 - whatever a provider raises ends its run, not the worker
            failure = _unexpected("run.failed", job.id, error)
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
        to_take = partial(to_take, error_code=_storable(failure.code), error_message=_storable(str(failure)))
        if isinstance(failure, PassingError) and job.attempt < job.max_attempts:
            wait = delay(job.attempt, base=self._retry_base, most=self._retry_most)
            return to_take(Event.RETRY, retry_in=max(wait, min(failure.retry_after, self._retry_most)))
        return to_take(Event.FAIL)

    async def _handled(self, run: Run) -> AssetRecord:
        limit_s = run.job.timeout_s or self._attempt_timeout_s
        deadline = asyncio.timeout(limit_s)
        try:
            async with deadline:
                return await HANDLERS[run.job.type](run)
        except TimeoutError:
            if deadline.expired():
                raise PassingError("TIMEOUT", f"The attempt ran longer than {limit_s} s.") from None
            raise  # a timeout of the handler's own

    async def _settle(self, held: HeldLease, move: Move) -> None:
        moved = await self._settled(move)
        if moved is None:
            log.warning("settle.refused", job_id=str(move.job_id), edge=move.event)
            await self._clear_up(held, move)
        elif moved.transition.event is Event.RETRY and move.retry_in is not None:
            self._hider.put_nowait((held.delivery, move.retry_in))
        elif moved.transition.event is Event.RELEASE:
            self._hider.put_nowait((held.delivery, timedelta()))
        else:
            self._deleter.put_nowait(held.delivery)

    async def _clear_up(self, held: HeldLease, move: Move) -> None:
        """Remove the content of a result that was refused, unless it was refused because it was taken before.

        That happens where the statement committed and its answer was lost on the way.
        """
        if move.asset is None:
            return
        with suppress(Unavailable):
            async with self._database.connect() as connection:
                taken_before = move.asset.id in await find_assets(connection, [move.asset.id])
            if taken_before:
                self._deleter.put_nowait(held.delivery)
            else:
                await self._storage.delete(move.asset.storage_key)

    async def _settled(self, move: Move) -> Moved | None:
        """Take the edge, however long PostgreSQL is away: the result is made and paid for."""
        tries = 0
        alone = False
        while True:
            try:
                if alone:
                    return (await self._settle_together([move]))[0]
                settling = self.settler.put_nowait(move)
                if len(self._leases) == 1:
                    self.settler.leave()  # nobody else is about to end
                return await settling
            except (Unavailable, asyncio.CancelledError) as error:
                if is_cancelled():
                    raise
                # A cancellation that is not ours: the claim with which this would have travelled was given up.
                tries += 1
                log.warning("settle.deferred", job_id=str(move.job_id), error=str(error))
                await asyncio.sleep(delay(tries, base=_SETTLE_BASE, most=_SETTLE_MOST).total_seconds())
            except Exception as error:
                # One result that PostgreSQL refuses fails the statement for all that share it.
                if alone and move.event is Event.FAIL:
                    raise
                if alone:
                    failure = _unexpected("settle.failed", move.job_id, error)
                    move = Move(
                        move.job_id,
                        Event.FAIL,
                        held_token=move.held_token,
                        error_code=failure.code,
                        error_message=str(failure),
                    )
                alone = True

    async def _settle_together(self, moves: Sequence[Move]) -> Sequence[Moved | None]:
        async with self._database.connect() as connection:
            taken = await advance(connection, moves)
        self._publisher.publish(map(JobUpdate.of_move, taken.values()))
        self._webhook_bell.ring(taken.values())
        return [what_became(move, taken) for move in moves]


def what_became(move: Move, taken: Mapping[UUID, Moved]) -> Moved | None:
    """Return what became of a move; another one may have moved the same job."""
    moved = taken.get(move.job_id)
    return moved if moved is not None and moved.transition.event is move.event else None


def _unexpected(event: str, job_id: UUID, error: BaseException) -> PassingError:
    """Log an exception, and return what may be told of it."""
    log_id = uuid4().hex
    log.error(event, job_id=str(job_id), log_id=log_id, exc_info=error)
    return PassingError("INTERNAL", f"The provider failed unexpectedly (log id {log_id}).")


def _storable(text: str) -> str:
    """Return a provider's words without what PostgreSQL cannot hold, and not too many of them."""
    return text[:_MOST_MESSAGE].encode("utf-8", "replace").decode().replace("\x00", "")
