"""The handshake: accept within a deadline, and authenticate by the first message where the app asks for it."""

import asyncio
import json
import logging
from typing import Any, Protocol

from fastapi_rooms.errors import AuthenticationError, CloseCode, DisconnectReason
from fastapi_rooms.identity import expires_at_of, user_id_of
from fastapi_rooms.options import Limits
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY, Greeter
from fastapi_rooms.registry import Registry
from fastapi_rooms.session import Session

logger = logging.getLogger("fastapi_rooms")


class Arrivals(Protocol):
    """What the handshake needs of the manager's host."""

    limits: Limits
    registry: Registry[Any]
    accepted: int

    def over_user_limit(self, user_id: str, *, more: int = 0) -> bool:
        """Whether the user has too many connections, with `more` to come."""
        ...


async def shake_hands(session: Session[Any], host: Arrivals) -> None:
    """Accept, start reading, and find the user.

    Raises:
        ConnectionClosed: The client left, or failed to authenticate; the link is shut.
    """
    await _accept(session)
    host.accepted += 1
    if session.authenticate is not None:
        await _authenticate(session, host)
    session.check_open()
    expires_at = session.expires_at
    session.connection.expire(expires_at_of(session.connection.user) if expires_at is None else expires_at)


async def _accept(session: Session[Any]) -> None:
    link = session.link
    subprotocol = session.subprotocol
    if subprotocol is None:
        subprotocol = session.websocket.scope.get(SUBPROTOCOL_SCOPE_KEY)
    try:
        async with asyncio.timeout(link.queue_limits.send_timeout):
            await link.transport.accept(subprotocol=subprotocol, headers=session.headers)
    except Exception as error:
        if not isinstance(error, OSError):
            logger.warning("the handshake failed", exc_info=error)
        link.shut(DisconnectReason.CLIENT, 1006, f"the handshake was not completed: {type(error).__name__}")
    else:
        link.start()
    session.check_open()


async def _authenticate(session: Session[Any], host: Arrivals) -> None:
    link = session.link
    deadline = asyncio.timeout(host.limits.authentication_timeout)
    try:
        async with deadline:
            if isinstance(session.authenticate, Greeter):
                user = await session.authenticate.greet(session.connection)
            else:
                message = await session.connection.receive()
                user = await session.authenticate.authenticate(_token_in(message))
    except AuthenticationError as error:
        expired = error.code == CloseCode.TOKEN_EXPIRED
        reason = DisconnectReason.TOKEN_EXPIRED if expired else DisconnectReason.AUTHENTICATION_FAILED
        link.shut(reason, error.code, error.detail)
    except TimeoutError:
        if not deadline.expired():
            raise
        link.shut(
            DisconnectReason.AUTHENTICATION_TIMEOUT, CloseCode.AUTHENTICATION_TIMEOUT, "no token came in time"
        )
    else:
        _identify(session, host, user)
    session.check_open()


def _identify(session: Session[Any], host: Arrivals, user: object) -> None:
    connection = session.connection
    user_id = user_id_of(user) if session.user_id is None else session.user_id
    if user_id is not None and session.user_id is None and host.over_user_limit(user_id, more=1):
        too_many = CloseCode.TOO_MANY_CONNECTIONS
        session.link.shut(DisconnectReason.FORBIDDEN, too_many, "too many connections of this user")
        return
    connection.user = user
    if connection.user_id is None and connection in host.registry:
        connection.user_id = user_id
        host.registry.index_user(connection)


def _token_in(message: str | bytes) -> str:
    """The token in a first message: the text itself, or the string under "token" of a JSON object."""
    if isinstance(message, bytes):
        return ""
    text = message.strip()
    if text.startswith("{"):
        try:
            value = json.loads(text).get("token")
        except (ValueError, RecursionError):
            return ""
        return value if isinstance(value, str) else ""
    return text
