"""The subscriptions of the contract."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

import strawberry
from strawberry import ID

from schema.context import Operation
from schema.queues import QueueStats, checked_interval
from schema.sharing import Deliveries
from schema.types import JobUpdate
from services.access import Scope
from services.intake import check_name, parse_id
from services.job_queries import no_job
from services.lifecycle import JobStatus
from services.models import AssetType
from services.sqs import QueueDepth
from services.streams import WorldFilter
from services.updates import StreamItem


@strawberry.input(name="WorldUpdateFilter")
class WorldUpdateFilterInput:
    """Which updates of a world to receive."""

    status: list[JobStatus] | None = None
    asset_type: list[AssetType] | None = None
    requested_by: str | None = None
    include_progress: bool | None = True

    def to_filter(self) -> WorldFilter:
        """Return the filter as the streams know it.

        Raises:
            InvalidInput: a name that cannot be one.
        """
        if self.requested_by is not None:
            check_name(self.requested_by, ("filter", "requestedBy"))
        return WorldFilter(
            status=None if self.status is None else frozenset(self.status),
            asset_type=None if self.asset_type is None else frozenset(self.asset_type),
            requested_by=self.requested_by,
            include_progress=self.include_progress is not False,
        )


@strawberry.type
class Subscription:
    """Watching."""

    @strawberry.subscription(
        description="Ends by itself after the final transition. Each seq at most once, none skipped, in order."
    )
    async def job_updates(
        self, info: Operation, job_id: ID, after: str | None = None
    ) -> AsyncGenerator[JobUpdate, None]:
        """Follow one job."""
        context = info.context
        caller = context.require(Scope.READ)
        wanted = parse_id(job_id, ["jobId"])
        # What is not confined needs no look at the job's world, and most callers are not.
        if caller.worlds is not None and await context.jobs.load(wanted) is None:
            raise no_job(wanted)
        return _typed(context.resources.streams.job_updates(wanted, context.resume_after or after))

    @strawberry.subscription(
        description="Every job of one world, until the client leaves; from now, or from 'after'. "
        "Each job's updates in order, none skipped."
    )
    async def world_updates(
        self,
        info: Operation,
        world_id: ID,
        filter: WorldUpdateFilterInput | None = None,  # noqa: A002 - the contract's name
        after: str | None = None,
    ) -> AsyncGenerator[JobUpdate, None]:
        """Follow all jobs of a world."""
        caller = info.context.require(Scope.READ)
        wanted = WorldFilter() if filter is None else filter.to_filter()
        cursor = info.context.resume_after or after
        world = check_name(world_id, ("worldId",))
        caller.require_world(world)
        return _typed(info.context.resources.streams.world_updates(world, wanted, cursor))

    @strawberry.subscription(description="Scope queue:admin.")
    async def queue_stats(
        self, info: Operation, interval_seconds: float | None = 2
    ) -> AsyncGenerator[list[QueueStats], None]:
        """Follow how much the queues hold."""
        info.context.require(Scope.ADMIN)
        return _measured(info.context.resources.queue_watch.depths(checked_interval(interval_seconds)))


async def _measured(
    stream: AsyncGenerator[Sequence[QueueDepth], None],
) -> AsyncGenerator[list[QueueStats], None]:
    async with aclosing(stream):  # at once: SQS is not asked for who has left
        async for depths in stream:
            yield [QueueStats.of(depth) for depth in depths]


def _typed(stream: AsyncGenerator[StreamItem, None]) -> AsyncGenerator[JobUpdate, None]:
    """Return a stream whose items `SharedExecutor` takes for what they tell of."""
    return cast("AsyncGenerator[JobUpdate, None]", Deliveries(stream))
