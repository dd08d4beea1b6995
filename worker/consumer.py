"""The consumer: claims the jobs of the messages that come, hands them to the runner; deals with all others."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from services.batching import Waiting, answering
from services.dispatcher import job_of
from services.errors import Unavailable
from services.job_store import advance, claim_moves, explain
from services.lifecycle import Event, JobStatus
from services.messages import Delivery
from services.moves import Move, Moved, Refusal
from services.resources import Resources
from services.updates import JobUpdate
from worker.polling import Poller
from worker.runner import Runner, what_became

_STOP_WAIT: Final = timedelta(seconds=5)
_SOON: Final = timedelta(seconds=2)
"""A delivery that is early by less is kept here: SQS counts whole seconds, and takes a request to hide it."""

log = structlog.get_logger(__name__)


class Consumer:
    """Takes jobs from the queue until it is told to stop."""

    def __init__(self, resources: Resources, runner: Runner) -> None:
        self._database = resources.database
        self._queues = resources.queues
        self._poller = Poller(
            resources.queues,
            lambda delivery: runner.hide(delivery, timedelta()),
            keep=resources.settings.lease / 3,
        )
        self._publisher = resources.publisher
        self._webhook_bell = resources.webhook_bell
        self._lease = resources.settings.lease
        self._runner = runner
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._looping = False
        self._kept: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Receive for ever; once told to stop, only wait to be cancelled.

        Raises:
            Unavailable: SQS or PostgreSQL does not answer.
        """
        stopping = asyncio.create_task(self._stopping.wait())
        self._looping = True
        try:
            while not self._stopping.is_set():
                receiving = asyncio.create_task(self._receive())
                try:
                    await asyncio.wait((receiving, stopping), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not receiving.done():
                        receiving.cancel()
                if self._stopping.is_set():
                    await self._give_back(receiving)
                    break
                # Never cancelled half way: what is claimed must be begun.
                await self.take(receiving.result())
        finally:
            self._looping = False
            stopping.cancel()
            if self._stopping.is_set():
                self._stopped.set()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Receive no more; return when what was received is claimed and begun."""
        self._stopping.set()
        for task in self._kept:
            task.cancel()
        if self._looping:  # else it failed, and waits to be started again
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_WAIT.total_seconds()):
                    await self._stopped.wait()
        await self._poller.stop()

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
                self._runner.delete(delivery)  # one message for a job is enough
            else:
                wanted[job_id] = delivery
        if wanted:
            await self._claim(wanted)
        if unreadable:
            log.error("message.unreadable", messages=len(unreadable))
            await self._queues.bury(unreadable)

    async def _receive(self) -> list[Delivery]:
        return await self._poller.receive(await self._runner.wait_for_room())

    async def _give_back(self, receiving: "asyncio.Task[list[Delivery]]") -> None:
        """Let messages that arrived while stopping be received by others at once."""
        with suppress(asyncio.CancelledError, Unavailable):
            for delivery in await receiving:
                self._runner.hide(delivery, timedelta())

    async def _claim(self, wanted: Mapping[UUID, Delivery]) -> None:
        """Claim jobs and begin them; results that wait to be settled ride along in the same statement."""
        riders = self._runner.settler.take()
        settled = {move.job_id for move, _ in riders}
        # A job that is being settled is not claimed by the same statement: of two moves that fit, which is taken?
        moves = claim_moves((job_id for job_id in wanted if job_id not in settled), self._lease)
        try:
            taken = await self._advance(moves, riders)
        except Unavailable:
            raise
        except Exception:
            if not riders:
                raise
            # One of the riders is refused; each tries again alone, and the claim is not theirs to fail.
            log.exception("claim.rider_refused", riders=len(riders))
            taken = await self._advance(moves, [])
        claimed = {move.job_id: taken[move.job_id] for move in moves if what_became(move, taken) is not None}
        for job_id, moved in claimed.items():
            if moved.job.status is JobStatus.PROCESSING:
                self._runner.begin(moved, wanted[job_id])
            else:
                self._runner.delete(wanted[job_id])
        refused = {job_id: delivery for job_id, delivery in wanted.items() if job_id not in claimed}
        if refused:
            async with self._database.connect() as connection:
                refusals = await explain(connection, [Move(job_id, Event.CLAIM) for job_id in refused])
            for job_id, delivery in refused.items():
                self._put_off(delivery, refusals[job_id])

    async def _advance(self, moves: Sequence[Move], riders: Waiting[Move, Moved | None]) -> Mapping[UUID, Moved]:
        async with answering(riders), self._database.connect() as connection:
            taken = await advance(connection, [*moves, *(move for move, _ in riders)], with_inputs=True)
            for move, future in riders:
                if not future.done():
                    future.set_result(what_became(move, taken))
        self._publisher.publish(map(JobUpdate.of_move, taken.values()))
        self._webhook_bell.ring(taken.values())
        return taken

    def _put_off(self, delivery: Delivery, refusal: Refusal) -> None:
        """Deal with a delivery whose job cannot be claimed now."""
        if refusal.wait is None:
            if refusal.status is None:
                log.warning("message.without_job", body=delivery.body)
            # The row is the record: a final job needs no message.
            self._runner.delete(delivery)
        elif refusal.wait < _SOON and not self._stopping.is_set():
            task = asyncio.create_task(self._take_later(delivery, refusal.wait))
            self._kept.add(task)
            task.add_done_callback(self._kept.discard)
        else:
            # Counted in whole seconds, rounded up, from later on than PostgreSQL measured: it is over by then.
            self._runner.hide(delivery, refusal.wait)

    async def _take_later(self, delivery: Delivery, wait: timedelta) -> None:
        """Keep a delivery, and the room for its job, until the job can be claimed."""
        with self._runner.reserving():
            try:
                await asyncio.sleep(wait.total_seconds())
            except asyncio.CancelledError:
                self._runner.hide(delivery, timedelta())
                raise
            with suppress(Unavailable):  # the message comes back when its visibility ends
                await self.take([delivery])
