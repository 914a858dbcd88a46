"""`Hub`: rooms with a wire protocol and a ready router, for pages that need no endpoint of their own."""

from fastapi_rooms.hub.failures import HubError
from fastapi_rooms.hub.hub import Hub
from fastapi_rooms.hub.room import HubRoom
from fastapi_rooms.protocol.events import Event

__all__ = ["Event", "Hub", "HubError", "HubRoom"]
