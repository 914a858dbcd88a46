"""Which way to a client: an event stream, shared frames where the server offers them, else the standard way."""

from starlette.websockets import WebSocket

from fastapi_rooms.frames import JOINED_TEXT, SSE
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.ports import SHARED_FRAMES_EXTENSION, SSE_EXTENSION, FrameServer, Transport
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.transports.joined import JoinedTransport
from fastapi_rooms.transports.servers import unwrap
from fastapi_rooms.transports.websocket import WebSocketTransport


def choose_transport(
    websocket: WebSocket,
    gatherer: Gatherer,
    *,
    queue_bytes: int | None,
    send_timeout: float | None = None,
    joins: bool = False,
) -> Transport:
    """The best way to the client of `websocket`.

    Frames go around the ASGI application, so a middleware that wraps `send`, to count or to change what passes,
    would see nothing of them: with one that is not known to do neither, the standard way is taken.

    Args:
        websocket: The client.
        gatherer: Who ends the turns.
        queue_bytes: The bound of the client's send queue.
        send_timeout: Seconds that a write of what was gathered may take; `None`: any time.
        joins: Whether the client takes an array of messages for so many messages. They are joined where shared
            frames are not to be had, and the server's `send` can be stepped.
    """
    standard = WebSocketTransport(websocket)
    extensions = websocket.scope.get("extensions") or {}
    send = unwrap(websocket._send)
    stream = extensions.get(SSE_EXTENSION)
    offer = extensions.get(SHARED_FRAMES_EXTENSION)
    server: FrameServer | None = None if offer is None else offer["server"]
    if stream is not None and _is_method_of(stream["stream"], send):
        form = SSE
    elif server is not None and _is_method_of(server, send):
        return GatheredTransport(standard, server, gatherer, queue_bytes=queue_bytes)
    elif joins and standard.direct is not None:
        form = JOINED_TEXT
    else:
        return standard
    return JoinedTransport(standard, gatherer, form=form, queue_bytes=queue_bytes, send_timeout=send_timeout)


def _is_method_of(owner: object, function: object) -> bool:
    return getattr(function, "__self__", None) is owner
