"""JSON Web Tokens (RFC 7519), verified by PyJWT."""

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import isawaitable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from fastapi.openapi.models import HTTPBearer

from fastapi_rooms.auth.jwks import Document, Fetch
from fastapi_rooms.auth.keyring import Keyring
from fastapi_rooms.auth.origin import OriginPolicy
from fastapi_rooms.auth.refusal import Reject
from fastapi_rooms.auth.scoped import check_scopes
from fastapi_rooms.auth.signing_keys import Algorithm, VerificationKey, check_algorithms
from fastapi_rooms.auth.sources import DEFAULT_SOURCES, TokenSource
from fastapi_rooms.auth.token_auth import TokenAuth
from fastapi_rooms.errors import (
    AuthenticationError,
    ConfigurationError,
    ExpiredToken,
    InvalidToken,
    MissingExtra,
)
from fastapi_rooms.identity import Identity

if TYPE_CHECKING:
    import jwt as pyjwt
else:
    try:
        import jwt as pyjwt
    except ImportError:
        pyjwt = None  # JWTAuth refuses to be made

IdentityOf = Callable[[Mapping[str, Any]], Identity | Awaitable[Identity | None] | None]

_SCOPE_CLAIMS: Final = ("scope", "scp", "scopes")
_OWN_CLAIMS: Final = frozenset({"sub", "exp", "iat", "iss", "aud"})


class JWTAuth(TokenAuth[Identity]):
    """Authentication by JSON Web Token: `JWTAuth(key=SECRET, algorithms=["HS256"])`.

    A dependency and an authenticator, as `TokenAuth` is. The signature is checked first, then `exp`, `nbf`,
    `iat`, the audience and the issuer. The algorithm comes from your list, never from the token alone, and
    each key verifies only algorithms of its own type. A token with an audience is refused unless you name
    yours (RFC 7519 §4.1.3). It needs PyJWT: `pip install "fastapi-rooms[jwt]"`.

    The `Identity` has the `sub` claim as subject, the scope claim as scopes, all the claims, and as
    `expires_at` the moment at which the token stops being accepted: `exp` plus the leeway.
    """

    def __init__(
        self,
        *,
        algorithms: Sequence[str],
        key: str | bytes | None = None,
        jwks: Document | Fetch | None = None,
        audience: str | Sequence[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        leeway: float = 0.0,
        require_exp: bool = True,
        scope_claim: str | Sequence[str] = _SCOPE_CLAIMS,
        identity: IdentityOf | None = None,
        jwks_refetch_interval: float = 30.0,
        jwks_max_age: float | None = 3600.0,
        jwks_timeout: float = 10.0,
        sources: Sequence[TokenSource] = DEFAULT_SOURCES,
        scopes: Iterable[str] = (),
        reject: Reject = "http",
        origin: OriginPolicy | Literal["auto"] | None = "auto",
        scheme_name: str | None = None,
        description: str | None = None,
    ) -> None:
        """Set the dependency up.

        Args:
            algorithms: What you accept, required: HS256/384/512 with a secret, or RS*, PS*, ES*, EdDSA with a
                public key; never both kinds.
            key: The secret, or the key as PEM. A private key verifies with its public half and lets `issue`
                sign.
            jwks: In place of `key`: a JWKS document, or a function (async or not) that fetches it. A token
                whose `kid` is unknown causes a fetch.
            audience: Your name in `aud`; of several, one must be there. `None`: the token must name none.
            issuer: The `iss` that the token must have, or several of which it must have one. `None`: any.
            leeway: Seconds by which clocks may differ, for `exp`, `nbf` and `iat`.
            require_exp: Refuse tokens without `exp`. Without it they are good for ever.
            scope_claim: The claim with the scopes, as a list or with spaces between; of several names the
                first that is there.
            identity: Makes the `Identity` of the verified claims, in place of the default; may be `async`.
                `None` refuses the token (revoked, for instance). Where its `expires_at` is `None` it gets
                the token's.
            jwks_refetch_interval: Least seconds between two fetches, whatever clients send.
            jwks_max_age: Seconds after which the document is fetched again, so that withdrawn keys go.
                `None`: only for unknown keys.
            jwks_timeout: Seconds that one fetch may take. With no document yet, clients get 503 (1013).
            sources: As in `TokenAuth`.
            scopes: As in `TokenAuth`.
            reject: As in `TokenAuth`.
            origin: As in `TokenAuth`.
            scheme_name: As in `TokenAuth`.
            description: As in `TokenAuth`.

        Raises:
            MissingExtra: PyJWT, or for other algorithms than HS* its `crypto` extra, is not installed.
            ConfigurationError: An option cannot work: a short secret, mixed algorithms, both or neither of
                `key` and `jwks`.
        """
        if pyjwt is None:
            raise MissingExtra(extra="jwt", feature="JWTAuth")
        super().__init__(
            self._verify_token,
            sources=sources,
            scopes=scopes,
            reject=reject,
            origin=origin,
            scheme_name=scheme_name,
            description=description,
        )
        if isinstance(self.model, HTTPBearer):
            self.model = self.model.model_copy(update={"bearerFormat": "JWT"})
        self._algorithms = check_algorithms(algorithms)
        self._audience = _names(audience)
        self._issuers = _names(issuer)
        self._leeway = _not_negative("leeway", leeway)
        self._require_exp = require_exp
        self._scope_claims = _names(scope_claim) or _SCOPE_CLAIMS
        self._identity_of = identity or self._default_identity
        self._keyring = Keyring(
            key=key,
            jwks=jwks,
            algorithms=self._algorithms,
            registry=_registry(self._algorithms),
            refetch_interval=_not_negative("jwks_refetch_interval", jwks_refetch_interval),
            max_age=None if jwks_max_age is None else _not_negative("jwks_max_age", jwks_max_age),
            timeout=_not_negative("jwks_timeout", jwks_timeout),
        )

    def issue(
        self,
        subject: str,
        *,
        expires_in: float,
        scopes: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """Sign a token that this very dependency accepts: for sign-in endpoints and tests.

        It is signed with the first of `algorithms` and names the audience and issuer that are required here.

        Args:
            subject: The user's id: the `sub` claim.
            expires_in: Seconds from now, rounded up to whole ones; negative makes an expired token, for
                tests.
            scopes: What the user may do: the scope claim, with spaces between.
            claims: More claims: JSON-able, and none of `sub`, `exp`, `iat`, `iss`, `aud` or the scope claim.

        Raises:
            ConfigurationError: There is no secret or private key to sign with, or a claim is reserved.
        """
        if self._keyring.signing_key is None:
            raise ConfigurationError("issue() needs JWTAuth(key=...) with a secret or a private key")
        scope_claim = self._scope_claims[0]
        reserved = sorted((_OWN_CLAIMS | {scope_claim}).intersection(claims or ()))
        if reserved or not isinstance(subject, str) or not subject:
            raise ConfigurationError(f"issue() sets {', '.join(reserved) or 'sub'} itself, from its own arguments")
        now = time.time()
        payload: dict[str, Any] = {**(claims or {}), "sub": subject, "iat": int(now)}
        payload["exp"] = math.ceil(now + expires_in)
        if names := check_scopes(scopes):
            payload[scope_claim] = " ".join(names)
        if self._issuers:
            payload["iss"] = self._issuers[0]
        if self._audience:
            payload["aud"] = list(self._audience)
        return pyjwt.encode(payload, self._keyring.signing_key, algorithm=self._algorithms[0])

    async def _verify_token(self, token: str) -> Identity | None:
        algorithm, kid = self._header_of(token)
        keys = await self._keyring.fitting(algorithm=algorithm, kid=kid)
        claims = self._claims_of(token, algorithm, keys)
        expires_at = _expires_at(claims, self._leeway)
        result = self._identity_of(MappingProxyType(claims))
        identity = await result if isawaitable(result) else result
        if identity is not None and identity.expires_at is None:
            return replace(identity, expires_at=expires_at)
        return identity

    def _header_of(self, token: str) -> tuple[str, str | None]:
        header: dict[str, Any] = {}
        try:
            header = pyjwt.get_unverified_header(token)
        except _decoding_errors():
            pass  # an empty header is refused below, outside of PyJWT's exception, which quotes the token
        if not header:
            raise InvalidToken("the token is malformed")
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            raise InvalidToken("the token is signed with an algorithm that is not accepted")
        return algorithm, kid

    def _claims_of(self, token: str, algorithm: str, keys: list[VerificationKey]) -> dict[str, Any]:
        if not keys:
            raise InvalidToken("the token is signed with an unknown key")
        # Several keys may fit where the token, or the document, has no kid.
        outcomes = (self._decode(token, algorithm, key) for key in keys)
        outcome = next((outcome for outcome in outcomes if outcome is not None), None)
        if outcome is None:
            raise InvalidToken("the token's signature is wrong")
        if isinstance(outcome, AuthenticationError):
            raise outcome
        if self._issuers and outcome.get("iss") not in self._issuers:
            raise InvalidToken("the token is from another issuer")
        return outcome

    def _decode(
        self, token: str, algorithm: str, key: VerificationKey
    ) -> dict[str, Any] | AuthenticationError | None:
        """The claims, the refusal, or `None` where another key has signed it."""
        try:
            return pyjwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._audience or None,
                leeway=self._leeway,
                options={"require": ["exp"] if self._require_exp else []},
            )
        except pyjwt.InvalidSignatureError:
            return None
        except _decoding_errors() as error:
            return _refusal_of(error)

    def _default_identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise InvalidToken("the token has no sub claim that is a string")
        return Identity(subject=subject, scopes=self._scopes_of(claims), claims=claims)

    def _scopes_of(self, claims: Mapping[str, Any]) -> frozenset[str]:
        value = next((claims[name] for name in self._scope_claims if name in claims), ())
        names = value.split() if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise InvalidToken("the token's scopes are neither a string nor a list of strings")
        return frozenset(names)


def _decoding_errors() -> tuple[type[Exception], ...]:
    # PyJWT lets some of what hostile JSON provokes through: infinite times, nesting without end.
    return (pyjwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


def _refusal_of(error: Exception) -> AuthenticationError:
    if isinstance(error, pyjwt.ExpiredSignatureError):
        return ExpiredToken("the token has expired")
    if isinstance(error, pyjwt.ImmatureSignatureError):
        return InvalidToken("the token is not valid yet")
    if isinstance(error, pyjwt.InvalidAudienceError):
        return InvalidToken("the token is for another audience")
    if isinstance(error, pyjwt.MissingRequiredClaimError):
        return InvalidToken(f"the token has no {error.claim} claim")
    return InvalidToken("the token is malformed")


def _expires_at(claims: Mapping[str, Any], leeway: float) -> float | None:
    exp = claims.get("exp")
    if exp is None:
        return None
    if not isinstance(exp, (int, float)) or not abs(exp) < 2**53:
        raise InvalidToken("the token's exp claim is not a time")
    return exp + leeway


def _registry(algorithms: tuple[str, ...]) -> Mapping[str, Algorithm]:
    jws = pyjwt.PyJWS()
    try:
        return {name: jws.get_algorithm_by_name(name) for name in algorithms}
    except NotImplementedError:  # PyJWT knows them all, given the cryptography package
        missing = MissingExtra(extra="jwt", feature=", ".join(algorithms))
    raise missing


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _not_negative(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ConfigurationError(f"JWTAuth({name}={value!r}) must be a number of seconds, 0 or more")
    return value
