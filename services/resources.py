"""Opening what a process needs, in order, and closing it in reverse; imports open nothing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aioboto3 import Session
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import EndpointConnectionError
from redis.asyncio import Redis

from services.assets import Assets
from services.catalog import Catalog, build_catalog
from services.database import Database
from services.dispatcher import Dispatcher
from services.errors import ConfigurationError
from services.events import Publisher, open_redis
from services.feed import Feed
from services.intake import InputLimits
from services.jobs import Jobs
from services.local_sqs import LOCAL_CREDENTIAL
from services.local_stack import LocalStackNotRunning, Part, read_stack
from services.mutation_rate import MutationRate
from services.plugins import Plugin, load_plugins
from services.queue_operations import QueueOperations
from services.queue_watch import QueueWatch
from services.queues import Queues
from services.service_catalog import service_specs
from services.settings import Settings
from services.sqs import LONG_POLL
from services.storage import LocalStorage, S3Storage, Storage, signing_secret
from services.streams import Streams
from services.tokens import Tokens, open_tokens
from services.uploads import Uploads
from services.webhook_signing import Signer, open_signer
from services.webhooks import Bell

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services answer: as configured, or the embedded ones of the home."""

    database_url: str
    redis_url: str
    aws_endpoint_url: str | None
    embedded: frozenset[Part]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process works with."""

    settings: Settings
    endpoints: Endpoints
    plugins: Sequence[Plugin]
    catalog: Catalog
    database: Database
    redis: Redis
    queues: Queues
    queue_operations: QueueOperations
    queue_watch: QueueWatch
    storage: Storage
    publisher: Publisher
    feed: Feed
    streams: Streams
    dispatcher: Dispatcher
    jobs: Jobs
    tokens: Tokens | None
    assets: Assets
    uploads: Uploads
    mutation_rate: MutationRate | None
    webhook_signer: Signer | None
    webhook_bell: Bell


def parts_to_embed(settings: Settings) -> frozenset[Part]:
    """Return which services are not configured, so that the embedded ones serve."""
    configured = {
        Part.POSTGRES: settings.database_url is not None,
        Part.REDIS: settings.redis_url is not None,
        Part.SQS: settings.uses_aws,
    }
    return frozenset(part for part, is_configured in configured.items() if not is_configured)


def find_endpoints(settings: Settings) -> Endpoints:
    """Return where the services answer.

    Raises:
        ConfigurationError: one is neither configured nor running in the home.
    """
    embedded = parts_to_embed(settings)
    urls: dict[Part, str] = {}
    if embedded:
        try:
            urls = {part: endpoint.url for part, endpoint in read_stack(settings.home).items()}
        except LocalStackNotRunning as error:
            raise ConfigurationError(f"DATABASE_URL and the like are not set, and {error}") from error
    missing = embedded - urls.keys()
    if missing:
        raise ConfigurationError(f"{', '.join(sorted(missing))}: neither configured nor running")
    return Endpoints(
        database_url=str(settings.database_url or urls[Part.POSTGRES]),
        redis_url=str(settings.redis_url or urls[Part.REDIS]),
        aws_endpoint_url=urls[Part.SQS] if Part.SQS in embedded else _optional(settings.aws_endpoint_url),
        embedded=embedded,
    )


def find_database_url(settings: Settings) -> str:
    """Return where PostgreSQL answers, whatever the other services do.

    Raises:
        ConfigurationError: it is neither configured nor running in the home.
    """
    if settings.database_url is not None:
        return str(settings.database_url)
    try:
        return read_stack(settings.home)[Part.POSTGRES].url
    except (LocalStackNotRunning, KeyError) as error:
        raise ConfigurationError(f"DATABASE_URL is not set, and {error}") from error


@asynccontextmanager
async def open_resources(settings: Settings, endpoints: Endpoints, *, name: str) -> AsyncIterator[Resources]:
    """Open every connection that the process owns; close in reverse order.

    Args:
        settings: the configuration.
        endpoints: where the services answer.
        name: what the process is called where it connects.
    """
    timeout = timedelta(seconds=settings.request_timeout_s)
    async with AsyncExitStack() as stack:
        database = Database(endpoints.database_url, timeout=timeout, name=name)
        stack.push_async_callback(database.close)
        redis = await stack.enter_async_context(open_redis(endpoints.redis_url, timeout=timeout))
        session = _session(settings, endpoints)
        client, receiver = [
            await stack.enter_async_context(
                session.client("sqs", endpoint_url=endpoints.aws_endpoint_url, config=_config(patience))
            )
            for patience in (timeout, timeout + LONG_POLL)
        ]
        queues = Queues.named(
            settings.sqs_queue_name, client, receiver, visibility=settings.lease, fifo=settings.sqs_fifo
        )
        operations = QueueOperations(list(queues), allow_purge=settings.allow_purge)
        storage = await _open_storage(stack, settings, endpoints, session)
        plugins = load_plugins()
        others = [*service_specs(settings), *(plugin.spec for plugin in plugins)]
        catalog = build_catalog(simulator=settings.simulator_enabled, others=others)
        publisher = Publisher(redis)
        feed = Feed(redis)
        dispatcher = Dispatcher(database, queues)
        # Before its connections: what it has under way would find them closed, or open those to PostgreSQL again.
        stack.push_async_callback(dispatcher.close)
        signer = open_signer(settings, embedded=Part.POSTGRES in endpoints.embedded)
        limits = _input_limits(settings, webhooks=signer is not None)
        yield Resources(
            settings=settings,
            endpoints=endpoints,
            plugins=plugins,
            catalog=catalog,
            database=database,
            redis=redis,
            queues=queues,
            queue_operations=operations,
            queue_watch=QueueWatch(operations),
            storage=storage,
            publisher=publisher,
            feed=feed,
            streams=Streams(database, feed),
            dispatcher=dispatcher,
            jobs=Jobs(database, catalog, dispatcher, publisher, limits),
            tokens=open_tokens(settings),
            assets=Assets(database, storage),
            uploads=Uploads(storage),
            mutation_rate=_mutation_rate(settings, redis),
            webhook_signer=signer,
            webhook_bell=Bell(),
        )


def _input_limits(settings: Settings, *, webhooks: bool) -> InputLimits:
    return InputLimits(
        prompt_bytes=settings.max_prompt_bytes,
        snapshot_bytes=settings.max_snapshot_bytes,
        depth=settings.max_json_depth,
        references=settings.max_references,
        webhooks=webhooks,
    )


def _mutation_rate(settings: Settings, redis: Redis) -> MutationRate | None:
    per_s = settings.mutations_per_s
    return MutationRate(redis, per_s=per_s, burst=settings.max_mutation_burst) if per_s else None


async def _open_storage(
    stack: AsyncExitStack, settings: Settings, endpoints: Endpoints, session: Session
) -> Storage:
    if settings.s3_bucket is None:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = settings.signing_secret
        return LocalStorage(
            settings.home / "assets",
            secret.get_secret_value().encode() if secret else signing_secret(settings.home),
        )
    # Buckets made since 2020 take no other signature in links.
    config = _config(timedelta(seconds=settings.request_timeout_s), signature_version="s3v4")

    async def client(endpoint: str | None) -> "S3Client":
        opened: S3Client = await stack.enter_async_context(
            session.client("s3", endpoint_url=endpoint, config=config)
        )
        return opened

    inner = await client(endpoints.aws_endpoint_url)
    outer = settings.s3_public_endpoint_url
    return S3Storage(inner, settings.s3_bucket, inner if outer is None else await client(str(outer)))


def _session(settings: Settings, endpoints: Endpoints) -> Session:
    credentials: dict[str, Any] = {}
    if settings.aws_access_key_id is not None and settings.aws_secret_access_key is not None:
        credentials = {
            "aws_access_key_id": settings.aws_access_key_id.get_secret_value(),
            "aws_secret_access_key": settings.aws_secret_access_key.get_secret_value(),
        }
    elif Part.SQS in endpoints.embedded:
        credentials = {
            "aws_access_key_id": LOCAL_CREDENTIAL,
            "aws_secret_access_key": LOCAL_CREDENTIAL,
        }
    return Session(region_name=settings.sqs_region, **credentials)


def _config(timeout: timedelta, *, signature_version: str | None = None) -> AioConfig:
    seconds = timeout.total_seconds()
    return AioConfig(
        connect_timeout=seconds,
        read_timeout=seconds,
        max_pool_connections=50,
        retries={"mode": "standard", "total_max_attempts": 2},
        s3={"addressing_style": "path"},
        user_agent_extra="lorekeeper",
        signature_version=signature_version,
        http_session_cls=_Connections,
    )


class _Connections(AIOHTTPSession):
    """Connections to AWS that stay closed: aiobotocore's would open others for a request that comes too late."""

    _is_closed = False

    async def __aexit__(self, *raised: Any) -> None:  # noqa: ANN401, PYI036 - as aiobotocore calls it
        self._is_closed = True
        await super().__aexit__(*raised)

    async def send(self, request: Any) -> Any:  # noqa: ANN401 - aiobotocore's signature
        if self._is_closed:
            raise EndpointConnectionError(endpoint_url=request.url, error="the client is closed")
        return await super().send(request)


def _optional(url: object | None) -> str | None:
    return None if url is None else str(url)
