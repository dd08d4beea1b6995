"""The subscriptions of the contract."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import strawberry
from strawberry import ID

from schema.context import Operation
from schema.types import JobUpdate
from services.intake import parse_id


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
        stream = info.context.resources.streams.job_updates(parse_id(job_id, ["jobId"]), after)
        # Closed here and now when the client leaves: left to the garbage collector, its channel would linger.
        async with aclosing(stream):
            async for update in stream:
                yield JobUpdate.of(update)
