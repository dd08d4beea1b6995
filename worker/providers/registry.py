"""The generators of an installation: our own, and those of other packages."""

from collections.abc import Iterable, Mapping
from typing import cast

from services.plugins import Plugin
from worker.providers.local import LocalProvider
from worker.providers.protocol import Provider
from worker.providers.simulator import SimulatorProvider


def build_providers(*, simulator: bool, plugins: Iterable[Plugin] = ()) -> Mapping[str, Provider]:
    """Return the generators by name."""
    providers: list[Provider] = [LocalProvider()]
    if simulator:
        providers.append(SimulatorProvider())
    providers += [cast("Provider", plugin) for plugin in plugins]
    return {provider.spec.name: provider for provider in providers}
