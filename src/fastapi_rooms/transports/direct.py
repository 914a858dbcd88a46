"""Shared frames past the event loop's own buffer: a `write` to the socket, where that is safe."""

import asyncio
import os
import threading
from typing import Final

from fastapi_rooms.gather import Send

_KNOWN: Final = frozenset({"asyncio.selector_events", "uvloop.loop"})
"""Where the transports are from that keep their socket open until `connection_lost` has returned."""

NONE: Final = -1
"""No descriptor: frames go through the event loop's transport."""


def find_descriptor(transport: asyncio.Transport) -> int:
    """The file descriptor that frames may be written to while the transport's own buffer is empty.

    `NONE` where the bytes on the socket are not those of the transport (TLS), or where it is not known when the
    event loop closes it.
    """
    if type(transport).__module__ not in _KNOWN or transport.get_extra_info("sslcontext") is not None:
        return NONE
    socket = transport.get_extra_info("socket")
    return NONE if socket is None else int(socket.fileno())


def find_send() -> Send | None:
    """`os.write` while there is no other thread, else `None`.

    It releases the GIL, and would wait for it at every client while another thread computes: up to 5 ms each
    (`sys.getswitchinterval`). uvloop's transports keep it.
    """
    return os.write if threading.active_count() == 1 else None
