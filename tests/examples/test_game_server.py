"""The game's server, without a browser: who is slow gets the newest state, and nothing runs where nobody is."""

import json
from typing import Any

from examples.game import Game, app, auth, hub

from fastapi_rooms.testing import Client, WebSocketSession, eventually


async def token_for(client: Client, name: str, *, before: str | None = None) -> str:
    answer = await client.post("/token", json={"name": name, "before": before})
    assert answer.status == 200
    return str(answer.json()["token"])


async def enter(socket: WebSocketSession, token: str, arena: str) -> None:
    """Connect, join and ask to play."""
    await socket.send_json({"type": "connect", "id": 1, "token": token})
    await socket.send_json({"type": "join", "id": 2, "room": f"arena-{arena}"})
    await state(socket)
    await socket.send_json({"type": "send", "id": 3, "room": f"arena-{arena}", "command": "play"})


async def state(socket: WebSocketSession) -> dict[str, Any]:
    """The next one."""
    while True:
        frames = json.loads(await socket.receive_text(timeout=20))
        for frame in frames if isinstance(frames, list) else [frames]:
            if frame.get("event") == "state":
                told: dict[str, Any] = frame["data"]
                return told


def conflated(game: Game) -> int:
    return game.statistics().total.dropped.conflated


async def test_who_does_not_read_gets_the_newest_state_then_and_no_queue_of_old_ones() -> None:
    async with (
        Client(app) as client,
        client.websocket("/live/websocket", subprotocols=["rooms.v1.json"]) as slow,
    ):
        await enter(slow, await token_for(client, "Slow"), "slow")
        slow.stall()
        await eventually(lambda: conflated(hub) > 20, timeout=20)
        arena = hub.referees["arena-slow"].arena
        assert arena is not None
        clock, behind = arena.clock, 0
        slow.resume()
        while (await state(slow))["t"] < clock * 1000 - 200:
            behind += 1
        assert behind < 15, "more than the client's own buffers hold"


async def test_a_token_of_before_makes_one_the_same_player_and_one_of_elsewhere_does_not() -> None:
    async with Client(app) as client:
        first = await token_for(client, "Ada")
        again, other = await token_for(client, "Ada", before=first), await token_for(client, "Ada", before="x.y.z")
        players = [(await auth.authenticate(one)).subject for one in (first, again, other)]
        assert players[0] == players[1] != players[2]


async def test_the_loop_of_an_arena_ends_with_the_last_who_is_there() -> None:
    async with Client(app) as client:
        async with client.websocket("/live/websocket", subprotocols=["rooms.v1.json"]) as socket:
            await enter(socket, await token_for(client, "Ada"), "brief")
            assert hub.referees["arena-brief"].arena is not None
        await eventually(lambda: hub.referees["arena-brief"].arena is None, timeout=20)
        assert not hub._host.listeners
