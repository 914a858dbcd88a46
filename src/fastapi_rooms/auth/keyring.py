"""Where a verifier finds its keys: one key, a JWKS document, or a document that is fetched."""

from collections.abc import Mapping
from typing import Any

from fastapi_rooms.auth.jwks import Document, DocumentCache, Fetch
from fastapi_rooms.auth.signing_keys import Algorithm, VerificationKey, load_key, parse_jwks
from fastapi_rooms.errors import ConfigurationError


class Keyring:
    """The keys to verify with, and the one to sign with.

    Attributes:
        signing_key: The secret or the private key; `None` where only public keys are known.
    """

    def __init__(
        self,
        *,
        key: str | bytes | None,
        jwks: Document | Fetch | None,
        algorithms: tuple[str, ...],
        registry: Mapping[str, Algorithm],
        refetch_interval: float,
        max_age: float | None,
        timeout: float,
    ) -> None:
        """Load the key, or parse the document; a function is not called yet. The options are those of `JWTAuth`.

        Raises:
            ConfigurationError: Both or neither of `key` and `jwks` are given, or one of them holds no usable key.
        """
        if (key is None) == (jwks is None):
            raise ConfigurationError("JWTAuth needs key=... or jwks=..., and not both")
        self._algorithms = algorithms
        self._registry = registry
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched: DocumentCache[tuple[VerificationKey, ...]] | None = None
        self.signing_key: Any = None
        if key is not None:
            loaded, self.signing_key = load_key(key, algorithms=algorithms, registry=registry)
            self._keys = (loaded,)
        elif callable(jwks):
            self._fetched = DocumentCache(
                jwks, self._parse, refetch_interval=refetch_interval, max_age=max_age, timeout=timeout
            )
        else:
            self._keys = self._parse(jwks or {})

    async def fitting(self, *, algorithm: str, kid: str | None) -> list[VerificationKey]:
        """The keys that may verify a token with this header; a `kid` that none has may cause a fetch.

        Raises:
            KeysUnavailable: The document could not be fetched, and there is no earlier one.
        """
        keys = self._keys if self._fetched is None else await self._fetched.current()
        found = [key for key in keys if key.fits(algorithm=algorithm, kid=kid)]
        if not found and self._fetched is not None:
            newer = await self._fetched.newer_than(keys)
            found = [key for key in newer if key.fits(algorithm=algorithm, kid=kid)]
        return found

    def _parse(self, document: Document) -> tuple[VerificationKey, ...]:
        return parse_jwks(document, algorithms=self._algorithms, registry=self._registry)
