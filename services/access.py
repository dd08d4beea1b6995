"""Who asks, and what they may do: the scopes and the worlds of a caller.

A caller is confined to its worlds. What lies outside of them does not exist for it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.errors import Forbidden, WorldNotFound


class Scope(StrEnum):
    """What a caller may do, as the claim `scope` of its token says it (RFC 8693, section 4.2)."""

    READ = "jobs:read"
    WRITE = "jobs:write"
    ADMIN = "queue:admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        subject: its name, as jobs and assets show it.
        scopes: what it may do.
        worlds: where; None stands for every world.
        expires_at: when this stops to be true; None for never.
    """

    subject: str
    scopes: frozenset[Scope]
    worlds: frozenset[str] | None = None
    expires_at: datetime | None = None

    @property
    def rights(self) -> tuple[frozenset[Scope], frozenset[str] | None]:
        """What the caller may see and do, the same for all that may alike."""
        return self.scopes, self.worlds

    def require(self, scope: Scope) -> None:
        """Check what the caller may do.

        Raises:
            Forbidden: not this.
        """
        if scope not in self.scopes:
            raise Forbidden(f"The scope {scope} is missing.")

    def may_see(self, world_id: str) -> bool:
        """Whether a world exists for the caller."""
        return self.worlds is None or world_id in self.worlds

    def require_world(self, world_id: str) -> None:
        """Check that a world exists for the caller.

        Raises:
            WorldNotFound: it does not.
        """
        if not self.may_see(world_id):
            raise WorldNotFound(f"There is no world {world_id!r}.")


ANONYMOUS: Final = Caller("anonymous", frozenset(Scope))
"""Whoever asks where LOREKEEPER_AUTH is none."""
