"""Case 4: however an endpoint ends, the client sees a close frame with the right code."""

import asyncio

from .watch import Watch, events
from .wire import Client, Closed

ENDINGS = {  # 1012: an endpoint is cancelled from outside when the server stops; the client may come back
    "returns": Closed(1000),
    "raises": Closed(1011),
    "raises-http": Closed(4507, "not you"),
    "raises-websocket": Closed(4321, "so it is"),
    "closes": Closed(4000, "é" * 61),
    "cancelled": Closed(1012),
}
REASONS = {
    "returns": "finished",
    "raises": "handler_error",
    "raises-http": "closed",
    "raises-websocket": "closed",
    "closes": "closed",
    "cancelled": "handler_cancelled",
}


async def _end(watch: Watch, how: str) -> Closed:
    client = await Client.connect(watch.port, f"/ends/{how}?user={how}")
    assert await client.receive() == "hello"
    await client.send("end now")
    if how == "cancelled":
        await watch.until_event("ends", "waits", how)
        await watch.server.post(f"/cancel?user={how}")
    closed = await client.receive_close()
    await client.ended()
    client.socket.close()
    return closed


async def test_however_an_endpoint_ends_its_client_sees_the_right_close_frame(watch: Watch) -> None:
    watch.expect_logged("CancelledError")
    closed = dict(zip(ENDINGS, await asyncio.gather(*(_end(watch, how) for how in ENDINGS)), strict=True))

    expected = {how: watch.kind.seen(end.code) for how, end in ENDINGS.items()}
    assert {how: end.code for how, end in closed.items()} == expected
    if watch.kind.sends_reasons:
        for how in ("raises-websocket", "closes"):
            assert closed[how].reason == ENDINGS[how].reason
    state = await watch.until(lambda now: len(events(now, "ends", "disconnect")) == len(ENDINGS))
    assert {entry["who"]: entry["reason"] for entry in events(state, "ends", "disconnect")} == REASONS
    assert {entry["who"] for entry in events(state, "ends", "leave")} == set(ENDINGS)
