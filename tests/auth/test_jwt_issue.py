"""`JWTAuth.issue`."""

import time
from typing import Any

import pytest

from fastapi_rooms.auth import JWTAuth
from fastapi_rooms.errors import ConfigurationError, ExpiredToken

from .keys import SECRET, jwk, private_pem, public_pem

HS256 = JWTAuth(key=SECRET, algorithms=["HS256"])


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
async def test_an_issued_token_is_accepted_where_it_was_issued(algorithm: str) -> None:
    key = SECRET if algorithm == "HS256" else private_pem(algorithm)
    auth = JWTAuth(key=key, algorithms=[algorithm], audience=["chat", "mail"], issuer="https://id.example")
    began = time.time()
    token = auth.issue("ann", expires_in=60, scopes=["a", "b"], claims={"team": 7})
    identity = await auth.authenticate(token)
    assert (identity.subject, identity.claims["team"]) == ("ann", 7)
    assert identity.scopes == {"a", "b"}
    assert identity.expires_at is not None
    assert began + 58 < identity.expires_at <= time.time() + 61


async def test_an_issued_token_can_be_expired() -> None:
    with pytest.raises(ExpiredToken):
        await HS256.authenticate(HS256.issue("ann", expires_in=-1))


@pytest.mark.parametrize("claims", [{"sub": "bob"}, {"exp": 1}, {"scope": "admin"}, {"aud": "x", "team": 7}])
def test_an_issued_token_does_not_take_reserved_claims(claims: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(claims))):
        HS256.issue("ann", expires_in=60, claims=claims)


def test_an_issued_token_needs_a_subject() -> None:
    with pytest.raises(ConfigurationError, match="sub"):
        HS256.issue("", expires_in=60)


def test_only_a_secret_or_a_private_key_can_issue() -> None:
    for auth in (
        JWTAuth(key=public_pem("ES256"), algorithms=["ES256"]),
        JWTAuth(jwks={"keys": [jwk("ES256")]}, algorithms=["ES256"]),
    ):
        with pytest.raises(ConfigurationError, match="private key"):
            auth.issue("ann", expires_in=60)
