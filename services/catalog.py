"""What can be asked for: the providers, what each makes, and the JSON Schema of its promptSpec.

The API validates against this; the generators themselves live in `worker.providers`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from services.errors import InvalidInput
from services.models import AssetType, JsonObject
from services.prompts import (
    LANDSCAPE_PROMPT,
    MAP_PROMPT,
    MUSIC_PROMPT,
    SHEET_PROMPT,
    SIMULATOR_PROMPT,
    VIDEO_PROMPT,
)


@dataclass(frozen=True)
class ProviderSpec:
    """What a provider says of itself.

    Attributes:
        name: how clients name it.
        prompt_schemas: a JSON Schema (2020-12) of promptSpec for each asset type that it makes.
        models: what `modelId` may be; where empty, and there is no pattern either, it must be left out.
        model_pattern: a regular expression of what `modelId` may be besides, from its beginning to its end.
        needs_model: whether `modelId` must be there.
    """

    name: str
    prompt_schemas: Mapping[AssetType, JsonObject]
    models: Sequence[str] = ()
    model_pattern: str | None = None
    needs_model: bool = False
    _validators: Mapping[AssetType, Draft202012Validator] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for schema in self.prompt_schemas.values():
            Draft202012Validator.check_schema(schema)
        validators = {kind: Draft202012Validator(schema) for kind, schema in self.prompt_schemas.items()}
        object.__setattr__(self, "_validators", validators)

    @property
    def asset_types(self) -> list[AssetType]:
        """What it makes."""
        return sorted(self.prompt_schemas)

    def check(
        self, asset_type: AssetType, model_id: str | None, prompt_spec: object, path: Sequence[str | int]
    ) -> None:
        """Check a request against what the provider makes.

        Raises:
            InvalidInput: the path of the first value that does not fit, below `path`.
        """
        validator = self._validators.get(asset_type)
        if validator is None:
            raise InvalidInput(
                [*path, "assetType"],
                f"provider {self.name!r} does not make {asset_type}; it makes {', '.join(self.asset_types)}",
            )
        if model_id is None and self.needs_model:
            raise InvalidInput([*path, "modelId"], f"is needed: provider {self.name!r} {self._choice}")
        if model_id is not None and not self._knows(model_id):
            raise InvalidInput([*path, "modelId"], f"provider {self.name!r} has no such model; it {self._choice}")
        problem = best_match(validator.iter_errors(prompt_spec))
        if problem is not None:
            raise InvalidInput([*path, "promptSpec", *problem.absolute_path], problem.message[:300])

    def _knows(self, model_id: str) -> bool:
        fits = self.model_pattern is not None and re.fullmatch(self.model_pattern, model_id) is not None
        return fits or model_id in self.models

    @property
    def _choice(self) -> str:
        shown = [*self.models, *([f"any like {self.model_pattern}"] if self.model_pattern else [])]
        return f"has {', '.join(shown) or 'none to choose'}"


class Catalog:
    """The providers that this installation offers."""

    def __init__(self, providers: Iterable[ProviderSpec]) -> None:
        self._providers = {provider.name: provider for provider in providers}

    def __iter__(self) -> Iterator[ProviderSpec]:
        return iter(self._providers.values())

    def find(self, name: str, path: Sequence[str | int]) -> ProviderSpec:
        """Return a provider by name.

        Raises:
            InvalidInput: there is none of that name.
        """
        provider = self._providers.get(name)
        if provider is None:
            names = ", ".join(sorted(self._providers))
            raise InvalidInput([*path, "provider"], f"{name!r} is not one of the providers here: {names}")
        return provider


SIMULATOR: Final = ProviderSpec("simulator", dict.fromkeys(AssetType, SIMULATOR_PROMPT))
LOCAL: Final = ProviderSpec(
    "local",
    {
        AssetType.IMAGE: LANDSCAPE_PROMPT,
        AssetType.MAP: MAP_PROMPT,
        AssetType.AUDIO: MUSIC_PROMPT,
        AssetType.VIDEO: VIDEO_PROMPT,
        AssetType.PDF: SHEET_PROMPT,
    },
    models=("landscape",),
)


def build_catalog(*, simulator: bool, others: Iterable[ProviderSpec] = ()) -> Catalog:
    """Return what this installation offers, `others` being those of other packages."""
    return Catalog([LOCAL, *([SIMULATOR] if simulator else []), *others])
