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
from schema.limits import inputs_of, list_sizes
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
            document: DocumentNode = execution.graphql_document
            operation = get_operation_ast(document, execution.operation_name)
            if rate is not None and operation is not None:
                number = count_mutations(document, operation, execution.variables or {})
                try:
                    await rate.take(context.identity.subject, number)
                except TooManyMutations as error:
                    # What has a result is not executed.
                    told = GraphQLError(str(error), operation, original_error=error)
                    execution.result = ExecutionResult(data=None, errors=[told])
        yield


def count_mutations(
    document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, object]
) -> int:
    """Return how many mutations an operation makes: its fields, one that has many inputs for each of them."""
    fragments = {
        definition.name.value: definition.selection_set
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    sizes = list_sizes(document, variables)
    # Fields of one name in the answer are one field, with the same arguments.
    fields = {(node.alias or node.name).value: node for node in _fields(operation.selection_set, fragments, set())}
    return sum(max(inputs_of(node, sizes), 1) for node in fields.values())


def _fields(
    selections: SelectionSetNode, fragments: Mapping[str, SelectionSetNode], seen: set[str]
) -> Iterator[FieldNode]:
    for node in selections.selections:
        if isinstance(node, FieldNode):
            if not node.name.value.startswith(_META):
                yield node
        elif not isinstance(node, FragmentSpreadNode):
            yield from _fields(node.selection_set, fragments, seen)  # type: ignore[attr-defined]
        elif node.name.value not in seen:
            seen.add(node.name.value)
            yield from _fields(fragments[node.name.value], fragments, seen)
