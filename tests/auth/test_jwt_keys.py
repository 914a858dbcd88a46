"""`JWTAuth` with several keys, and with keys that change."""

from collections.abc import Mapping
from typing import Any

import pytest

from fastapi_rooms.auth import JWTAuth, KeysUnavailable
from fastapi_rooms.errors import ExpiredToken

from .keys import jwk, private_key
from .tokens import refused, signed


async def test_a_key_of_a_document_never_verifies_for_another_type() -> None:
    auth = JWTAuth(jwks={"keys": [jwk("RS256", "r"), jwk("ES256", "e")]}, algorithms=["RS256", "ES256"])
    token = signed(key=private_key("RS256", "r"), algorithm="RS256", headers={"kid": "e"})
    await refused(auth, token, "unknown key")


async def test_the_kid_chooses_the_key_of_a_document() -> None:
    auth = JWTAuth(jwks={"keys": [jwk("RS256", "a"), jwk("RS256", "b")]}, algorithms=["RS256"])
    for name in ("a", "b"):
        token = signed(key=private_key("RS256", name), algorithm="RS256", headers={"kid": name})
        assert await auth.authenticate(token)
    crossed = signed(key=private_key("RS256", "a"), algorithm="RS256", headers={"kid": "b"})
    await refused(auth, crossed, "signature")
    unknown = signed(key=private_key("RS256", "a"), algorithm="RS256", headers={"kid": "c"})
    await refused(auth, unknown, "unknown key")


async def test_a_token_without_a_kid_may_be_signed_with_any_key_of_the_document() -> None:
    auth = JWTAuth(jwks={"keys": [jwk("ES256", "a"), jwk("ES256", "b")]}, algorithms=["ES256"])
    for name in ("a", "b"):
        assert await auth.authenticate(signed(key=private_key("ES256", name), algorithm="ES256"))
    await refused(auth, signed(key=private_key("ES256", "c"), algorithm="ES256"), "signature")
    with pytest.raises(ExpiredToken):
        await auth.authenticate(signed(key=private_key("ES256", "a"), algorithm="ES256", expires_in=-1))


async def test_a_rotated_key_is_fetched_when_its_kid_first_arrives() -> None:
    documents = [{"keys": [jwk("ES256", "old")]}, {"keys": [jwk("ES256", "new")]}]
    fetched: list[Mapping[str, Any]] = []

    async def fetch() -> Mapping[str, Any]:
        fetched.append(documents[min(len(fetched), 1)])
        return fetched[-1]

    auth = JWTAuth(jwks=fetch, algorithms=["ES256"], jwks_refetch_interval=0)
    old, new = (
        signed(key=private_key("ES256", name), algorithm="ES256", headers={"kid": name}) for name in ("old", "new")
    )
    assert await auth.authenticate(old)
    assert await auth.authenticate(old)
    assert len(fetched) == 1
    assert await auth.authenticate(new)
    await refused(auth, old, "unknown key")


async def test_unknown_kids_cause_no_more_fetches_than_allowed() -> None:
    fetched = []

    def fetch() -> Mapping[str, Any]:
        fetched.append(1)
        return {"keys": [jwk("ES256", "a")]}

    auth = JWTAuth(jwks=fetch, algorithms=["ES256"], jwks_max_age=None)
    for number in range(5):
        token = signed(key=private_key("ES256", "b"), algorithm="ES256", headers={"kid": f"x{number}"})
        await refused(auth, token, "unknown key")
    assert len(fetched) == 1


async def test_while_no_document_could_be_fetched_clients_are_told_to_come_back() -> None:
    async def fetch() -> Mapping[str, Any]:
        raise ConnectionError

    with pytest.raises(KeysUnavailable):
        await JWTAuth(jwks=fetch, algorithms=["HS256"]).authenticate(signed())
