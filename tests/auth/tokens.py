"""Tokens as an issuer, or an attacker, makes them."""

import base64
import json
import time
import traceback
from collections.abc import Mapping
from typing import Any

import jwt as pyjwt
import pytest

from fastapi_rooms.auth import JWTAuth
from fastapi_rooms.errors import InvalidToken

from .keys import SECRET


def signed(
    claims: Mapping[str, Any] | None = None,
    *,
    key: Any = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
    expires_in: float | None = 3600,
) -> str:
    """A signed token for ann."""
    payload: dict[str, Any] = {"sub": "ann", **(claims or {})}
    if expires_in is not None:
        payload.setdefault("exp", int(time.time() + expires_in))
    return pyjwt.encode(payload, key, algorithm=algorithm, headers=headers)


def segment(value: object) -> str:
    """One part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def refused(auth: JWTAuth, token: str, match: str) -> None:
    """The token is refused, and nothing of it is left in what a log would print."""
    with pytest.raises(InvalidToken, match=match) as refusal:
        await auth.authenticate(token)
    assert token not in "".join(traceback.format_exception_only(refusal.value))
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


def signed_by_hand(header: object, claims: object, *, secret: str = SECRET) -> str:
    """A token with an HS256 signature, whatever its header and its claims say."""
    body = f"{segment(header)}.{segment(claims)}"
    algorithm = pyjwt.PyJWS().get_algorithm_by_name("HS256")
    return f"{body}.{segment(algorithm.sign(body.encode(), secret.encode()))}"
