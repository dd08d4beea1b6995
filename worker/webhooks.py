"""The sender of webhooks: claims deliveries that are due, calls their targets, writes down what came of it.

Any worker sends. What its own runs end it sends at once. The rest (jobs that a client cancelled, tries that are
due again, deliveries of a sender that died) it finds when it looks, every five seconds: one statement each time
while there is nothing to do, 0.2 a second and worker.

    try      1    2     3      4       5       6       7    8    9     10
    wait     -    5 s   30 s   2 min   10 min  30 min  2 h  6 h  16 h  47 h

Each wait is up to a fifth shorter, at random, so all is over within three days; a `Retry-After` can make it
longer. A 2xx is the end, a 410 too, and so is the tenth try.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import structlog

from services.batching import Batcher
from services.database import Database
from services.errors import Unavailable
from services.models import MOST_TRIES, WebhookStatus
from services.resources import Resources
from services.webhook_signing import Signer
from services.webhooks import Bell, DueDelivery, Outcome, claim_due, settle
from worker.webhook_calls import Answer, Caller, open_caller, phrase

DEADLINE: Final = timedelta(seconds=15)
LEASE: Final = timedelta(seconds=30)
"""Twice the deadline: a sender that lives has settled by then."""
CONCURRENCY: Final = 20
LOOK_EVERY: Final = timedelta(seconds=5)
WAITS: Final = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=16),
    timedelta(hours=47),
)
_JITTER: Final = 0.2
_LONGEST_RETRY_AFTER: Final = timedelta(days=1)
_ASKS_TO_WAIT: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_SETTLE_LINGER: Final = timedelta(milliseconds=20)

log = structlog.get_logger(__name__)


class WebhookSender:
    """One worker's share. `run` must be kept running; `finish` ends it.

    Args:
        database: where deliveries wait.
        bell: rung when this process has stored some.
        signer: signs them.
        caller: calls their targets.
        lease: how long a claim lasts.
    """

    def __init__(
        self, database: Database, bell: Bell, signer: Signer, caller: Caller, *, lease: timedelta = LEASE
    ) -> None:
        self._database = database
        self._bell = bell
        self._signer = signer
        self._caller = caller
        self._lease = lease
        self._sending: set[asyncio.Task[None]] = set()
        self._settler: Batcher[Outcome, None] = Batcher(
            self._settle_together, most=CONCURRENCY, linger=_SETTLE_LINGER
        )

    async def run(self) -> None:
        """Send for ever.

        Raises:
            Unavailable: PostgreSQL does not answer.
        """
        while True:
            free = CONCURRENCY - len(self._sending)
            if free == 0:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
                continue
            async with self._database.connect() as connection:
                claimed = await claim_due(connection, lease=self._lease, most=free)
            for delivery in claimed:
                task = asyncio.create_task(self._send(delivery), name=f"webhook {delivery.id}")
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            if len(claimed) < free:
                await self._bell.wait(LOOK_EVERY)

    async def finish(self, grace: timedelta) -> None:
        """Let calls end within the grace; others make those that do not again, when their leases have ended."""
        if self._sending:
            _, left = await asyncio.wait(self._sending, timeout=grace.total_seconds())
            for task in left:
                task.cancel()
            if left:
                log.warning("webhook.cut", deliveries=len(left))
                await asyncio.wait(left)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._settler.drain()

    async def _send(self, delivery: DueDelivery) -> None:
        headers = self._signer.headers(delivery.id, delivery.body)
        answer = await self._caller.call(delivery.url, headers, delivery.body.encode())
        outcome = outcome_of(delivery, answer)
        log.info(
            "webhook.tried",
            delivery_id=str(delivery.id),
            job_id=str(delivery.job_id),
            attempt=delivery.attempts + 1,
            status=outcome.status,
            status_code=outcome.status_code,
            error=outcome.error,
        )
        try:
            await self._settler.put(outcome)
        except Unavailable as error:
            log.warning("webhook.unsettled", delivery_id=str(delivery.id), error=str(error))

    async def _settle_together(self, outcomes: Sequence[Outcome]) -> Sequence[None]:
        async with self._database.connect() as connection:
            settled = await settle(connection, outcomes)
        for outcome in outcomes:
            if outcome.delivery.id not in settled:
                log.warning("webhook.lease_lost", delivery_id=str(outcome.delivery.id))
        return [None] * len(outcomes)


@asynccontextmanager
async def open_sender(resources: Resources) -> AsyncIterator[WebhookSender | None]:
    """Open this process's sender; None where webhooks are switched off."""
    signer = resources.webhook_signer
    if signer is None:
        yield None
        return
    allow_private = resources.settings.webhook_private
    async with open_caller(deadline=DEADLINE, allow_private=allow_private) as caller:
        yield WebhookSender(resources.database, resources.webhook_bell, signer, caller)


def outcome_of(delivery: DueDelivery, answer: Answer) -> Outcome:
    """Return what becomes of a delivery by the answer to a try."""
    tries = delivery.attempts + 1
    status, retry_in, error = WebhookStatus.PENDING, None, answer.error
    if answer.status_code is not None and HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
        status = WebhookStatus.DELIVERED
    else:
        if answer.status_code is not None:
            error = f"The answer was {phrase(answer.status_code)}."
            if HTTPStatus.MULTIPLE_CHOICES <= answer.status_code < HTTPStatus.BAD_REQUEST:
                error += " Redirects are not followed."
        if tries >= MOST_TRIES or answer.status_code == HTTPStatus.GONE:
            status = WebhookStatus.FAILED
        else:
            retry_in = wait_after(tries, answer)
    return Outcome(delivery, status, answer.took, retry_in, answer.status_code, error)


def wait_after(tries: int, answer: Answer) -> timedelta:
    """Return the wait after so many tries, not before the instant that the last answer asks for."""
    wait = WAITS[tries - 1] * random.uniform(1 - _JITTER, 1)  # noqa: S311 - spreads load, guards nothing
    if answer.retry_after is None or answer.status_code not in _ASKS_TO_WAIT:
        return wait
    return max(wait, min(answer.retry_after, _LONGEST_RETRY_AFTER))
