"""How a request or a connection tells who asks."""

from collections.abc import Mapping

from services.access import ANONYMOUS, Caller
from services.errors import Unauthenticated
from services.tokens import Tokens

HEADER = "authorization"
_SCHEME = "bearer"


async def authenticate(tokens: Tokens | None, credentials: str | None) -> Caller:
    """Return who asks.

    Args:
        tokens: what verifies tokens; None where nobody needs one.
        credentials: the value of a header `Authorization` (RFC 6750, section 2.1).

    Raises:
        Unauthenticated: there are no credentials, or they are not valid.
        KeysUnavailable: that cannot be known now.
    """
    if tokens is None:
        return ANONYMOUS
    scheme, _, token = (credentials or "").strip().partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise Unauthenticated("A bearer token is needed, in the header Authorization or in connection_init.")
    return await tokens.verify(token.strip())


def credentials_of(payload: Mapping[str, object]) -> str | None:
    """Return the credentials in the payload of `connection_init`: browsers send no headers with a WebSocket."""
    found = next((value for name, value in payload.items() if name.lower() == HEADER), None)
    return found if isinstance(found, str) else None
