"""Endpoints that want to know who connects, and those that let only a few in."""

import asyncio
import time
from dataclasses import replace
from typing import Annotated, Any, Final

import jwt
from fastapi import APIRouter, Depends, Security, WebSocket

from fastapi_rooms.auth import Identity, JWTAuth, OriginPolicy

from .managers import MANAGERS

SECRET: Final = "a key that is long enough for HS256, and known to the tests only"
ORIGIN: Final = "https://app.example"

router = APIRouter()
_by_status = JWTAuth(
    key=SECRET, algorithms=["HS256"], origin=OriginPolicy(allow=[ORIGIN]), scheme_name="by status"
)
_by_code = JWTAuth(
    key=SECRET,
    algorithms=["HS256"],
    origin=OriginPolicy(allow=[ORIGIN]),
    reject="close",
    scheme_name="by code",
)


def token(*, subject: str = "ada", scope: str = "chat:write", expires_in: float = 60, key: str = SECRET) -> str:
    """A token as an identity provider makes it."""
    claims = {"sub": subject, "scope": scope, "exp": time.time() + expires_in}
    return jwt.encode(claims, key, algorithm="HS256")


@router.websocket("/secret/http")
async def secret_http(
    websocket: WebSocket, identity: Annotated[Identity, Security(_by_status, scopes=["chat:write"])]
) -> None:
    """Refuse with a status."""
    await _greet(websocket, identity)


@router.websocket("/secret/close")
async def secret_close(
    websocket: WebSocket, identity: Annotated[Identity, Security(_by_code, scopes=["chat:write"])]
) -> None:
    """Refuse with a close code."""
    await _greet(websocket, identity)


async def _greet(websocket: WebSocket, identity: Identity) -> None:
    async with MANAGERS["auth"].connect(websocket, user=identity) as connection:
        await connection.send(f"hello {identity.subject}")
        async for message in connection:
            await connection.send(message)


@router.websocket("/few")
async def few(websocket: WebSocket, user: str) -> None:
    """At most two connections, and one of each user."""
    async with MANAGERS["few"].connect(websocket, user_id=user) as connection:
        await connection.send("hello")
        async for _ in connection:
            pass


@router.websocket("/authenticate/{label}")
async def first_message(websocket: WebSocket, label: str) -> None:
    """The token is the first message."""
    async with MANAGERS[label].connect(websocket, authenticate=_by_status) as connection:
        await connection.send(f"hello {connection.user_id}")
        async for message in connection:
            await connection.send(message)


@router.websocket("/expiring")
async def expiring(
    websocket: WebSocket,
    identity: Annotated[Identity, Depends(_by_status)],
    refresh_after: float | None = None,
) -> None:
    """Tick until the token expires; refresh it where asked to."""
    async with MANAGERS["expiry"].connect(websocket, user=identity) as connection:
        started = time.monotonic()
        while True:
            await connection.send("tick")
            await asyncio.sleep(0.05)
            if refresh_after is not None and time.monotonic() - started > refresh_after:
                renewed: Any = replace(identity, expires_at=time.time() + 60)
                connection.refresh(renewed)
                refresh_after = None
