"""How a refusal reaches the client."""

from typing import Final, Literal, NoReturn, get_args

from fastapi import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketState

from fastapi_rooms.closing import cut_reason
from fastapi_rooms.errors import AuthenticationError, ConfigurationError, InsufficientScope, MissingToken
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY

Reject = Literal["http", "close"]
"""How WebSockets are refused: with an HTTP status, or by a close code right after accept."""

BEARER: Final = "Bearer"
"""The challenge where a token may stand in the Authorization header (RFC 6750 §3)."""


def check_reject(reject: str) -> Reject:
    """The option as given.

    Raises:
        ConfigurationError: It is neither "http" nor "close".
    """
    if reject not in get_args(Reject):
        raise ConfigurationError(f'reject={reject!r} must be "http" or "close"')
    return "close" if reject == "close" else "http"


async def refuse(
    connection: HTTPConnection, error: AuthenticationError, *, reject: Reject, challenge: str = BEARER
) -> NoReturn:
    """End the request, or the WebSocket, by raising what FastAPI turns into the refusal.

    HTTP requests get `error.status`. WebSockets get it too with `reject="http"`, or a bare 403 where the
    server lacks the extension for it (ASGI spec, "WebSocket Denial Response"). With `reject="close"`, or if
    the application accepted already, they are closed with `error.code` and the detail as the reason.

    Raises:
        HTTPException: With `error.status` and, for 401 and a missing scope, a `WWW-Authenticate` header.
        WebSocketException: With `error.code`.
    """
    if connection.scope["type"] != "websocket":
        raise _http_exception(error, challenge)
    if isinstance(connection, WebSocket) and connection.application_state is WebSocketState.CONNECTING:
        if reject == "close":
            await connection.accept(subprotocol=connection.scope.get(SUBPROTOCOL_SCOPE_KEY))
        elif "websocket.http.response" in (connection.scope.get("extensions") or ()):
            raise _http_exception(error, challenge)
    raise WebSocketException(code=error.code.value, reason=cut_reason(error.detail))


def _http_exception(error: AuthenticationError, challenge: str) -> HTTPException:
    # RFC 6750 §3.1. The detail stays out: the application's own errors may hold what a header must not.
    headers: dict[str, str] | None = None
    if isinstance(error, InsufficientScope):
        headers = {"WWW-Authenticate": f'{challenge} error="insufficient_scope"'}
    elif error.status == 401:
        cause = "" if isinstance(error, MissingToken) else ' error="invalid_token"'
        headers = {"WWW-Authenticate": challenge + cause}
    return HTTPException(status_code=error.status, detail=error.detail, headers=headers)
