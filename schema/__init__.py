"""The GraphQL face of lorekeeper: the assembled schema."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from graphql import (
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)
from strawberry import Schema
from strawberry.extensions import ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from schema.errors import CodedErrors
from schema.mutations import Mutation
from schema.queries import Query
from schema.sharing import SharedExecutor, SharedResultsRunner
from schema.subscriptions import Subscription
from schema.types import Asset, AssetJob

_CACHED_DOCUMENTS: Final = 500


class _Schema(Schema):
    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Strawberry's own
        super().__init__(**options)
        _drop_null_defaults(self._schema)

    async def execute(self, query: str | None, **options: Any) -> ExecutionResult:  # type: ignore[override] # noqa: ANN401
        """Execute what has one answer: a subscription has none, it is streamed."""
        allowed = set(options.pop("allowed_operation_types", OperationType)) - {OperationType.SUBSCRIPTION}
        return await super().execute(query, allowed_operation_types=allowed, **options)

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SharedResultsRunner:
        """Run the extensions of one operation."""
        return SharedResultsRunner(execution_context, extensions)

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Leave the logging to `CodedErrors`, which knows what is worth it."""


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """Publish what may be left out without a default: `= null` is how Strawberry reads Python's own default."""
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLInputObjectType):
            inputs = list(kind.fields.values())
        elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            inputs = [argument for field in kind.fields.values() for argument in field.args.values()]
        else:
            continue
        for value in inputs:
            if value.default_value is None:
                value.default_value = Undefined


class _ParserCache(ParserCache):
    def on_parse(self) -> Iterator[None]:
        """Use the cached document; one that does not parse is left to Strawberry, which reports it properly."""
        with suppress(GraphQLError):
            self.execution_context.graphql_document = self.cached_parse_document(
                self.execution_context.query, **self.execution_context.parse_options
            )
        yield


def build_schema() -> Schema:
    """Assemble the schema."""
    return _Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[AssetJob, Asset],
        execution_context_class=SharedExecutor,
        extensions=[
            CodedErrors,
            lambda: _ParserCache(maxsize=_CACHED_DOCUMENTS),
            lambda: ValidationCache(maxsize=_CACHED_DOCUMENTS),
        ],
        config=StrawberryConfig(),
    )
