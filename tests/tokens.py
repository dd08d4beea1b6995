"""Tokens as an identity provider makes them."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

SECRET: Final = "a secret of tests, of 32 bytes and more"
ISSUER: Final = "https://id.example"
AUDIENCE: Final = "lorekeeper"
JWT: Final = {
    "LOREKEEPER_AUTH": "jwt",
    "LOREKEEPER_JWT_SECRET": SECRET,
    "LOREKEEPER_JWT_ISSUER": ISSUER,
    "LOREKEEPER_JWT_AUDIENCE": AUDIENCE,
}
"""The settings that accept them."""
EVERYTHING: Final = "jobs:read jobs:write queue:admin"


def claims(*, lasts: timedelta = timedelta(minutes=5), **changes: object) -> dict[str, Any]:
    """Return the claims of a caller who may do everything everywhere; one that is changed to None is left out."""
    told = {
        "sub": "mira",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": datetime.now(UTC) + lasts,
        "worlds": "*",
        "scope": EVERYTHING,
    }
    return {name: value for name, value in (told | changes).items() if value is not None}


def a_token(*, secret: str = SECRET, lasts: timedelta = timedelta(minutes=5), **changes: object) -> str:
    """Return a token signed by a secret."""
    return jwt.encode(claims(lasts=lasts, **changes), secret, algorithm="HS256")


def bearer(token: str) -> dict[str, str]:
    """Return the headers that show a token."""
    return {"Authorization": f"Bearer {token}"}
