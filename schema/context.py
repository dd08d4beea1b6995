"""What one operation knows: the process's resources, its caller, and the loaders that batch its reads."""

from functools import cached_property
from uuid import UUID

from strawberry.dataloader import DataLoader
from strawberry.types import Info

from schema.clients import Admission
from services.access import Caller, Scope
from services.asset_queries import find_assets
from services.errors import Unauthenticated
from services.job_queries import JobState, LogPage, LogRange, find_derivations, find_jobs, no_job, read_logs
from services.models import AssetRecord, DerivationRecord, WebhookDeliveryRecord
from services.resources import Resources
from services.webhooks import find_deliveries


class Context:
    """The context of one HTTP request, or of one WebSocket connection.

    Args:
        resources: what the process works with.
        credentials: the header `Authorization` that came with the request or the handshake.
        base_url: the address under which the caller reached this server.
        admission: what counts the connection, for a WebSocket.
        lasting: whether the context outlives one answer, as that of a WebSocket does. Its loaders then batch
            but do not remember, for rows change.
        resume_after: the cursor that the transport itself carries, as `Last-Event-ID` does; it counts before
            the argument of the operation, which a client that reconnects by itself sends unchanged.
    """

    def __init__(  # noqa: PLR0913 - by name
        self,
        resources: Resources,
        base_url: str,
        *,
        lasting: bool,
        credentials: str | None = None,
        admission: Admission | None = None,
        resume_after: str | None = None,
    ) -> None:
        self.resources = resources
        self.identity: Caller | None = None
        self.credentials = credentials
        self.base_url = base_url
        self.admission = admission
        self.resume_after = resume_after
        self._remembers = not lasting
        self.connection_params: dict[str, object] | None = None

    @property
    def caller(self) -> Caller:
        """Who asks.

        Raises:
            Unauthenticated: the transport has not found out.
        """
        if self.identity is None:
            raise Unauthenticated("A token is needed.")
        return self.identity

    def require(self, scope: Scope) -> Caller:
        """Return the caller, if it may do this.

        Raises:
            Unauthenticated: nobody has told who asks.
            Forbidden: the caller's token does not have the scope.
        """
        self.caller.require(scope)
        return self.caller

    @cached_property
    def jobs(self) -> DataLoader[UUID, JobState | None]:
        """The jobs of the caller's worlds by id."""

        async def load(ids: list[UUID]) -> list[JobState | None]:
            async with self.resources.database.connect() as connection:
                found = await find_jobs(connection, ids)
            visible = {key: state for key, state in found.items() if self.caller.may_see(state.job.world_id)}
            return [visible.get(job_id) for job_id in ids]

        return DataLoader(load, cache=self._remembers)

    @cached_property
    def assets(self) -> DataLoader[UUID, AssetRecord | None]:
        """The assets of the caller's worlds by id."""

        async def load(ids: list[UUID]) -> list[AssetRecord | None]:
            async with self.resources.database.connect() as connection:
                found = await find_assets(connection, ids)
            visible = {key: asset for key, asset in found.items() if self.caller.may_see(asset.world_id)}
            return [visible.get(asset_id) for asset_id in ids]

        return DataLoader(load, cache=self._remembers)

    @cached_property
    def derivations(self) -> DataLoader[UUID, DerivationRecord]:
        """Derivations by job."""

        async def load(ids: list[UUID]) -> list[DerivationRecord]:
            async with self.resources.database.connect() as connection:
                found = await find_derivations(connection, ids)
            return [found[job_id] for job_id in ids]

        return DataLoader(load, cache=self._remembers)

    @cached_property
    def webhooks(self) -> DataLoader[UUID, list[WebhookDeliveryRecord]]:
        """The latest deliveries of jobs' webhooks."""

        async def load(ids: list[UUID]) -> list[list[WebhookDeliveryRecord]]:
            async with self.resources.database.connect() as connection:
                found = await find_deliveries(connection, ids)
            return [found.get(job_id, []) for job_id in ids]

        return DataLoader(load, cache=self._remembers)

    @cached_property
    def logs(self) -> DataLoader[LogRange, LogPage]:
        """Stretches of jobs' histories."""

        async def load(wanted: list[LogRange]) -> list[LogPage | BaseException]:
            async with self.resources.database.connect() as connection:
                pages = await read_logs(connection, wanted)
            return [page or no_job(asked.job_id) for page, asked in zip(pages, wanted, strict=True)]

        return DataLoader(load, cache=self._remembers)


Operation = Info[Context, None]
