"""The catalog: what each provider makes, and what it says to a request that does not fit."""

from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from services.catalog import LOCAL, SIMULATOR, Catalog, ProviderSpec, build_catalog
from services.errors import InvalidInput
from services.models import AssetType

PATH: Final = ("inputs", 3)
ALL: Final = [LOCAL, SIMULATOR]


def refusal(spec: ProviderSpec, asset_type: AssetType, model_id: str | None, prompt_spec: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        spec.check(asset_type, model_id, prompt_spec, PATH)
    return caught.value


def test_the_simulator_is_offered_only_where_it_is_switched_on() -> None:
    assert {spec.name for spec in build_catalog(simulator=True)} == {"local", "simulator"}
    assert {spec.name for spec in build_catalog(simulator=False)} == {"local"}
    with pytest.raises(InvalidInput) as caught:
        build_catalog(simulator=False).find("simulator", PATH)
    assert caught.value.path == (*PATH, "provider")


def test_an_unknown_provider_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="'dall-e' is not one of the providers here: local, simulator"):
        Catalog(ALL).find("dall-e", PATH)


def test_both_make_everything() -> None:
    for spec in ALL:
        assert spec.asset_types == sorted(AssetType)


def test_a_type_that_is_not_made_is_refused_with_those_that_are() -> None:
    painter = ProviderSpec("painter", {AssetType.MAP: {}, AssetType.IMAGE: {}})
    error = refusal(painter, AssetType.VIDEO, None, {"description": "a lake"})
    assert error.path == (*PATH, "assetType")
    assert "does not make VIDEO; it makes IMAGE, MAP" in error.reason


def test_a_model_is_one_of_those_there_are_or_left_out() -> None:
    LOCAL.check(AssetType.IMAGE, "landscape", {"description": "a lake"}, PATH)
    LOCAL.check(AssetType.IMAGE, None, {"description": "a lake"}, PATH)
    error = refusal(LOCAL, AssetType.IMAGE, "portrait", {"description": "a lake"})
    assert error.path == (*PATH, "modelId")
    assert "it has landscape" in error.reason
    assert "it has none to choose" in refusal(SIMULATOR, AssetType.PDF, "any", {}).reason


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_every_schema_is_a_json_schema_of_an_object_without_surprises(spec: ProviderSpec) -> None:
    for schema in spec.prompt_schemas.values():
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False, "a misspelled field would be ignored in silence"


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_every_default_and_example_fits_its_own_schema(spec: ProviderSpec) -> None:
    for asset_type, schema in spec.prompt_schemas.items():
        fields: dict[str, Any] = schema["properties"]
        needed = {name: fields[name]["examples"][0] for name in schema.get("required", [])}
        for name, field in fields.items():
            for value in [*field.get("examples", []), *([field["default"]] if "default" in field else [])]:
                spec.check(asset_type, None, needed | {name: value}, PATH)


@pytest.mark.parametrize(
    ("prompt_spec", "inner"),
    [
        ({}, ()),
        ({"description": ""}, ("description",)),
        ({"description": " \n "}, ("description",)),
        ({"description": "x" * 2001}, ("description",)),
        ({"description": "a lake", "width": 63}, ("width",)),
        ({"description": "a lake", "height": 2049}, ("height",)),
        ({"description": "a lake", "width": 64.5}, ("width",)),
        ({"description": "a lake", "seed": 2**32}, ("seed",)),
        ({"description": "a lake", "seed": True}, ("seed",)),
        ({"description": "a lake", "hight": 64}, ()),
        ([], ()),
        (None, ()),
    ],
)
def test_a_landscape_that_cannot_be_painted_is_refused_by_its_path(prompt_spec: Any, inner: tuple[str]) -> None:
    assert refusal(LOCAL, AssetType.IMAGE, None, prompt_spec).path == (*PATH, "promptSpec", *inner)


@pytest.mark.parametrize(
    "field",
    [
        {"duration_ms": -1},
        {"duration_ms": 3_600_001},
        {"steps": 10_001},
        {"size_bytes": 2**30 + 1},
        {"fail_attempts": "1"},
        {"permanent": 1},
        {"error_code": "lower"},
        {"error_code": ""},
        {"error_code": "X" * 65},
        {"error_code": "A\nB"},
    ],
)
def test_a_simulation_out_of_bounds_is_refused_by_its_field(field: dict[str, Any]) -> None:
    assert refusal(SIMULATOR, AssetType.AUDIO, None, field).path == (*PATH, "promptSpec", *field)


def test_the_path_leads_through_lists_and_objects() -> None:
    schema = {"properties": {"parts": {"items": {"properties": {"n": {"type": "integer"}}}}}}
    spec = ProviderSpec("nested", {AssetType.MAP: schema})
    error = refusal(spec, AssetType.MAP, None, {"parts": [{"n": 1}, {"n": "two"}]})
    assert error.path == (*PATH, "promptSpec", "parts", 1, "n")


def test_a_provider_with_a_schema_that_is_none_is_not_built() -> None:
    with pytest.raises(SchemaError):
        ProviderSpec("broken", {AssetType.MAP: {"type": "thing"}})
