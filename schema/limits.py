"""Limits of a document: how deep, how wide and how costly each of its operations may be.

They are checked before GraphQL's own rules, some of which take a time that grows with the square of the document,
and in a time that grows with its length alone: a fragment is measured once, however often it is spread.
QueryDepthLimiter and MaxAliasesLimiter of Strawberry follow each spread anew; a kilobyte can stall them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_list_type,
)

from schema.connections import DEFAULT_PAGE
from schema.types import MOST_HISTORY
from services.settings import Settings

_PAGE_ARGUMENTS: Final = ("first", "last")
_INTROSPECTION: Final = ("__schema", "__type")
_MOST_DIGITS: Final = 9
INPUTS: Final = "inputs"
"""The argument of a mutation that does as much, and answers as much, as the list there has items."""
_VALUES_AN_INPUT: Final = 3
"""Values of the answer to an input that count one: whoever sends a thousand may ask for all of their jobs."""
_WEIGHTS: Final = defaultdict(lambda: 1, promptSpec=8, loreSnapshot=32)
"""What a value counts: 8 KiB of what may be large. So one page of 100 jobs with all of it passes, and not two."""


class _Measure(NamedTuple):
    """What is in some selections, with all that fragments bring."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    cost: int = 0


_NOTHING: Final = _Measure()
_WORDS: Final = ("levels of fields", "fields", "aliases", "directives", "values in the largest answer")
"""What the parts of a measure are called in messages."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one operation may have.

    Attributes:
        depth: fields inside each other.
        fields: selections of fields, those of a fragment once for each spread.
        aliases: likewise.
        directives: likewise, with those of fragments and of the operation itself.
        cost: values that the largest answer could have, with every page as full as the operation allows, and more
            for those that may be large.
        page: edges of a page whose size only the variables tell.
    """

    depth: int
    fields: int
    aliases: int
    directives: int
    cost: int
    page: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the configured limits."""
        return cls(
            depth=settings.max_depth,
            fields=settings.max_fields,
            aliases=settings.max_aliases,
            directives=settings.max_directives,
            cost=settings.max_cost,
            page=settings.max_page,
        )

    def check(
        self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, object]
    ) -> list[GraphQLError]:
        """Return what of each operation is too much: the first that is, for each.

        Introspection has neither depth nor cost: GraphQL's own rule bounds it, and its standard query is deep.
        """
        meter = _Meter(schema, document, self.page, list_sizes(document, variables))
        most = _Measure(self.depth, self.fields, self.aliases, self.directives, self.cost)
        try:
            return [
                GraphQLError(f"More than {limit} {what} in one operation.", operation)
                for operation in document.definitions
                if isinstance(operation, OperationDefinitionNode)
                for what, limit in _first_beyond(meter.measure(operation), most)
            ]
        except RecursionError:
            return [GraphQLError(f"More than {self.depth} {_WORDS[0]} in one operation.")]


def list_sizes(document: DocumentNode, variables: Mapping[str, object]) -> dict[str, int]:
    """Return how many items the variables have that are lists, or are by default in one of the operations."""
    sizes: dict[str, int] = {}
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            for variable in operation.variable_definitions or ():
                name, default = variable.variable.name.value, variable.default_value
                if isinstance(default, ListValueNode):
                    sizes[name] = max(sizes.get(name, 1), len(default.values))
    return sizes | {name: len(value) for name, value in variables.items() if isinstance(value, list)}


def inputs_of(field: FieldNode, sizes: Mapping[str, int]) -> int:
    """Return how many inputs a field has: what is no list is one."""
    value: ValueNode | None = next(
        (argument.value for argument in field.arguments or () if argument.name.value == INPUTS), None
    )
    match value:
        case ListValueNode():
            return len(value.values)
        case VariableNode():
            return sizes.get(value.name.value, 1)
    return 1


def _first_beyond(measure: _Measure, most: _Measure) -> Iterator[tuple[str, int]]:
    for found, limit, what in zip(measure, most, _WORDS, strict=True):
        if found > limit:
            yield what, limit
            return


class _Meter:
    """Measures the operations of one document, which need not be valid."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, most_page: int, sizes: Mapping[str, int]
    ) -> None:
        self._schema = schema
        self._most_page = most_page
        self._sizes = sizes
        self._fragments = {
            fragment.name.value: fragment
            for fragment in document.definitions
            if isinstance(fragment, FragmentDefinitionNode)
        }
        self._known: dict[tuple[str, int], _Measure] = {}

    def measure(self, operation: OperationDefinitionNode) -> _Measure:
        """Return what is in an operation."""
        inside = self._selections(operation.selection_set, self._schema.get_root_type(operation.operation), 1)
        variables = sum(len(variable.directives or ()) for variable in operation.variable_definitions or ())
        return inside._replace(directives=inside.directives + variables + len(operation.directives or ()))

    def _selections(
        self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None, page: int
    ) -> _Measure:
        found = []
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                inside = self._field(node, parent, page)
            elif isinstance(node, FragmentSpreadNode):
                inside = self._fragment(node.name.value, page)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                kind = self._schema.get_type(condition.name.value) if condition else parent
                inside = self._selections(node.selection_set, kind, page)
            found.append(inside._replace(directives=inside.directives + len(node.directives or ())))
        return _sum(found)

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None, page: int) -> _Measure:
        name = node.name.value
        definition = self._schema.get_field(parent, name) if is_composite_type(parent) else None
        kind = get_named_type(definition.type) if definition else None
        inside = self._selections(node.selection_set, kind, self._page(node, definition))
        alias = inside.aliases + (node.alias is not None)
        if name in _INTROSPECTION:
            return _Measure(1, 1, alias, inside.directives, 1)
        cost = inside.cost + _WEIGHTS[name]
        if definition is not None and _is_list(definition):
            if INPUTS in definition.args:
                cost = ceil(cost * inputs_of(node, self._sizes) / _VALUES_AN_INPUT)
            else:
                cost *= max(page, 1)
        return _Measure(inside.depth + 1, inside.fields + 1, alias, inside.directives, cost)

    def _fragment(self, name: str, page: int) -> _Measure:
        key = name, page
        if key not in self._known:
            self._known[key] = _NOTHING  # where it spreads itself, which is for another rule to report
            fragment = self._fragments.get(name)
            if fragment is not None:
                kind = self._schema.get_type(fragment.type_condition.name.value)
                inside = self._selections(fragment.selection_set, kind, page)
                own = len(fragment.directives or ())
                self._known[key] = inside._replace(directives=inside.directives + own)
        return self._known[key]

    def _page(self, node: FieldNode, definition: GraphQLField | None) -> int:
        """Return how often what a field has a list of may come at the most."""
        known = () if definition is None else [name for name in _PAGE_ARGUMENTS if name in definition.args]
        if definition is None or not known:
            return 1
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        most = self._most_page if "last" in known else MOST_HISTORY
        sizes = []
        for name in known:
            if name in given:
                value = given[name]
                told = isinstance(value, IntValueNode) and len(value.value) <= _MOST_DIGITS
                sizes.append(min(int(value.value), most) if told else most)  # type: ignore[attr-defined]
            elif isinstance(definition.args[name].default_value, int):
                sizes.append(definition.args[name].default_value)
        return max(sizes, default=DEFAULT_PAGE)


def _sum(parts: Iterable[_Measure]) -> _Measure:
    depth, *rest = zip(*parts, strict=True) if (parts := list(parts)) else [()] * len(_NOTHING)
    return _Measure(max(depth, default=0), *map(sum, rest))


def _is_list(definition: GraphQLField) -> bool:
    kind = definition.type
    return is_list_type(kind.of_type if isinstance(kind, GraphQLNonNull) else kind)
