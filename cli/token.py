"""`server.py token`: what an identity provider would give, for development."""

import sys
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from services.errors import ConfigurationError
from services.program import run_program
from services.settings import Settings


def run(chosen: Namespace) -> int:
    """Print a token; returns the exit code."""

    async def tell(settings: Settings) -> None:
        sys.stdout.write(f"{_token(settings, chosen)}\n")

    return run_program("server.py", tell)


def _token(settings: Settings, chosen: Namespace) -> str:
    """Return a token that a server with these settings accepts.

    Raises:
        ConfigurationError: there is no secret to sign with.
    """
    if settings.jwt_secret is None:
        raise ConfigurationError(
            "LOREKEEPER_JWT_SECRET is not set: a token is signed with it, 32 characters or more"
        )
    claims: dict[str, Any] = {
        "sub": chosen.subject,
        "worlds": chosen.world or "*",
        "scope": chosen.scope,
        "exp": datetime.now(UTC) + timedelta(hours=chosen.hours),
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, settings.jwt_secret.get_secret_value(), algorithm="HS256")
