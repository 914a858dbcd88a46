"""Keys and JWTs of a NATS in operator mode: the operator signs accounts, and accounts sign users."""

import base64
import hashlib
import json
import secrets
import time
from typing import Any, Final

import nkeys  # type: ignore[import-untyped]  # it has no annotations

from .nats_engine import UNHURRIED

_UNLIMITED: Final = {"subs": -1, "data": -1, "payload": -1}

_LIMITS: Final = _UNLIMITED | {"imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}


class Key:
    """An Ed25519 key that knows whose it is.

    Attributes:
        seed: The secret: `S`, then what begins the name, then the rest.
        name: The public key, which is the name of whoever has the secret.
    """

    def __init__(self, kind: int) -> None:
        seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), kind)
        self._pair: Any = nkeys.from_seed(seed)
        self.seed = seed.decode()
        self.name: str = self._pair.public_key.decode()

    def jwt(self, subject: str, about: dict[str, Any], *, good_for: float | None = None) -> str:
        """A JWT that this key signs: what is said about whom, and for how many seconds it is good."""
        now = int(time.time())
        claims = {"iat": now, "iss": self.name, "sub": subject, "name": "test", "nats": about | {"version": 2}}
        if good_for is not None:
            claims["exp"] = int(now + good_for)
        claims["jti"] = base64.b32encode(hashlib.new("sha512_256", _json(claims)).digest()).decode().rstrip("=")
        signed = f"{_coded(_json({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_coded(_json(claims))}"
        return f"{signed}.{_coded(self._pair.sign(signed.encode()))}"


class User:
    """A user of an account, and the secret that proves it."""

    def __init__(self, account: Key, *, good_for: float | None = None) -> None:
        self.key = Key(nkeys.PREFIX_BYTE_USER)
        self.jwt = account.jwt(self.key.name, {"type": "user", **_UNLIMITED}, good_for=good_for)

    def credentials(self, *, seed: str | None = None) -> str:
        """What a credentials file holds; with another secret, if there is one."""
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            "NKEY Seed printed below can be used to sign and prove identity.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed or self.key.seed}\n------END USER NKEY SEED------\n"
        )


class Operator:
    """Who a server trusts."""

    def __init__(self) -> None:
        self._key = Key(nkeys.PREFIX_BYTE_OPERATOR)

    def config(self, *accounts: Key, revoked: tuple[User, ...] = ()) -> str:
        """For a server that knows these accounts, and lets in all their users but the revoked ones."""
        about = {
            "type": "account",
            "limits": _LIMITS,
            "revocations": {user.key.name: int(time.time()) + 60 for user in revoked},
        }
        preload = "".join(f'{one.name}: "{self._key.jwt(one.name, about)}"\n' for one in accounts)
        operator = self._key.jwt(self._key.name, {"type": "operator"})
        patience = f"authorization {{ {UNHURRIED} }}\n"
        return f"{patience}operator: {operator}\nresolver: MEMORY\nresolver_preload: {{\n{preload}}}\n"


def account() -> Key:
    """The key of a new account."""
    return Key(nkeys.PREFIX_BYTE_ACCOUNT)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
