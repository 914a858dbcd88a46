import asyncio
import importlib.util
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.scale import examples
from fastapi_rooms.auth import Cookie, Identity, JWTAuth
from fastapi_rooms.auth import jwt as module
from fastapi_rooms.errors import (
    ConfigurationError,
    ExpiredToken,
    InsufficientScope,
    MissingExtra,
    RoomsError,
)
from fastapi_rooms.ports import Authenticator

from .keys import OTHER_SECRET, SECRET, private_key, public_pem
from .tokens import refused, segment, signed, signed_by_hand

HS256 = JWTAuth(key=SECRET, algorithms=["HS256"])


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_verifies_what_the_private_key_signed(algorithm: str) -> None:
    auth = JWTAuth(key=public_pem(algorithm), algorithms=[algorithm])
    token = signed(key=private_key(algorithm), algorithm=algorithm)
    assert (await auth.authenticate(token)).subject == "ann"
    forged = signed(key=private_key(algorithm, "other"), algorithm=algorithm)
    await refused(auth, forged, "signature")


async def test_a_secret_verifies_what_it_signed() -> None:
    assert (await HS256.authenticate(signed())).subject == "ann"
    await refused(HS256, signed(key=OTHER_SECRET), "signature")


async def test_the_identity_has_subject_scopes_claims_and_expiry_of_the_token() -> None:
    exp = int(time.time()) + 60
    identity = await HS256.authenticate(signed({"exp": exp, "scope": "chat:read chat:write", "team": 7}))
    assert identity == Identity(
        subject="ann",
        scopes=frozenset({"chat:read", "chat:write"}),
        claims={"sub": "ann", "exp": exp, "scope": "chat:read chat:write", "team": 7},
        expires_at=exp,
    )
    claims: Any = identity.claims
    with pytest.raises(TypeError):
        claims["team"] = 8


@pytest.mark.parametrize("claim", ["scope", "scp", "scopes"])
@pytest.mark.parametrize("value", ["a b", ["a", "b"]])
async def test_scopes_are_text_or_a_list_under_the_usual_names(claim: str, value: object) -> None:
    assert (await HS256.authenticate(signed({claim: value}))).scopes == {"a", "b"}


async def test_scopes_can_have_a_name_of_their_own() -> None:
    auth = JWTAuth(key=SECRET, algorithms=["HS256"], scope_claim="permissions")
    assert (await auth.authenticate(signed({"permissions": ["a"], "scope": "b"}))).scopes == {"a"}


@pytest.mark.parametrize("value", [7, {"a": 1}, ["a", 7], None])
async def test_scopes_of_another_kind_are_refused(value: object) -> None:
    await refused(HS256, signed({"scope": value}), "scopes")


async def test_required_scopes_are_enforced() -> None:
    auth = HS256.requires("chat:write")
    authenticator: Authenticator = auth
    assert await authenticator.authenticate(signed({"scope": "chat:write"}))
    with pytest.raises(InsufficientScope):
        await auth.authenticate(signed({"scope": "chat:read"}))


@pytest.mark.parametrize("subject", [None, 7, "", ["ann"]])
async def test_a_subject_that_is_not_a_string_is_refused(subject: object) -> None:
    token = signed_by_hand({"alg": "HS256"}, {"sub": subject, "exp": time.time() + 60})
    await refused(HS256, token, "sub claim|malformed")


async def test_an_expired_token_says_so() -> None:
    with pytest.raises(ExpiredToken) as refusal:
        await HS256.authenticate(signed(expires_in=-1))
    assert refusal.value.code == 4001
    await refused(HS256, signed(expires_in=-1, key=OTHER_SECRET), "signature")


async def test_leeway_forgives_clocks_that_differ_and_counts_for_the_live_connection() -> None:
    auth = JWTAuth(key=SECRET, algorithms=["HS256"], leeway=30)
    exp = int(time.time()) - 10
    identity = await auth.authenticate(signed({"exp": exp, "nbf": time.time() + 10, "iat": time.time() + 10}))
    assert identity.expires_at == exp + 30
    with pytest.raises(ExpiredToken):
        await auth.authenticate(signed(expires_in=-31))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_is_refused(claim: str) -> None:
    await refused(HS256, signed({claim: time.time() + 10}), "not valid yet")


async def test_a_token_without_expiry_is_refused_unless_that_is_wanted() -> None:
    token = signed(expires_in=None)
    await refused(HS256, token, "no exp claim")
    auth = JWTAuth(key=SECRET, algorithms=["HS256"], require_exp=False)
    assert (await auth.authenticate(token)).expires_at is None


@pytest.mark.parametrize(
    "exp",
    ["soon", [1], {}, float("inf"), float("nan"), pytest.param(10**400, id="10**400"), 1e300, "9999999999"],
)
async def test_an_expiry_that_is_not_a_time_is_refused(exp: object) -> None:
    await refused(HS256, signed({"exp": exp}), "not a time|malformed")


async def test_the_audience_must_be_ours() -> None:
    auth = JWTAuth(key=SECRET, algorithms=["HS256"], audience="chat")
    several = JWTAuth(key=SECRET, algorithms=["HS256"], audience=["chat", "mail"])
    assert await auth.authenticate(signed({"aud": ["chat", "other"]}))
    assert await several.authenticate(signed({"aud": "mail"}))
    await refused(auth, signed({"aud": "mail"}), "another audience")
    await refused(auth, signed(), "no aud claim")
    await refused(HS256, signed({"aud": "chat"}), "another audience")


async def test_the_issuer_must_be_one_of_ours() -> None:
    auth = JWTAuth(key=SECRET, algorithms=["HS256"], issuer="https://id.example")
    several = JWTAuth(key=SECRET, algorithms=["HS256"], issuer=["https://a", "https://b"])
    assert await auth.authenticate(signed({"iss": "https://id.example"}))
    assert await several.authenticate(signed({"iss": "https://b"}))
    await refused(auth, signed({"iss": "https://evil.example"}), "another issuer")
    await refused(auth, signed(), "another issuer")


async def test_an_algorithm_that_is_not_listed_is_refused() -> None:
    auth = JWTAuth(key=SECRET, algorithms=["HS256", "HS384"])
    assert await auth.authenticate(signed(algorithm="HS384"))
    await refused(auth, signed(algorithm="HS512"), "algorithm")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", None, 7, ["HS256"], ""])
async def test_an_unsigned_token_is_refused(alg: object) -> None:
    body = segment({"sub": "ann", "exp": time.time() + 60})
    await refused(HS256, f"{segment({'alg': alg})}.{body}.", "algorithm|malformed")


async def test_a_public_key_is_never_taken_for_a_secret() -> None:
    public = public_pem("RS256")
    auth = JWTAuth(key=public, algorithms=["RS256"])
    claims = {"sub": "ann", "exp": time.time() + 60}
    await refused(auth, signed_by_hand({"alg": "HS256"}, claims, secret=public), "algorithm")
    with pytest.raises(ConfigurationError):
        JWTAuth(key=public, algorithms=["HS256"])


async def test_an_identity_can_be_made_of_the_claims() -> None:
    def of(claims: Mapping[str, Any]) -> Identity | None:
        return None if claims["jti"] == "revoked" else Identity(subject=f"user:{claims['uid']}")

    async def later(claims: Mapping[str, Any]) -> Identity | None:
        return of(claims)

    for make in (of, later):
        auth = JWTAuth(key=SECRET, algorithms=["HS256"], identity=make)
        identity = await auth.authenticate(signed({"uid": 7, "jti": "x", "exp": (exp := int(time.time()) + 9)}))
        assert (identity.subject, identity.expires_at) == ("user:7", exp)
        await refused(auth, signed({"uid": 7, "jti": "revoked"}), "not valid")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"algorithms": ["HS256"]}, "key="),
        ({"algorithms": ["HS256"], "key": SECRET, "jwks": {"keys": []}}, "not both"),
        ({"algorithms": ["HS256"], "key": "short"}, "32 bytes"),
        ({"algorithms": ["none"], "key": SECRET}, "none"),
        ({"algorithms": ["HS256", "RS256"], "key": SECRET}, "mix"),
        ({"algorithms": ["RS256"], "jwks": {"keys": []}}, "no usable key"),
        ({"algorithms": ["HS256"], "key": SECRET, "leeway": -1}, "leeway"),
        ({"algorithms": ["HS256"], "key": SECRET, "leeway": float("inf")}, "leeway"),
        ({"algorithms": ["RS256"], "jwks": dict, "jwks_timeout": -1}, "jwks_timeout"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        JWTAuth(**options)


def test_the_scheme_in_openapi_says_jwt_where_it_is_a_bearer_token() -> None:
    assert getattr(HS256.model, "bearerFormat", None) == "JWT"
    auth = JWTAuth(key=SECRET, algorithms=["HS256"], sources=[Cookie("jwt")])
    assert not hasattr(auth.model, "bearerFormat")


async def test_neither_the_key_nor_a_token_shows_in_a_repr() -> None:
    assert SECRET not in repr(HS256) + repr(HS256.requires("a"))


def test_without_pyjwt_the_import_works_and_the_constructor_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['jwt'] = None\n"
        "from fastapi_rooms.auth import JWTAuth\n"
        "try: JWTAuth(key='k' * 32, algorithms=['HS256'])\n"
        "except ImportError as error: print(type(error).__name__, error.extra)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "MissingExtra jwt\n"


def test_without_pyjwt_the_module_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    assert module.__file__ is not None
    spec = importlib.util.spec_from_file_location("jwt_without_pyjwt", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    without = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(without)
    with pytest.raises(MissingExtra, match=r"fastapi-rooms\[jwt\]"):
        without.JWTAuth(key=SECRET, algorithms=["HS256"])


def test_without_cryptography_asymmetric_algorithms_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: pyjwt.PyJWS, alg_name: str) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(pyjwt.PyJWS, "get_algorithm_by_name", missing)
    with pytest.raises(MissingExtra, match="RS256"):
        JWTAuth(key=public_pem("RS256"), algorithms=["RS256"])


@pytest.mark.parametrize(
    "token",
    ["x", "a.b.c", "....", "é.é.é", "\ud800.a.b", f"{segment([])}.e30.x", f"{segment('x')}.e30.x"],
)
async def test_what_is_no_token_is_refused(token: str) -> None:
    await refused(HS256, token, "malformed")


async def test_json_nested_without_end_is_refused() -> None:
    deep = b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    await refused(HS256, f"{segment(deep)}.{segment(deep)}.x", "malformed")


async def test_claims_that_are_no_object_are_refused() -> None:
    await refused(HS256, signed_by_hand({"alg": "HS256"}, [1]), "malformed")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=5,
)
headers = st.fixed_dictionaries(
    {},
    optional={"alg": st.just("HS256") | json_values, "kid": json_values, "crit": json_values, "b64": json_values},
)
claim_sets = st.dictionaries(
    st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "jti", "scope", "x"]), json_values
)


@settings(max_examples=examples(200))
@given(st.one_of(st.text(), st.builds(".".join, st.lists(st.text(), max_size=4))))
def test_no_string_raises_anything_but_an_error_of_ours(token: str) -> None:
    with pytest.raises(RoomsError):
        asyncio.run(HS256.authenticate(token))


@settings(max_examples=examples(200))
@given(headers, claim_sets)
def test_no_header_or_claims_raise_anything_but_an_error_of_ours(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    try:
        identity = asyncio.run(HS256.authenticate(signed_by_hand(header, claims)))
    except RoomsError:
        return
    assert identity.subject == claims["sub"]
