"""The GraphQL face of lorekeeper: the assembled schema."""

from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)
from graphql.execution import Executor
from strawberry import Schema
from strawberry.extensions import MaxTokensLimiter, SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from schema.context import Context
from schema.documents import CheckedDocuments, Documents
from schema.errors import CodedErrors, coded
from schema.limits import Limits
from schema.mutation_limit import MutationLimit
from schema.mutations import Mutation
from schema.queries import Query
from schema.sharing import SharedExecutor, SharedResultsRunner
from schema.subscriptions import Subscription
from schema.types import Asset, AssetJob
from services.settings import Settings


class _Schema(Schema):
    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Strawberry's own
        super().__init__(**options)
        _drop_null_defaults(self._schema)

    async def execute(self, query: str | None, **options: Any) -> ExecutionResult:  # type: ignore[override] # noqa: ANN401
        """Execute what has one answer: a subscription has none, it is streamed."""
        allowed = set(options.pop("allowed_operation_types", OperationType)) - {OperationType.SUBSCRIPTION}
        result = await super().execute(query, allowed_operation_types=allowed, **options)
        if result.errors and any("code" not in (error.extensions or {}) for error in result.errors):
            result.errors = coded(result.errors)  # an extension has failed, where none masks errors any more
        return result

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


class _SilentExecutor(SharedExecutor):
    """Executes without suggesting names where something in the variables is wrong."""

    @classmethod
    def build(cls, *arguments: Any, **options: Any) -> "list[GraphQLError] | Executor[Context]":  # noqa: ANN401 - graphql-core's
        """Return what executes an operation, or what is wrong with its variables."""
        return super().build(*arguments, **options | {"hide_suggestions": True})


def build_schema(settings: Settings | None = None) -> Schema:
    """Assemble the schema, with the limits that are configured or those by default."""
    settings = settings or Settings.model_construct()
    documents = Documents(Limits.of(settings), introspection=settings.introspection)
    return _Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[AssetJob, Asset],
        execution_context_class=SharedExecutor if settings.introspection else _SilentExecutor,
        extensions=[
            CodedErrors,
            lambda: MaxTokensLimiter(max_token_count=settings.max_tokens),
            lambda: CheckedDocuments(documents),
            MutationLimit,
        ],
        config=StrawberryConfig(),
    )
