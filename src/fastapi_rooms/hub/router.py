"""A hub's routes: WebSocket, event stream, tickets, and the script that speaks to them."""

from collections.abc import Sequence
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from fastapi_rooms.auth.refusal import refuse
from fastapi_rooms.auth.tickets import Ticket, Tickets
from fastapi_rooms.auth.unavailable import AuthenticationUnavailable
from fastapi_rooms.errors import AuthenticationError, MissingToken
from fastapi_rooms.hub.script import script_response
from fastapi_rooms.hub.uplinks import FULL, OUT_OF_REACH, TAKEN, Uplinks, read_up
from fastapi_rooms.identity import Identity, user_id_of
from fastapi_rooms.options import Limits
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY, Authenticator, Identifier
from fastapi_rooms.protocol.reading import SUBPROTOCOL
from fastapi_rooms.session import refusal
from fastapi_rooms.transports.sse import SSEResponse, SSEStream

_BESIDE = 1024
"""Bytes of a request beside what the client says."""


class Routed(Protocol):
    """What the routes ask of their hub."""

    auth: Authenticator | None
    tickets: Tickets | None
    uplinks: Uplinks
    limits: Limits

    async def serve(self, websocket: WebSocket, *, user: Any = None, subprotocol: str | None = None) -> None:
        """Serve a client."""
        ...

    def has_history(self, room: str) -> bool:
        """Whether messages of a room are kept."""
        ...

    async def serve_stream(
        self,
        stream: SSEStream,
        *,
        user: Any,
        rooms: Sequence[str] = (),
        since: str | None = None,
        refused: AuthenticationError | None = None,
    ) -> None:
        """Serve a client on an event stream."""
        ...

    def lifespan(self, app: object = None) -> Any:
        """The hub's life."""
        ...


def make_router(hub: Routed) -> APIRouter:
    """The routes of a hub."""
    router = APIRouter(lifespan=hub.lifespan)

    @router.websocket("/websocket")
    async def websocket(websocket: WebSocket) -> None:
        offered = websocket.scope.get("subprotocols") or []
        user = await _user_of(websocket, hub, chosen=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        marker = websocket.scope.get(SUBPROTOCOL_SCOPE_KEY)
        if offered and marker is None:
            raise refusal(websocket, 400, f"this server speaks {SUBPROTOCOL}")
        await hub.serve(websocket, user=user, subprotocol=marker)

    @router.get("/sse", response_class=Response)
    async def open_stream(request: Request) -> Response:
        """An event stream of the protocol `rooms.v1`; with `?room=`, of these rooms alone."""
        rooms = tuple(dict.fromkeys(request.query_params.getlist("room")))
        if not rooms:
            found, refused = await _look(request, hub)
            return SSEResponse(lambda stream: hub.serve_stream(stream, user=found, refused=refused))
        user = await _user_of(request, hub)
        if user is None and hub.auth is not None:
            raise HTTPException(401, "no token was given", {"WWW-Authenticate": "Bearer"})
        if sum(map(hub.has_history, rooms)) > 1:
            raise HTTPException(400, "an event's id is the place in one room: at most one that has a history")
        since = request.headers.get("last-event-id")
        return SSEResponse(lambda stream: hub.serve_stream(stream, user=user, rooms=rooms, since=since))

    @router.post("/sse", status_code=TAKEN, response_class=Response)
    async def say(request: Request) -> Response:
        """What the client of an event stream says."""
        user = await _user_of(request, hub, tickets=False)
        up = read_up(await _body_of(request, hub.limits.message_bytes))
        if up is None:
            raise HTTPException(422, "this is no session, number and frames")
        status = await hub.uplinks.take(up, user_id_of(user))
        again = {"Retry-After": "1"} if status in (FULL, OUT_OF_REACH) else None
        return Response(status_code=status, headers=again)

    @router.get("/rooms.js", include_in_schema=False)
    async def script(request: Request) -> Response:
        return script_response(request)

    if hub.tickets is not None:
        _add_tickets(router, hub, hub.tickets)
    return router


def _add_tickets(router: APIRouter, hub: Routed, tickets: Tickets) -> None:
    @router.post("/ticket")
    async def ticket(request: Request, response: Response) -> Ticket:
        """Exchange the usual token for a ticket that opens one connection."""
        user = await _user_of(request, hub, tickets=False)  # one ticket is not another's token
        if not isinstance(user, Identity):
            await refuse(request, MissingToken("no token was given"), reject="http")
        response.headers["Cache-Control"] = "no-store"
        try:
            issued = await tickets.issue(user)
        except AuthenticationUnavailable as error:
            raise HTTPException(error.status, error.detail) from error
        return Ticket(ticket=issued, expires_in=tickets.ttl)


async def _user_of(
    connection: HTTPConnection, hub: Routed, *, chosen: str | None = None, tickets: bool = True
) -> object:
    """The user that the handshake names; `None`: it names none, and the first frame will."""
    user, refused = await _look(connection, hub, tickets=tickets)
    if chosen is not None:
        connection.scope[SUBPROTOCOL_SCOPE_KEY] = chosen  # rather than a marker of the token
    if refused is not None:
        await refuse(connection, refused, reject="close")  # browsers' code sees a close code, and no status
    return user


async def _look(
    connection: HTTPConnection, hub: Routed, *, tickets: bool = True
) -> tuple[object, AuthenticationError | None]:
    """The user that the handshake names, or why its credential is refused; neither: it has none."""
    try:
        for one in (hub.tickets if tickets else None, hub.auth):
            user = await one.identify(connection) if isinstance(one, Identifier) else None
            if user is not None:
                return user, None
    except AuthenticationError as error:
        return None, error
    return None, None


async def _body_of(request: Request, most: int | None) -> bytes:
    """The body, read no further than it may be long.

    Raises:
        HTTPException: 413: it is longer. 400: the client has gone before its end.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if most is not None and len(body) > most + _BESIDE:
                raise HTTPException(413, f"at most {most} bytes are taken")
    except ClientDisconnect:
        raise HTTPException(400, "the request has ended too early") from None  # nobody hears it
    return bytes(body)
