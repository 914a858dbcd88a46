"""Which key may verify which algorithm: what stands between a token's header and key confusion."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fastapi_rooms.errors import ConfigurationError

_KEY_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "oct"),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES256K", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
_HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_CURVES: Final = {"ES256": "P-256", "ES256K": "secp256k1", "ES384": "P-384", "ES512": "P-521"}
_CURVE_NAMES: Final = {"ES256": "secp256r1", "ES256K": "secp256k1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA_BITS: Final = 2048


class Algorithm(Protocol):
    """What this module uses of PyJWT's algorithm objects."""

    @property
    def prepare_key(self) -> Callable[[Any], Any]:
        """From a secret or PEM text to a key object; raises where it is none."""
        ...

    @property
    def from_jwk(self) -> Callable[[Any], Any]:
        """From a JWK (RFC 7517) to a key object; raises where it is none."""
        ...


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and what it may verify.

    Attributes:
        key: The secret or the public key.
        algorithms: The algorithms it may verify: all of one key type.
        kid: Its id in the JWKS document; `None` fits every token.
    """

    key: Any = field(repr=False)
    algorithms: tuple[str, ...]
    kid: str | None = None

    def fits(self, *, algorithm: str, kid: str | None) -> bool:
        """Whether a token with this header may be verified with this key."""
        return algorithm in self.algorithms and (kid is None or self.kid is None or kid == self.kid)


def check_algorithms(algorithms: Sequence[str]) -> tuple[str, ...]:
    """The algorithms as given, each once.

    Raises:
        ConfigurationError: There is none, one is unknown (`none` among them), or HS* stands beside others:
            then a public key could pass for a secret (RFC 8725 §2.1).
    """
    names = () if isinstance(algorithms, str) else tuple(dict.fromkeys(algorithms))
    if not names:
        raise ConfigurationError(f"algorithms={algorithms!r} must be a list of at least one name")
    for name in names:
        if name not in _KEY_TYPES:
            raise ConfigurationError(f"algorithms: {name!r} is not one of {', '.join(_KEY_TYPES)}")
    if len({_KEY_TYPES[name] == "oct" for name in names}) > 1:
        raise ConfigurationError("algorithms must not mix HS* (a secret) with others (a public key)")
    return names


def load_key(
    key: str | bytes, *, algorithms: tuple[str, ...], registry: Mapping[str, Algorithm]
) -> tuple[VerificationKey, Any]:
    """The key to verify with and the key to sign with, which is `None` where only the public one is given.

    Raises:
        ConfigurationError: It is no key for these algorithms, or too short for one of them.
    """
    if not isinstance(key, (str, bytes)):
        raise ConfigurationError(f"key must be str or bytes, not {type(key).__name__}")
    prepared = [_load(registry[name].prepare_key, key) for name in algorithms]
    given = prepared[0]
    public = _public(given)
    if None in prepared or not all(_is_for(public, name) for name in algorithms):
        raise ConfigurationError(f"key is not a key for {', '.join(algorithms)} (PEM, or a secret for HS*)")
    for name in algorithms:
        if not _long_enough(public, name):
            raise ConfigurationError(f"key is too short for {name}: {_advice(name)}")
    private = None if public is given and _KEY_TYPES[algorithms[0]] != "oct" else given
    return VerificationKey(key=public, algorithms=algorithms), private


def parse_jwks(
    document: Mapping[str, Any], *, algorithms: tuple[str, ...], registry: Mapping[str, Algorithm]
) -> tuple[VerificationKey, ...]:
    """The keys of a JWKS document that can verify one of the algorithms; others are ignored (RFC 7517 §5).

    Raises:
        ConfigurationError: It is not a JWKS document, or holds no such key.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ConfigurationError('a JWKS document is {"keys": [...]}')
    parsed = (_parse_jwk(entry, algorithms, registry) for entry in entries if isinstance(entry, dict))
    keys = tuple(key for key in parsed if key is not None)
    if not keys:
        raise ConfigurationError(f"the JWKS document holds no usable key for {', '.join(algorithms)}")
    return keys


def _parse_jwk(
    entry: dict[str, Any], algorithms: tuple[str, ...], registry: Mapping[str, Algorithm]
) -> VerificationKey | None:
    candidates = [name for name in algorithms if _describes(entry, name)]
    if not candidates or entry.get("use", "sig") != "sig":
        return None
    given = _load(registry[candidates[0]].from_jwk, entry)
    if given is None:
        return None
    public = _public(given)
    usable = tuple(name for name in candidates if _long_enough(public, name))
    kid = entry.get("kid")
    return VerificationKey(public, usable, kid if isinstance(kid, str) else None) if usable else None


def _describes(entry: dict[str, Any], algorithm: str) -> bool:
    return (
        entry.get("kty") == _KEY_TYPES[algorithm]
        and entry.get("alg", algorithm) == algorithm
        and _CURVES.get(algorithm) in (None, entry.get("crv"))
    )


def _load(load: Callable[[Any], Any], source: object) -> Any:
    try:
        return load(source)
    except Exception:  # noqa: BLE001 - PyJWT and cryptography raise a dozen kinds; all mean "not such a key"
        return None


def _public(key: Any) -> Any:
    return key.public_key() if hasattr(key, "public_key") else key


def _is_for(key: Any, algorithm: str) -> bool:
    # Older releases of PyJWT load any PEM for any algorithm.
    if isinstance(key, bytes):
        return _KEY_TYPES[algorithm] == "oct"
    if hasattr(key, "curve"):
        curve: str = key.curve.name
        return _CURVE_NAMES.get(algorithm) == curve
    return _KEY_TYPES[algorithm] == ("RSA" if hasattr(key, "key_size") else "OKP")


def _long_enough(key: Any, algorithm: str) -> bool:
    if algorithm in _HMAC_BYTES:
        return len(key) >= _HMAC_BYTES[algorithm]
    return _KEY_TYPES[algorithm] != "RSA" or key.key_size >= _RSA_BITS


def _advice(algorithm: str) -> str:
    if algorithm in _HMAC_BYTES:
        size = _HMAC_BYTES[algorithm]
        return f"at least {size} bytes (RFC 7518 §3.2), such as secrets.token_hex({size})"
    return f"at least {_RSA_BITS} bits (RFC 7518 §3.3)"
