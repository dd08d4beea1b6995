"""A selection compiled to functions, for results that are made thousands of times a second.

graphql-core walks the document anew for every event. What a subscription selects is the same each time, and nearly
all of it are plain fields of objects in memory: those are read by a plan that is made once. Whatever else comes up
(a resolver with arguments, a null where there may be none) is left to graphql-core, which also words the errors.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, cast

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLOutputType,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails, collect_fields, collect_subfields
from strawberry.types.field import StrawberryField

Complete = Callable[[Any], Any]
"""From what a field resolved to, to what is encoded."""


class NotPlanned(Exception):
    """Only graphql-core can execute this."""


def plan(executor: Executor[Any]) -> Complete:
    """Compile the selection of a subscription; the function takes an event and returns its data.

    It raises NotPlanned for an event that needs graphql-core.
    """
    root = executor.schema.subscription_type
    assert root is not None  # noqa: S101 - a subscription is being executed
    fields = collect_fields(
        executor.schema, executor.fragments, executor.variable_values, root, executor.operation
    ).grouped_field_set
    if len(fields) != 1:
        return _leave
    ((name, details),) = fields.items()
    field = executor.schema.get_field(root, details[0].node.name.value)
    complete = _leave if field is None else _completion(executor, field.type, details)
    return lambda event: {name: complete(event)}


def _leave(_: object) -> Any:  # noqa: ANN401 - never returns
    raise NotPlanned


def _completion(executor: Executor[Any], kind: GraphQLOutputType, details: list[FieldDetails]) -> Complete:
    if is_non_null_type(kind):
        return _required(_completion(executor, kind.of_type, details))
    if is_list_type(kind):
        return _each(_completion(executor, kind.of_type, details))
    if isinstance(kind, GraphQLEnumType):
        return _named(kind)
    if is_leaf_type(kind):
        return _leaf(kind.coerce_output_value)
    if is_object_type(kind):
        return _members(executor, kind, details)
    return _leave


def _required(complete: Complete) -> Complete:
    def completed(value: object) -> Any:  # noqa: ANN401 - JSON
        result = complete(value)
        if result is None:
            raise NotPlanned
        return result

    return completed


def _each(complete: Complete) -> Complete:
    def completed(value: Any) -> Any:  # noqa: ANN401 - JSON
        return None if value is None else [complete(item) for item in value]

    return completed


def _named(kind: GraphQLEnumType) -> Complete:
    names = {value.value: name for name, value in kind.values.items()}

    def completed(value: Any) -> Any:  # noqa: ANN401 - JSON
        if value is None:
            return None
        name = names.get(value)
        return kind.coerce_output_value(value) if name is None else name

    return completed


def _leaf(coerce: Complete) -> Complete:
    def completed(value: object) -> Any:  # noqa: ANN401 - JSON
        return None if value is None else coerce(value)

    return completed


def _members(executor: Executor[Any], kind: Any, details: list[FieldDetails]) -> Complete:  # noqa: ANN401 - an object type
    fields = collect_subfields(
        executor.schema, executor.fragments, executor.variable_values, executor.operation, kind, details
    ).grouped_field_set
    members: list[tuple[str, Complete, Complete]] = []
    for name, found in fields.items():
        field_name = found[0].node.name.value
        if field_name == "__typename":
            members.append((name, lambda _: kind.name, str))
            continue
        field = kind.fields[field_name]
        members.append((name, _reader(field), _completion(executor, field.type, found)))

    def completed(value: object) -> dict[str, Any] | None:
        return None if value is None else {name: complete(read(value)) for name, read, complete in members}

    return completed


def _reader(field: GraphQLField) -> Complete:
    """Return what resolves a field without arguments: an attribute, or a method that needs nothing else."""
    definition: StrawberryField | None = field.extensions.get("strawberry-definition")
    if definition is None or field.args or definition.is_async or definition.extensions:
        return _leave
    if definition.base_resolver is None:
        return attrgetter(definition.python_name)
    resolver = definition.base_resolver
    return _leave if resolver.info_parameter is not None else cast("Complete", resolver.wrapped_func)
