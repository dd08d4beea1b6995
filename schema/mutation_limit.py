"""No mutation is executed before its caller was asked for: the extension counts each field of each mutation."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    get_operation_ast,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from schema.context import Context
from services.errors import TooManyMutations

_META: Final = "__"


class MutationLimit(SchemaExtension):
    """Refuses a mutation whose caller makes too many, before anything of it is executed."""

    async def on_execute(self) -> AsyncIterator[None]:
        """Ask for a caller's mutations. Nobody's are refused by their resolvers."""
        execution: Any = self.execution_context
        context: Context = execution.context
        if execution.operation_type is OperationType.MUTATION and context.identity is not None:
            rate = context.resources.mutation_rate
            operation = get_operation_ast(execution.graphql_document, execution.operation_name)
            if rate is not None and operation is not None:
                try:
                    await rate.take(context.identity.subject, _count(execution.graphql_document, operation))
                except TooManyMutations as error:
                    # What has a result is not executed.
                    told = GraphQLError(str(error), operation, original_error=error)
                    execution.result = ExecutionResult(data=None, errors=[told])
        yield


def _count(document: DocumentNode, operation: OperationDefinitionNode) -> int:
    """Return how many mutations an operation makes: its fields, by the names that they have in the answer."""
    fragments = {
        definition.name.value: definition.selection_set
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    return len(set(_names(operation.selection_set, fragments, set())))


def _names(
    selections: SelectionSetNode, fragments: Mapping[str, SelectionSetNode], seen: set[str]
) -> Iterator[str]:
    for node in selections.selections:
        if isinstance(node, FieldNode):
            if not node.name.value.startswith(_META):
                yield (node.alias or node.name).value
        elif not isinstance(node, FragmentSpreadNode):
            yield from _names(node.selection_set, fragments, seen)  # type: ignore[attr-defined]
        elif node.name.value not in seen:
            seen.add(node.name.value)
            yield from _names(fragments[node.name.value], fragments, seen)
