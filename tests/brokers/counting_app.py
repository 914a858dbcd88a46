"""The app of a worker that counts, by message, what it encodes.

- `encoded`: JSON that was made of the message (`payload.encode_json`). Who receives it gets it as bytes.
- `frames`: WebSocket frames that were built of its bytes (`payload.build_frame`), for all clients here.
"""

import os
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest.mock import patch

from fastapi import WebSocket

from fastapi_rooms import Connection, payload

from .counting_proxy import markers
from .worker_app import app, rooms

encoded: Counter[str] = Counter()
frames: Counter[str] = Counter()


def _counted(encode: Callable[..., bytes], counts: Counter[str]) -> Callable[..., bytes]:
    @wraps(encode)
    def counting(*args: Any, **options: Any) -> bytes:
        made = encode(*args, **options)
        counts.update(markers(made))
        return made

    return counting


for name, counts in (("encode_json", encoded), ("build_frame", frames)):
    patch.object(payload, name, _counted(getattr(payload, name), counts)).start()


@app.websocket("/counted")
async def counted(websocket: WebSocket, room: str) -> None:
    """Says which process it is, once the room reaches it; then does what it is asked."""
    async with rooms.connect(websocket, room=room) as connection:
        await connection.send({"pid": os.getpid()})
        async for ask in connection.iter_json():
            await connection.send(await _do(connection, ask))


async def _do(connection: Connection[Any], ask: dict[str, Any]) -> dict[str, Any]:
    if "say" in ask:
        message = {"marker": ask["say"]}
        to = ask["to"]
        delivery = await (rooms.broadcast(message) if to is None else rooms.broadcast(message, room=to))
        return {"scope": delivery.scope}
    if "join" in ask:
        await rooms.join(connection, ask["join"])
        return {"joined": ask["join"]}
    how = rooms.health()
    return {
        "encoded": encoded,
        "frames": frames,
        "channels": 0 if how is None else how.channels,
        "outages": 0 if how is None else how.outages,
    }
