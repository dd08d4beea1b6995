"""The GraphQL face of lorekeeper: the assembled schema."""

from graphql import GraphQLError
from strawberry import Schema
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from schema.errors import CodedErrors
from schema.mutations import Mutation
from schema.queries import Query
from schema.subscriptions import Subscription
from schema.types import Asset, AssetJob

_CACHED_DOCUMENTS = 500


class _Schema(Schema):
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Leave the logging to `CodedErrors`, which knows what is worth it."""


def build_schema() -> Schema:
    """Assemble the schema."""
    return _Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[AssetJob, Asset],
        extensions=[
            CodedErrors,
            lambda: ParserCache(maxsize=_CACHED_DOCUMENTS),
            lambda: ValidationCache(maxsize=_CACHED_DOCUMENTS),
        ],
        config=StrawberryConfig(),
    )
