from typing import Any

import jwt
import pytest

from fastapi_rooms.auth.signing_keys import check_algorithms, load_key, parse_jwks
from fastapi_rooms.errors import ConfigurationError

from .keys import SECRET, jwk, private_pem, public_pem

REGISTRY: dict[str, Any] = {
    name: jwt.PyJWS().get_algorithm_by_name(name)
    for name in ("HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA")
}


@pytest.mark.parametrize("algorithms", [[], "HS256", ["none"], ["HS1"], ["HS256", "RS256"], ["ES256", "HS512"]])
def test_algorithms_that_cannot_be_safe_are_refused(algorithms: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="algorithms"):
        check_algorithms(algorithms)


def test_algorithms_of_public_keys_can_stand_together() -> None:
    assert check_algorithms(["RS256", "ES256", "RS256"]) == ("RS256", "ES256")


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_must_be_as_long_as_its_hash(algorithm: str, size: int) -> None:
    load_key("x" * size, algorithms=(algorithm,), registry=REGISTRY)
    with pytest.raises(ConfigurationError, match=f"{size} bytes") as refusal:
        load_key("x" * (size - 1), algorithms=(algorithm,), registry=REGISTRY)
    assert "xxx" not in str(refusal.value)


def test_an_rsa_key_must_have_2048_bits() -> None:
    with pytest.raises(ConfigurationError, match="2048 bits"):
        load_key(public_pem("short RS256"), algorithms=("RS256",), registry=REGISTRY)


def test_a_private_key_signs_and_its_public_half_verifies() -> None:
    key, private = load_key(private_pem("ES256"), algorithms=("ES256",), registry=REGISTRY)
    assert hasattr(private, "sign")
    assert not hasattr(key.key, "sign")
    key, private = load_key(public_pem("RS256"), algorithms=("RS256", "PS256"), registry=REGISTRY)
    assert private is None
    assert key.algorithms == ("RS256", "PS256")


def test_a_secret_signs_and_verifies() -> None:
    key, private = load_key(SECRET, algorithms=("HS256",), registry=REGISTRY)
    assert key.key == private == SECRET.encode()
    assert SECRET not in repr(key)


@pytest.mark.parametrize(
    ("made_for", "algorithm"),
    [
        (None, "RS256"),
        ("RS256", "ES256"),
        ("RS256", "HS256"),
        ("EdDSA", "RS256"),
        ("RS256", "EdDSA"),
        ("ES256", "ES384"),
        ("ES256", "EdDSA"),
    ],
)
def test_a_key_for_another_algorithm_is_refused(made_for: str | None, algorithm: str) -> None:
    key = "not a key" if made_for is None else public_pem(made_for)
    with pytest.raises(ConfigurationError, match="is not a key for") as refusal:
        load_key(key, algorithms=(algorithm,), registry=REGISTRY)
    assert refusal.value.__context__ is None


def test_a_key_of_another_type_is_refused() -> None:
    key: Any = 7
    with pytest.raises(ConfigurationError, match="int"):
        load_key(key, algorithms=("HS256",), registry=REGISTRY)


def parse(*entries: object, algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")) -> list[Any]:
    keys = parse_jwks({"keys": list(entries)}, algorithms=algorithms, registry=REGISTRY)
    return [(key.kid, key.algorithms) for key in keys]


def test_each_key_of_a_document_verifies_only_algorithms_of_its_own_type() -> None:
    assert parse(jwk("RS256", kid="r"), jwk("ES256", kid="e"), jwk("EdDSA", kid="o")) == [
        ("r", ("RS256", "PS256")),
        ("e", ("ES256",)),
        ("o", ("EdDSA",)),
    ]
    assert parse(jwk("RS256", kid=None, alg="PS256")) == [(None, ("PS256",))]
    assert parse(jwk("RS256", kid=7)) == [(None, ("RS256", "PS256"))]


def test_a_secret_in_a_document_verifies_what_it_is_long_enough_for() -> None:
    entry = jwk("HS256", kid="s")
    assert parse(entry, algorithms=("HS256", "HS384", "HS512")) == [("s", ("HS256", "HS384"))]


@pytest.mark.parametrize(
    "entry",
    [
        jwk("RS256", use="enc"),
        jwk("RS256", alg="RS512"),
        jwk("RS256", n=None),
        jwk("RS256", kty=["RSA"]),
        jwk("ES384"),
        jwk("HS256"),
        jwk("short RS256"),
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "AKP", "pub": "x"},
        {},
        "text",
    ],
)
def test_keys_that_cannot_be_used_are_passed_over(entry: object) -> None:
    assert parse(entry, jwk("EdDSA", kid="good")) == [("good", ("EdDSA",))]
    with pytest.raises(ConfigurationError, match="no usable key"):
        parse(entry)


@pytest.mark.parametrize("document", [{}, {"keys": {}}, [], "text", None])
def test_what_is_not_a_jwks_document_is_refused(document: Any) -> None:
    with pytest.raises(ConfigurationError, match="JWKS"):
        parse_jwks(document, algorithms=("RS256",), registry=REGISTRY)


def test_a_key_fits_tokens_by_algorithm_and_id() -> None:
    (key,) = parse_jwks({"keys": [jwk("ES256", kid="a")]}, algorithms=("ES256",), registry=REGISTRY)
    assert key.fits(algorithm="ES256", kid="a")
    assert key.fits(algorithm="ES256", kid=None)
    assert not key.fits(algorithm="ES256", kid="b")
    assert not key.fits(algorithm="ES384", kid="a")
