"""Providers of other packages: whatever is installed with an entry point of our group is offered beside our own.

The API needs only what a provider says of itself; the worker runs the same objects. Neither imports the other.
"""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Final, Protocol

import structlog

from services.catalog import ProviderSpec

GROUP: Final = "lorekeeper.providers"
RESERVED: Final = frozenset({"local", "simulator", "openai", "replicate", "sora"})
"""The names of our own providers, also of those that are not offered here."""

log = structlog.get_logger(__name__)


class Plugin(Protocol):
    """A provider of another package, as far as everybody needs to know it."""

    @property
    def spec(self) -> ProviderSpec:
        """What it makes."""


def load_plugins() -> Sequence[Plugin]:
    """Return the providers of other packages, by the names of their entry points.

    An entry point is a class or function that makes a provider without arguments. One that fails is told in the
    log and left out, as is a second one of a name that is taken.
    """
    found: dict[str, Plugin] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            plugin: Plugin = entry.load()()
            _check(plugin)
        except Exception:
            log.exception("plugin.failed", plugin=entry.name, object=entry.value)
            continue
        name = plugin.spec.name
        if name in RESERVED or name in found:
            log.error("plugin.name_taken", plugin=entry.name, provider=name)
            continue
        found[name] = plugin
    return tuple(found.values())


def _check(plugin: Plugin) -> None:
    if not isinstance(plugin.spec, ProviderSpec):
        raise TypeError(f"its spec is {plugin.spec!r}, which is no ProviderSpec")
    if not callable(getattr(plugin, "generate", None)):
        raise TypeError("it does not generate")
