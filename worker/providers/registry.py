"""The generators of an installation: our own, and those of other packages."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from services.resources import Resources
from worker.providers.local import LocalProvider
from worker.providers.protocol import Provider
from worker.providers.simulator import SimulatorProvider


@asynccontextmanager
async def open_providers(resources: Resources) -> AsyncIterator[Mapping[str, Provider]]:
    """Lend the generators of an installation, by name."""
    settings = resources.settings
    local = LocalProvider(memory_mib=settings.local_memory_mib)
    providers: list[Provider] = [local]
    if settings.simulator_enabled:
        providers.append(SimulatorProvider())
    providers += [cast("Provider", plugin) for plugin in resources.plugins]
    try:
        yield {provider.spec.name: provider for provider in providers}
    finally:
        await local.close()
