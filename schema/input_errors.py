"""Where in an operation's arguments the value lies that GraphQL itself refuses.

graphql-core tells that as text only. What it refuses is looked up: a literal by its node in the document, a
variable by the place where the document uses it, and inside of its value by going through it in the same order.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLSchema,
    Node,
    ObjectFieldNode,
    Undefined,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    is_input_object_type,
    is_input_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
    type_from_ast,
    visit,
)

Path = tuple[str | int, ...]


def find_paths(
    errors: Sequence[GraphQLError],
    schema: GraphQLSchema,
    document: DocumentNode | None,
    variables: Mapping[str, Any] | None,
) -> list[Path | None]:
    """Return the path of the argument, or of what in it, each error is about; None where it is about no value."""
    if document is None:
        return [None] * len(errors)
    refused: dict[int, tuple[Path, Iterator[Path]]] = {}
    return [_path(error, schema, document, variables or {}, refused) for error in errors]


def _path(
    error: GraphQLError,
    schema: GraphQLSchema,
    document: DocumentNode,
    variables: Mapping[str, Any],
    refused: dict[int, tuple[Path, Iterator[Path]]],
) -> Path | None:
    node = error.nodes[0] if error.nodes else None
    if not isinstance(node, VariableDefinitionNode):
        return None if node is None else _Places.of(document, node)
    name = node.variable.name.value
    kind = type_from_ast(schema, node.type)
    if error.original_error is None or not is_input_type(kind):
        return None  # it is about the definition
    if id(node) not in refused:
        place = _Places.of(document, node.variable) or (name,)
        refused[id(node)] = place, _refused(variables.get(name, Undefined), kind, ())
    place, inside = refused[id(node)]
    return place + next(inside, ())  # the errors of one variable come in the order of its values


class _Places(Visitor):
    """Finds where a node, or a variable of its name, is in an argument: the first place, if there are several."""

    def __init__(self, wanted: Node) -> None:
        super().__init__()
        self._wanted = wanted
        self.found: Path | None = None

    @classmethod
    def of(cls, document: DocumentNode, wanted: Node) -> Path | None:
        """Return the place."""
        places = cls(wanted)
        visit(document, places)
        return places.found

    def enter(self, node: Node, _key: object, parent: Any, path: list[str | int], ancestors: list[Any]) -> Any:  # noqa: ANN401 - graphql-core's signature
        """Look at a node."""
        if node is self._wanted or (
            isinstance(node, VariableNode)
            and isinstance(self._wanted, VariableNode)
            and node.name.value == self._wanted.name.value
        ):
            self.found = tuple(_names([*ancestors, parent, node], path)) or None
        return None if self.found is None else self.BREAK


def _names(nodes: Sequence[Any], path: Sequence[str | int]) -> Iterator[str | int]:
    """Return what names the place of a node: its argument, the fields of objects and the indexes of lists."""
    in_argument = False
    for node, key in zip(nodes, (None, *path), strict=False):
        if isinstance(node, ArgumentNode):
            in_argument = True
        if in_argument and isinstance(node, ArgumentNode | ObjectFieldNode):
            yield node.name.value
        elif in_argument and isinstance(key, int) and not isinstance(node, ObjectFieldNode):
            yield key


def _refused(value: Any, kind: GraphQLInputType, path: Path) -> Iterator[Path]:  # noqa: ANN401 - JSON
    """Go through a value as graphql-core's `validate_input_value` does; returns where each of its errors is."""
    required = is_non_null_type(kind)
    if is_non_null_type(kind):
        kind = kind.of_type
    if value is None or value is Undefined:
        if required:
            yield path
    elif is_list_type(kind) and isinstance(value, list):
        for i, item in enumerate(value):
            yield from _refused(item, kind.of_type, (*path, i))
    elif is_list_type(kind):
        yield from _refused(value, kind.of_type, path)
    elif is_input_object_type(kind) and isinstance(value, dict):
        yield from _refused_fields(value, kind, path)
    elif is_input_object_type(kind) or not _is_accepted(value, kind):
        yield path


def _refused_fields(value: dict[str, Any], kind: GraphQLInputObjectType, path: Path) -> Iterator[Path]:
    for name, field in kind.fields.items():
        if name in value:
            yield from _refused(value[name], field.type, (*path, name))
        elif is_required_input_field(field):
            yield (*path, name)
    for name in value:
        if name not in kind.fields:
            yield (*path, name)


def _is_accepted(value: Any, kind: Any) -> bool:  # noqa: ANN401 - JSON, and a scalar or an enumeration
    try:
        return kind.coerce_input_value(value) is not Undefined
    except Exception:  # noqa: BLE001 - whatever a scalar raises is a refusal
        return False
