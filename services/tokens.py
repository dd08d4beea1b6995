"""Bearer tokens: a JWT (RFC 7519) says who asks, for which worlds, with which scopes, and how long that holds."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, Protocol, TypeGuard

import jwt
import structlog

from services.access import Caller, Scope
from services.errors import InvalidInput, KeysUnavailable, Unauthenticated
from services.intake import check_name
from services.settings import Settings

_KEY_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "EdDSA",
)
"""Those with a public key: by a symmetric one, whoever reads the key set could sign (RFC 8725, section 2.1)."""
_LAST_INSTANT: Final = datetime.max.replace(tzinfo=UTC).timestamp() - 1

log = structlog.get_logger(__name__)


class Keys(Protocol):
    """Finds what a token's signature is verified with, by one of some algorithms."""

    algorithms: Sequence[str]

    async def find(self, token: str) -> Any:  # noqa: ANN401 - PyJWT takes many kinds
        """Return the key for a token.

        Raises:
            Unauthenticated: there is none.
            KeysUnavailable: that cannot be known now.
        """


class Secret:
    """One secret, for tokens signed by HS256."""

    algorithms: Sequence[str] = ("HS256",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def find(self, token: str) -> str:  # noqa: ARG002 - the same for all
        """Return the secret."""
        return self._secret


class KeySet:
    """The keys at an address (RFC 7517), which change: new ones appear before they are used, old ones go.

    Args:
        url: the address.
        timeout: how long an answer may take.
        fresh: how old the keys may be before they are fetched again, beside what goes on.
        usable: how old they may be while the address does not answer.
        cooldown: how often they may be fetched because of a key that is not known: anybody can invent one.
    """

    algorithms: Sequence[str] = _KEY_ALGORITHMS

    def __init__(
        self,
        url: str,
        timeout: timedelta,
        *,
        fresh: timedelta = timedelta(minutes=5),
        usable: timedelta = timedelta(hours=1),
        cooldown: timedelta = timedelta(seconds=10),
    ) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=timeout.total_seconds())
        self._timeout = timeout
        self._fresh, self._usable, self._cooldown = fresh, usable, cooldown
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = monotonic() - 2 * usable.total_seconds()
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, token: str) -> jwt.PyJWK:
        """Return the key that a token names."""
        key_id = jwt.get_unverified_header(token).get("kid")
        if not isinstance(key_id, str):
            raise Unauthenticated("The token does not name its key (kid).")
        is_worth_asking = _age(self._asked_at) > self._cooldown
        if _age(self._fetched_at) > self._usable or (key_id not in self._keys and is_worth_asking):
            await self._fetch()
        elif _age(self._fetched_at) > self._fresh and is_worth_asking:
            self._begin()  # what is here serves meanwhile
        if _age(self._fetched_at) > self._usable:
            raise KeysUnavailable("The keys of tokens cannot be fetched now.")
        key = self._keys.get(key_id)
        if key is None:
            raise Unauthenticated("The token's key is not known.")
        return key

    async def _fetch(self) -> None:
        # One request for all who wait. Whoever leaves does not stop it for the others.
        await asyncio.wait((self._begin(),), timeout=self._timeout.total_seconds())

    def _begin(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._asked_at = monotonic()
            self._fetching = asyncio.create_task(self._run())
        return self._fetching

    async def _run(self) -> None:
        try:
            keys = await asyncio.to_thread(self._client.get_signing_keys, refresh=True)
        except (jwt.PyJWTError, OSError, ValueError) as error:
            log.warning("tokens.keys_unavailable", error=repr(error))
        else:
            self._keys = {key.key_id: key for key in keys if key.key_id is not None and key.key_type != "oct"}
            self._fetched_at = monotonic()


class Tokens:
    """Verifies tokens.

    Args:
        keys: where signatures are verified with.
        issuer: what `iss` must be; None for whatever it is.
        audience: what `aud` must hold; None for whatever it is.
    """

    def __init__(self, keys: Keys, *, issuer: str | None, audience: str | None) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str) -> Caller:
        """Return who a token speaks for.

        Raises:
            Unauthenticated: it is not valid, or no longer.
            KeysUnavailable: that cannot be known now.
        """
        try:
            claims = jwt.decode(
                token,
                await self._keys.find(token),
                algorithms=list(self._keys.algorithms),
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": ["sub", *(["aud"] if self._audience else []), *(["iss"] if self._issuer else [])],
                    "verify_aud": self._audience is not None,
                    # RFC 7519 gives `iat` no such meaning, and clocks differ.
                    "verify_iat": False,
                },
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The token has expired.") from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated("The token is not valid.") from error
        return _caller(claims)


def open_tokens(settings: Settings) -> Tokens | None:
    """Return what verifies tokens; None where nobody needs one."""
    if not settings.uses_jwt:
        return None
    if settings.jwt_secret is not None:
        keys: Keys = Secret(settings.jwt_secret.get_secret_value())
    else:
        keys = KeySet(str(settings.jwks_url), timedelta(seconds=settings.request_timeout_s))
    return Tokens(keys, issuer=settings.jwt_issuer, audience=settings.jwt_audience)


def _age(instant: float) -> timedelta:
    return timedelta(seconds=monotonic() - instant)


def _caller(claims: Mapping[str, Any]) -> Caller:
    try:
        subject = check_name(claims["sub"], ("sub",))
        worlds = _worlds(claims.get("worlds", []))
    except InvalidInput as error:
        raise Unauthenticated(f"The token's claim {error}.") from error
    return Caller(subject, _scopes(claims.get("scope", "")), worlds, _end(claims))


def _scopes(claim: object) -> frozenset[Scope]:
    words = claim.split() if isinstance(claim, str) else claim
    if not _are_texts(words):
        raise Unauthenticated("The token's claim scope must be a text of words.")
    return frozenset(scope for scope in Scope if scope in words)


def _worlds(claim: object) -> frozenset[str] | None:
    if claim == "*":
        return None
    if not _are_texts(claim):
        raise Unauthenticated('The token\'s claim worlds must be a list of ids, or "*".')
    return frozenset(check_name(world_id, ("worlds", i)) for i, world_id in enumerate(claim))


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _end(claims: Mapping[str, Any]) -> datetime | None:
    expires = claims.get("exp")
    return None if expires is None else datetime.fromtimestamp(min(float(expires), _LAST_INSTANT), UTC)
