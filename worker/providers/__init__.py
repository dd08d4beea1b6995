"""The generators, each behind one small protocol."""

from collections.abc import Mapping

from worker.providers.local import LocalProvider
from worker.providers.protocol import Provider
from worker.providers.simulator import SimulatorProvider


def build_providers(*, simulator: bool) -> Mapping[str, Provider]:
    """Return the generators of this installation, by name."""
    providers: list[Provider] = [LocalProvider()]
    if simulator:
        providers.append(SimulatorProvider())
    return {provider.spec.name: provider for provider in providers}
