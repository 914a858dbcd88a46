"""Keys of every kind, made once."""

import json
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_decode, base64url_encode

SECRET: Final = "a secret of the tests, long enough for each of HS256, HS384 and HS512"
OTHER_SECRET: Final = SECRET[::-1]
_TO_JWK: Final[dict[str, Any]] = {
    "RS256": RSAAlgorithm.to_jwk,
    "short RS256": RSAAlgorithm.to_jwk,
    "ES256": ECAlgorithm.to_jwk,
    "ES384": ECAlgorithm.to_jwk,
    "EdDSA": OKPAlgorithm.to_jwk,
    "HS256": HMACAlgorithm.to_jwk,
}


def private_key(algorithm: str, name: str = "first") -> Any:
    """A private key for the algorithm; another one for every name."""
    return _generate(algorithm, name)


@cache
def _generate(algorithm: str, name: str) -> Any:
    if algorithm == "HS256":
        return f"{name} secret that is well over thirty-two bytes long"
    if algorithm == "RS256":
        return generate_rsa_key(public_exponent=65537, key_size=2048)
    if algorithm == "short RS256":
        return generate_rsa_key(public_exponent=65537, key_size=1024)
    if algorithm == "EdDSA":
        return Ed25519PrivateKey.generate()
    return generate_private_key(SECP384R1() if algorithm == "ES384" else SECP256R1())


def private_pem(algorithm: str, name: str = "first") -> bytes:
    """The private key as PEM."""
    pem: bytes = private_key(algorithm, name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(algorithm: str, name: str = "first") -> str:
    """The public key as PEM."""
    pem: bytes = (
        private_key(algorithm, name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return pem.decode()


def _padded(entry: dict[str, Any]) -> dict[str, Any]:
    """With coordinates as long as their curve wants (RFC 7518 §6.2.1.2): PyJWT before 2.9 cuts zeros off."""
    size = {"P-256": 32, "P-384": 48}.get(entry.get("crv", ""))
    if size is None:
        return entry
    points = {name: base64url_decode(entry[name]).rjust(size, b"\0") for name in ("x", "y")}
    return {**entry, **{name: base64url_encode(point).decode() for name, point in points.items()}}


def jwk(algorithm: str, name: str = "first", **members: Any) -> dict[str, Any]:
    """The public key (for HS256 the secret) as a JWK whose `kid` is its name; `None` drops a member."""
    key = private_key(algorithm, name)
    public = key if algorithm == "HS256" else key.public_key()
    entry = {**_padded(json.loads(_TO_JWK[algorithm](public))), "kid": name, **members}
    return {member: value for member, value in entry.items() if value is not None}
