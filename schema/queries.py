"""The queries of the contract."""

from collections.abc import Iterable
from datetime import UTC, datetime

import strawberry
from strawberry import ID
from strawberry.utils.str_converters import to_camel_case

from schema.connections import AssetConnection, AssetJobConnection, PageArguments, list_assets, list_jobs
from schema.context import Operation
from schema.queues import QueueStats
from schema.types import Asset, AssetJob, Node, Provider
from services.access import Caller, Scope
from services.asset_queries import AssetFilter
from services.errors import InvalidInput
from services.intake import check_name, parse_id
from services.job_queries import JobFilter
from services.lifecycle import JobStatus
from services.models import AssetStatus, AssetType


@strawberry.input(name="JobFilter")
class JobFilterInput:
    """Which jobs to list."""

    world_id: ID | None = None
    status: list[JobStatus] | None = None
    asset_type: list[AssetType] | None = None
    provider: str | None = None
    requested_by: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def to_filter(self, caller: Caller) -> JobFilter:
        """Return the filter as the store knows it, confined to the caller's worlds.

        Raises:
            InvalidInput: an instant without a time zone or outside the calendar, or a name that cannot be one.
        """
        _check_names(self, ("world_id", "provider", "requested_by"))
        return JobFilter(
            world_id=self.world_id,
            status=self.status,
            asset_type=self.asset_type,
            provider=self.provider,
            requested_by=self.requested_by,
            created_after=_aware(self.created_after, "createdAfter"),
            created_before=_aware(self.created_before, "createdBefore"),
            worlds=caller.worlds,
        )


@strawberry.input(name="AssetFilter")
class AssetFilterInput:
    """Which assets to list: by what they are, and by what they derive from."""

    world_id: ID | None = None
    asset_type: list[AssetType] | None = None
    status: AssetStatus | None = None
    created_by: str | None = None
    claim_id: ID | None = None
    entity_id: ID | None = None
    source_chunk_id: ID | None = None
    source_id: ID | None = None

    def to_filter(self, caller: Caller) -> AssetFilter:
        """Return the filter as the store knows it, confined to the caller's worlds.

        Raises:
            InvalidInput: a name that cannot be one.
        """
        _check_names(self, ("world_id", "created_by", "claim_id", "entity_id", "source_chunk_id", "source_id"))
        return AssetFilter(
            world_id=self.world_id,
            asset_type=self.asset_type,
            status=self.status,
            created_by=self.created_by,
            claim_id=self.claim_id,
            entity_id=self.entity_id,
            source_chunk_id=self.source_chunk_id,
            source_id=self.source_id,
            worlds=caller.worlds,
        )


def _check_names(wanted: JobFilterInput | AssetFilterInput, fields: Iterable[str]) -> None:
    for name in fields:
        if (value := getattr(wanted, name)) is not None:
            check_name(value, ("filter", to_camel_case(name)))


def _aware(value: datetime | None, name: str) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise InvalidInput(["filter", name], "needs a time zone, such as a final Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(["filter", name], "lies outside the years 1 to 9999 in UTC") from None


@strawberry.type
class Query:
    """Reading."""

    @strawberry.field
    async def node(self, info: Operation, id: ID) -> Node | None:  # noqa: A002 - the contract's name
        """Find a job or an asset by id."""
        info.context.require(Scope.READ)
        node_id = parse_id(id)
        state = await info.context.jobs.load(node_id)
        if state is not None:
            return AssetJob.of(state)
        asset = await info.context.assets.load(node_id)
        return None if asset is None else Asset.of(asset)

    @strawberry.field
    async def job(self, info: Operation, id: ID) -> AssetJob | None:  # noqa: A002 - the contract's name
        """Find a job by id."""
        info.context.require(Scope.READ)
        state = await info.context.jobs.load(parse_id(id))
        return None if state is None else AssetJob.of(state)

    @strawberry.field
    async def jobs(  # noqa: PLR0913, PLR0917 - the contract's arguments
        self,
        info: Operation,
        filter: JobFilterInput | None = None,  # noqa: A002 - the contract's name
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> AssetJobConnection:
        """List jobs, newest first."""
        caller = info.context.require(Scope.READ)
        wanted = (filter or JobFilterInput()).to_filter(caller)
        most = info.context.resources.settings.max_page
        return await list_jobs(info, wanted, PageArguments(most, first, after, last, before))

    @strawberry.field
    async def asset(self, info: Operation, id: ID) -> Asset | None:  # noqa: A002 - the contract's name
        """Find an asset by id."""
        info.context.require(Scope.READ)
        record = await info.context.assets.load(parse_id(id))
        return None if record is None else Asset.of(record)

    @strawberry.field
    async def assets(  # noqa: PLR0913, PLR0917 - the contract's arguments
        self,
        info: Operation,
        filter: AssetFilterInput | None = None,  # noqa: A002 - the contract's name
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> AssetConnection:
        """List assets, newest first, the deleted ones too unless the filter chooses."""
        caller = info.context.require(Scope.READ)
        wanted = (filter or AssetFilterInput()).to_filter(caller)
        most = info.context.resources.settings.max_page
        return await list_assets(info, wanted, PageArguments(most, first, after, last, before))

    @strawberry.field(description="Those that make assets of a type; all without one.")
    def providers(self, info: Operation, asset_type: AssetType | None = None) -> list[Provider]:
        """List what can be asked for."""
        info.context.require(Scope.READ)
        catalog = info.context.resources.catalog
        return [Provider.of(spec) for spec in catalog if asset_type is None or asset_type in spec.asset_types]

    @strawberry.field(description="Scope queue:admin.")
    async def queues(self, info: Operation) -> list[QueueStats]:
        """Ask SQS how much each queue holds."""
        info.context.require(Scope.ADMIN)
        return [QueueStats.of(depth) for depth in await info.context.resources.queue_operations.depths()]
