"""The generators of an installation: our own, and those of other packages."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol, cast

from services.errors import ConfigurationError
from services.resources import Resources
from services.settings import Settings
from worker.providers.local import LocalProvider
from worker.providers.protocol import Provider
from worker.providers.simulator import SimulatorProvider


class _Own(Provider, Protocol):
    """A provider of ours that holds something open."""

    async def close(self) -> None:
        """Let go of it."""


@asynccontextmanager
async def open_providers(resources: Resources) -> AsyncIterator[Mapping[str, Provider]]:
    """Lend the generators of an installation, by name.

    Raises:
        ConfigurationError: a service is set, and its SDK is not installed.
    """
    settings = resources.settings
    own: list[_Own] = [LocalProvider(memory_mib=settings.local_memory_mib), *_services(settings)]
    providers: list[Provider] = [*own]
    if settings.simulator_enabled:
        providers.append(SimulatorProvider())
    providers += [cast("Provider", plugin) for plugin in resources.plugins]
    async with AsyncExitStack() as stack:
        for each in own:
            stack.push_async_callback(each.close)
        yield {provider.spec.name: provider for provider in providers}


def _services(settings: Settings) -> list[_Own]:
    """Return the providers of the services that are set; only they need the SDKs."""
    services: list[_Own] = []
    try:
        if settings.openai_api_key is not None:
            from worker.providers import openai_media  # noqa: PLC0415 - an extra
            from worker.providers.openai_sdk import OpenAiService  # noqa: PLC0415 - likewise

            key, address = settings.openai_api_key.get_secret_value(), settings.openai_base_url
            service = OpenAiService(
                "openai", key=key, base_url=str(address) if address else None, patience=openai_media.PATIENCE
            )
            services.append(openai_media.OpenAiProvider(service))
        if settings.sora_base_url is not None:
            from worker.providers import sora  # noqa: PLC0415 - likewise
            from worker.providers.openai_sdk import OpenAiService  # noqa: PLC0415 - likewise

            key = settings.sora_api_key.get_secret_value() if settings.sora_api_key else "none"
            service = OpenAiService("sora", key=key, base_url=str(settings.sora_base_url), patience=sora.PATIENCE)
            services.append(sora.SoraProvider(service))
        if settings.replicate_api_token is not None:
            from worker.providers.replicate_models import ReplicateProvider  # noqa: PLC0415 - likewise

            address = settings.replicate_base_url
            token = settings.replicate_api_token.get_secret_value()
            services.append(ReplicateProvider(token=token, base_url=str(address) if address else None))
    except ImportError as error:
        missing = f"{error.name} is not installed, and a service that is set needs it: `make services`"
        raise ConfigurationError(missing) from None
    return services
