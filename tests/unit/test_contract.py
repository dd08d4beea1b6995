"""The served schema is the public contract, as far as it is built."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from graphql import (
    ConstDirectiveNode,
    DefinitionNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    build_client_schema,
    get_introspection_query,
    lexicographic_sort_schema,
    parse,
    print_ast,
    print_schema,
)
from graphql import (
    build_schema as build_ast_schema,
)

from schema import build_schema

CONTRACT: Final = Path(__file__).resolve().parents[1] / "contract" / "schema.graphql"
EXPORTED: Final = CONTRACT.parents[2] / "schema.graphql"


def _default(value: InputValueDefinitionNode) -> str:
    return "" if value.default_value is None else f" = {print_ast(value.default_value)}"


def _of_input(name: str, value: InputValueDefinitionNode) -> tuple[str, str]:
    return name, print_ast(value.type) + _default(value)


def _of_fields(owner: str, fields: tuple[FieldDefinitionNode, ...]) -> Iterator[tuple[str, str]]:
    for field in fields:
        name = f"{owner}.{field.name.value}"
        yield name, print_ast(field.type)
        for argument in field.arguments or ():
            yield _of_input(f"{name}({argument.name.value}:)", argument)


def _of_definition(node: DefinitionNode) -> Iterator[tuple[str, str]]:
    match node:
        case ScalarTypeDefinitionNode():
            yield node.name.value, "scalar"
        case EnumTypeDefinitionNode():
            yield node.name.value, "enum"
            for member in node.values or ():
                yield f"{node.name.value}.{member.name.value}", "value"
        case InputObjectTypeDefinitionNode():
            one_of = any(_is_one_of(directive) for directive in node.directives or ())
            yield node.name.value, "input @oneOf" if one_of else "input"
            for value in node.fields or ():
                yield _of_input(f"{node.name.value}.{value.name.value}", value)
        case ObjectTypeDefinitionNode() | InterfaceTypeDefinitionNode():
            yield node.name.value, "type" if isinstance(node, ObjectTypeDefinitionNode) else "interface"
            for interface in node.interfaces or ():
                yield f"{node.name.value} implements {interface.name.value}", "interface"
            yield from _of_fields(node.name.value, tuple(node.fields or ()))
        case _:
            raise AssertionError(f"the comparison does not know {node.kind}")


def _is_one_of(directive: ConstDirectiveNode) -> bool:
    return directive.name.value == "oneOf"


def promises(sdl: str) -> Mapping[str, str]:
    """Return all that a client may rely on, by coordinate: kinds, types, nullability, defaults."""
    return {name: told for node in parse(sdl).definitions for name, told in _of_definition(node)}


def owner(name: str) -> str:
    """Return what a member belongs to: an argument to its field, a field to its type."""
    return name.partition("(")[0] if name.endswith(")") else name.partition(".")[0].partition(" ")[0]


@pytest.fixture(scope="module")
def contract() -> Mapping[str, str]:
    return promises(CONTRACT.read_text())


@pytest.fixture(scope="module")
def served() -> Mapping[str, str]:
    return promises(build_schema().as_str())


def test_what_is_served_is_what_the_contract_says(contract: Mapping[str, str], served: Mapping[str, str]) -> None:
    both = contract.keys() & served.keys()
    assert {name: served[name] for name in both} == {name: contract[name] for name in both}


def test_all_of_the_contract_is_served(contract: Mapping[str, str], served: Mapping[str, str]) -> None:
    assert not contract.keys() - served.keys()


def test_the_exported_schema_is_the_one_that_is_served() -> None:
    assert EXPORTED.read_text() == build_schema().as_str() + "\n", "run `make schema`"


async def test_the_exported_schema_tells_what_introspection_does() -> None:
    answer = await build_schema().execute(
        get_introspection_query(specified_by_url=True, input_value_deprecation=True)
    )
    assert answer.data is not None
    told = lexicographic_sort_schema(build_client_schema(answer.data))  # type: ignore[arg-type]
    assert print_schema(lexicographic_sort_schema(build_ast_schema(EXPORTED.read_text()))) == print_schema(told)


def test_nothing_beyond_the_contract_is_required_of_a_client(
    contract: Mapping[str, str], served: Mapping[str, str]
) -> None:
    inputs = {name for name, told in contract.items() if told.startswith("input")}
    for name in served.keys() - contract.keys():
        if owner(name) in contract and (name.endswith(")") or owner(name) in inputs):
            assert not served[name].endswith("!"), f"{name} must be left out by clients that know the contract"
