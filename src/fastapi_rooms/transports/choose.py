"""Which way to a client: shared frames where the server offers them, else the standard way."""

from starlette.websockets import WebSocket

from fastapi_rooms.gather import Gatherer
from fastapi_rooms.ports import SHARED_FRAMES_EXTENSION, FrameServer, Transport
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.transports.servers import unwrap
from fastapi_rooms.transports.websocket import WebSocketTransport


def choose_transport(websocket: WebSocket, gatherer: Gatherer, *, queue_bytes: int | None) -> Transport:
    """The best way to the client of `websocket`.

    Frames go around the ASGI application, so a middleware that wraps `send`, to count or to change what passes,
    would see nothing of them: with one that is not known to do neither, the standard way is taken.

    Args:
        websocket: The client.
        gatherer: Who ends the turns of shared frames.
        queue_bytes: The bound of the client's send queue.
    """
    standard = WebSocketTransport(websocket)
    offer = (websocket.scope.get("extensions") or {}).get(SHARED_FRAMES_EXTENSION)
    server: FrameServer | None = None if offer is None else offer["server"]
    if server is None or not _is_method_of(server, unwrap(websocket._send)):
        return standard
    return GatheredTransport(standard, server, gatherer, queue_bytes=queue_bytes)


def _is_method_of(owner: object, function: object) -> bool:
    return getattr(function, "__self__", None) is owner
