"""A token says who asks; whatever is not surely ours says nothing."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.access import Scope
from services.errors import KeysUnavailable, Unauthenticated
from services.tokens import KeySet, Secret, Tokens
from tests.conftest import until
from tests.tokens import AUDIENCE, ISSUER, SECRET, a_token, claims

HOUR: Final = timedelta(hours=1)
OURS: Final = Tokens(Secret(SECRET), issuer=ISSUER, audience=AUDIENCE)

BAD: Final = {
    "nothing": "",
    "not a token": "a.b.c",
    "another secret": a_token(secret="another secret of 32 bytes or more"),
    "no signature": jwt.encode(claims(), "", algorithm="none"),
    "another algorithm": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "expired": a_token(lasts=-timedelta(seconds=1)),
    "not yet valid": a_token(nbf=2**33),
    "another issuer": a_token(iss="https://elsewhere.example"),
    "no issuer": a_token(iss=None),
    "another audience": a_token(aud="another service"),
    "audiences without ours": a_token(aud=["a", "b"]),
    "no audience": a_token(aud=None),
    "no subject": a_token(sub=None),
    "an empty subject": a_token(sub=" "),
    "a subject with control characters": a_token(sub="mi\x00ra"),
    "an overlong subject": a_token(sub="m" * 201),
    "worlds as a text": a_token(worlds="eldoria"),
    "worlds as numbers": a_token(worlds=[1]),
    "a world with NUL": a_token(worlds=["eldoria", "mi\x00rth"]),
    "a world with half a surrogate pair": a_token(worlds=["mi\ud800rth"]),
    "an empty world": a_token(worlds=[""]),
    "a star among worlds": a_token(worlds={"*": True}),
    "scope as a number": a_token(scope=5),
    "scope as null": jwt.encode(claims() | {"scope": None}, SECRET, algorithm="HS256"),
    "exp as a text": jwt.encode(claims() | {"exp": "soon"}, SECRET, algorithm="HS256"),
    "claims that are no object": jwt.api_jws.encode(b"[]", SECRET, algorithm="HS256"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_token_that_is_not_surely_ours_says_nothing(case: str) -> None:
    with pytest.raises(Unauthenticated):
        await OURS.verify(BAD[case])


async def test_a_token_says_who_asks_and_how_long_that_holds() -> None:
    caller = await OURS.verify(a_token(worlds=["eldoria", "mirth"], scope="jobs:read other", exp=2_000_000_000))
    assert caller.subject == "mira"
    assert caller.scopes == {Scope.READ}
    assert caller.worlds == frozenset({"eldoria", "mirth"})
    assert caller.expires_at is not None
    assert caller.expires_at.timestamp() == 2_000_000_000


async def test_what_a_token_does_not_say_is_not_granted() -> None:
    caller = await OURS.verify(a_token(worlds=None, scope=None))
    assert (caller.worlds, caller.scopes) == (frozenset(), frozenset())
    # A star is every world by itself alone: a world may have that name.
    assert (await OURS.verify(a_token(worlds=["*"]))).worlds == frozenset({"*"})


async def test_every_world_scopes_as_a_list_and_no_end() -> None:
    caller = await OURS.verify(a_token(scope=["jobs:read", "jobs:write"], exp=None))
    assert (caller.worlds, caller.expires_at) == (None, None)
    assert caller.scopes == {Scope.READ, Scope.WRITE}
    assert (await OURS.verify(a_token(exp=10**18))).expires_at is not None


async def test_issuer_and_audience_are_whatever_they_are_where_nothing_is_configured() -> None:
    anything = Tokens(Secret(SECRET), issuer=None, audience=None)
    for token in (a_token(), a_token(iss="x", aud="y"), a_token(iss=None, aud=None)):
        assert (await anything.verify(token)).subject == "mira"


class Provider:
    """An identity provider that publishes keys by HTTP, and counts who asks."""

    def __init__(self) -> None:
        self.private: dict[str, RSAPrivateKey] = {}
        self.published: list[dict[str, Any]] = []
        self.fetches = 0
        self.works = True
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches += 1
                self.send_response(200 if provider.works else 500)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": provider.published}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def rotate(self, key_id: str) -> None:
        """Publish one new key and no other."""
        key = self.private[key_id] = generate_private_key(65537, 2048)
        self.publish(key_id, jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))

    def publish(self, key_id: str, key: dict[str, Any]) -> None:
        self.published = [key | {"kid": key_id, "use": "sig"}]

    def sign(self, key_id: str) -> str:
        return jwt.encode(claims(), self.private[key_id], algorithm="RS256", headers={"kid": key_id})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    provider.rotate("first")
    yield provider
    provider.close()


def trusting(provider: Provider, **ages: timedelta) -> Tokens:
    keys = KeySet(provider.url, timedelta(seconds=5), **ages)
    return Tokens(keys, issuer=ISSUER, audience=AUDIENCE)


async def test_keys_are_fetched_once_for_all_who_ask(provider: Provider) -> None:
    tokens = trusting(provider)
    callers = await asyncio.gather(*(tokens.verify(provider.sign("first")) for _ in range(20)))
    assert {caller.subject for caller in callers} == {"mira"}
    assert provider.fetches == 1


async def test_a_new_key_is_found_at_once_and_an_old_one_is_forgotten(provider: Provider) -> None:
    tokens = trusting(provider, cooldown=timedelta())
    await tokens.verify(provider.sign("first"))
    provider.rotate("second")
    await tokens.verify(provider.sign("second"))
    with pytest.raises(Unauthenticated):
        await tokens.verify(provider.sign("first"))


async def test_invented_keys_do_not_become_requests(provider: Provider) -> None:
    tokens = trusting(provider)
    await tokens.verify(provider.sign("first"))
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await tokens.verify(jwt.encode(claims(), SECRET, headers={"kid": str(number)}))
    assert provider.fetches == 1


async def test_keys_outlive_an_outage_but_not_for_ever(provider: Provider) -> None:
    patient = trusting(provider, fresh=timedelta(), cooldown=timedelta())
    strict = trusting(provider, usable=timedelta(milliseconds=1))
    for tokens in (patient, strict):
        await tokens.verify(provider.sign("first"))
    provider.works = False
    for _ in range(3):
        await patient.verify(provider.sign("first"))
    await asyncio.sleep(0.01)
    with pytest.raises(KeysUnavailable):
        await strict.verify(provider.sign("first"))


async def test_old_keys_serve_while_new_ones_are_fetched(provider: Provider) -> None:
    tokens = trusting(provider, fresh=timedelta(), cooldown=timedelta())
    await tokens.verify(provider.sign("first"))
    provider.private["second"] = provider.private["first"]
    provider.published.append(provider.published[0] | {"kid": "second"})
    await tokens.verify(provider.sign("first"))  # begins to fetch
    await until(lambda: provider.fetches == 2)
    await tokens.verify(provider.sign("second"))


async def test_without_any_key_nobody_can_be_known_until_there_are_some(provider: Provider) -> None:
    tokens = trusting(provider)
    provider.works = False
    with pytest.raises(KeysUnavailable):
        await tokens.verify(provider.sign("first"))
    provider.works = True
    assert (await tokens.verify(provider.sign("first"))).subject == "mira"


async def test_a_public_key_is_no_secret(provider: Provider) -> None:
    tokens = trusting(provider)
    public = provider.private["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = jwt.api_jws.PyJWS()
    forged.unregister_algorithm("HS256")
    forged.register_algorithm("HS256", _Unchecked(jwt.algorithms.HMACAlgorithm.SHA256))
    token = forged.encode(json.dumps(claims(exp=2**33)).encode(), public, "HS256", headers={"kid": "first"})
    with pytest.raises(Unauthenticated):
        await tokens.verify(token)


class _Unchecked(jwt.algorithms.HMACAlgorithm):
    """Signs with whatever an attacker has."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode() if isinstance(key, str) else key


async def test_a_secret_among_public_keys_is_not_used(provider: Provider) -> None:
    provider.published.append({"kty": "oct", "kid": "shared", "alg": "HS256", "k": "c2VjcmV0" * 8})
    tokens = trusting(provider)
    token = jwt.encode(claims(), b"secret" * 8, algorithm="HS256", headers={"kid": "shared"})
    with pytest.raises(Unauthenticated):
        await tokens.verify(token)


async def test_elliptic_curves_and_tokens_that_name_no_key(provider: Provider) -> None:
    key = generate_ec(SECP256R1())
    provider.publish("curve", jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True))
    tokens = trusting(provider)
    assert (await tokens.verify(jwt.encode(claims(), key, "ES256", headers={"kid": "curve"}))).subject == "mira"
    with pytest.raises(Unauthenticated, match="kid"):
        await tokens.verify(jwt.encode(claims(), key, "ES256"))
