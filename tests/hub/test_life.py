"""How a hub lives: its lifespan, the client's signs of life, its subclasses, and its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from fastapi_rooms import (
    Connection,
    ConnectionManager,
    Disconnect,
    Heartbeat,
    History,
    Limits,
    Overflow,
    Presence,
    Room,
    RoomManager,
    RoomPolicy,
)
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.hub import Hub, HubRoom
from fastapi_rooms.testing import Client, eventually
from hub.talk import Talk, app_of, auth_of_names, served, socket, talking

AnyHub = Hub[Any]


# Signs of life.


async def test_a_ping_is_answered_by_a_pong_and_a_pong_by_nothing() -> None:
    async with served(Hub[Any]()) as client, talking(client) as talk:
        await talk.say({"type": "pong"})
        await talk.say({"type": "ping", "id": 5})
        assert await talk.hear() == {"type": "pong"}
        await talk.nothing_heard()


async def test_a_quiet_client_is_asked_and_any_frame_is_a_sign_of_life() -> None:
    hub: AnyHub = Hub(heartbeat=Heartbeat(interval=0.05, timeout=60))
    async with served(hub) as client, talking(client) as talk:
        for sign in ({"type": "pong"}, {"type": "ping"}, {"type": "what", "id": 1}, {"type": "pong"}):
            assert await talk.until("ping") == {"type": "ping"}
            await talk.say(sign)
        assert await talk.until("ping") == {"type": "ping"}


@pytest.mark.usefixtures("time_by_turns")
async def test_a_client_that_gives_no_sign_of_life_is_closed_with_4012() -> None:
    hub: AnyHub = Hub(heartbeat=Heartbeat(interval=0.05, timeout=0.05))
    async with served(hub) as client, talking(client) as talk:
        assert await talk.hear() == {"type": "ping"}
        assert (await talk.ws.wait_closed()).code == 4012


@pytest.mark.usefixtures("time_by_turns")
async def test_a_client_that_says_nothing_for_too_long_is_closed_with_4012() -> None:
    hub: AnyHub = Hub(limits=Limits(idle_timeout=0.1))
    async with served(hub) as client, talking(client) as talk:
        assert (await talk.ws.wait_closed()).code == 4012


# Its lifespan.


def watched() -> tuple[AnyHub, list[str]]:
    """A hub, and what happens to its broker's connections."""
    log: list[str] = []

    class Watched(MemoryBroker):
        async def connect(self) -> Any:
            log.append("connect")
            connection = await super().connect()
            close = connection.close

            async def noting() -> None:
                log.append("close")
                await close()

            connection.close = noting  # type: ignore[method-assign]
            return connection

    return Hub(broker=Watched(), history=History()), log


async def say_something(client: Client, path: str = "/live/websocket") -> None:
    async with client.websocket(path) as ws:
        talk = Talk(ws)
        await talk.say({"type": "connect", "id": 1}, {"type": "join", "id": 2, "room": "red"})
        assert "position" in await talk.until("joined")


async def test_including_the_router_is_all_that_a_hub_with_a_broker_needs() -> None:
    hub, log = watched()
    async with served(hub) as client:
        await say_something(client)
        assert log == ["connect"]
    assert log == ["connect", "close"]


async def test_a_hub_that_was_forgotten_says_what_is_missing() -> None:
    hub, _ = watched()
    async with Client(app_of(hub), lifespan=False, raise_app_exceptions=False) as client:
        with pytest.raises(ConfigurationError, match="lifespan"):
            hub.connect(None)  # type: ignore[arg-type]
        await client.get("/none")


@pytest.mark.parametrize("way", ["the app's own", "both", "nested routers", "around"])
async def test_a_lifespan_that_is_entered_twice_is_one(way: str) -> None:
    hub, log = watched()
    path = "/live/websocket"
    app = FastAPI(lifespan=hub.lifespan)
    if way == "both":
        app.include_router(hub.router, prefix="/live")
        app.include_router(hub.router, prefix="/also")
    elif way == "nested routers":
        between = APIRouter(prefix="/api")
        between.include_router(hub.router, prefix="/live")
        app.include_router(between)
        path = "/api/live/websocket"
    else:
        app.include_router(hub.router, prefix="/live")
    if way == "around":
        async with hub.lifespan(), Client(app) as client:
            await say_something(client, path)
            assert log == ["connect"]
    else:
        async with Client(app) as client:
            await say_something(client, path)
            assert log == ["connect"]
    assert log == ["connect", "close"]


async def test_an_app_keeps_its_own_lifespan() -> None:
    hub, log = watched()

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        log.append("begin")
        yield {"db": "db"}
        log.append("end")

    app = FastAPI(lifespan=own)
    app.include_router(hub.router, prefix="/live")
    async with Client(app) as client:
        assert client.state == {"db": "db"}
        await say_something(client)
    assert sorted(log) == ["begin", "close", "connect", "end"]


async def test_an_app_may_begin_again() -> None:
    hub, log = watched()
    app = app_of(hub)
    for _ in range(3):
        async with Client(app) as client:
            await say_something(client)
    assert log == ["connect", "close"] * 3


async def test_a_lifespan_that_could_not_begin_may_begin_later(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, log = watched()
    with monkeypatch.context() as patched:
        patched.setattr(hub._across, "start", _fails)
        with pytest.raises(ZeroDivisionError):
            async with hub.lifespan():
                raise AssertionError
    async with served(hub) as client:
        await say_something(client)
    assert log == ["connect", "close"]


async def _fails() -> None:
    raise ZeroDivisionError


async def test_two_hubs_live_side_by_side_in_one_app() -> None:
    one, two = Hub[Any](), Hub[Any]()
    app = FastAPI()
    app.include_router(one.router, prefix="/live")
    app.include_router(two.router, prefix="/other")
    async with Client(app) as client, talking(client) as talk, client.websocket("/other/websocket") as ws:
        other = Talk(ws)
        await other.say({"type": "connect", "id": 1})
        await other.until("connected")
        await talk.join("red")
        await other.join("red")
        await one.broadcast("hi", room="red")
        assert (await talk.hear())["data"] == "hi"
        await other.nothing_more()


async def test_when_the_server_stops_clients_are_told_to_come_back() -> None:
    hub: AnyHub = Hub()
    async with Client(app_of(hub)) as client, talking(client) as talk:
        await client.shut_down()
        assert (await talk.ws.wait_closed()).code == 1012
    assert len(hub) == 0


@pytest.mark.usefixtures("time_by_turns")
async def test_when_a_hub_is_drained_clients_are_sent_away_and_none_are_taken() -> None:
    hub: AnyHub = Hub()
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        assert await hub.drain(timeout=1.0) is True
        assert (await talk.ws.wait_closed()).code == 1012
        with pytest.raises(Exception, match="503"):
            async with socket(client):
                raise AssertionError


@pytest.mark.parametrize("by", ["the client", "the server"])
@pytest.mark.usefixtures("time_by_turns")
async def test_what_a_client_has_said_is_not_done_any_more_once_its_connection_has_ended(by: str) -> None:
    hub: AnyHub = Hub()
    done: list[str] = []
    begun, ended = asyncio.Event(), asyncio.Event()

    @hub.on("slow")
    async def slow() -> None:
        done.append("slow")
        begun.set()
        await ended.wait()

    @hub.on("pay")
    async def pay() -> None:
        done.append("pay")

    async with served(hub) as client, talking(client) as talk:
        (connection,) = hub.connections
        await talk.ws.send_text('{"type":"send","id":2,"command":"slow"}')
        await talk.ws.send_text('{"type":"send","id":3,"command":"pay"}')
        await begun.wait()
        await eventually(lambda: connection.statistics().received == 3)
        if by == "the client":
            await talk.ws.close()
        else:
            draining = asyncio.create_task(hub.drain(timeout=5.0))
        await eventually(lambda: connection.disconnect is not None)
        ended.set()
        await eventually(lambda: not hub.connections)
        if by == "the server":
            assert await draining is True
    assert done == ["slow"]


# Subclasses.


class Chat(Hub[str]):
    """Everything that a manager's subclass may have."""

    history = History(messages=10)
    presence = Presence(grace=0.0, interval=0.0)
    limits = Limits(rooms_per_connection=3)
    publish_by_members = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []
        self.on("shout")(self.shout)

    async def shout(self, connection: Connection[str], room: HubRoom[str], text: str) -> str:
        self.log.append(f"shout {connection.user}")
        await room.broadcast(text.upper(), event="shouted")
        return text.upper()

    def room_policy(self, room: str) -> RoomPolicy | None:
        return RoomPolicy(overflow=Overflow.DROP_OLDEST)

    async def authorize(self, connection: Connection[str], room: str) -> bool:
        self.log.append(f"authorize {room}")
        return room != "secret"

    async def on_active(self) -> None:
        self.log.append("active")

    async def on_connect(self, connection: Connection[str]) -> None:
        self.log.append(f"connect {connection.user}")
        await self.join(connection, "everybody")

    async def on_join(self, connection: Connection[str], room: str) -> None:
        self.log.append(f"join {room}")

    async def on_leave(self, connection: Connection[str], room: str) -> None:
        self.log.append(f"leave {room}")

    async def on_room_active(self, room: str) -> None:
        self.log.append(f"room {room} active")

    async def on_room_idle(self, room: str) -> None:
        self.log.append(f"room {room} idle")

    async def on_disconnect(self, connection: Connection[str], disconnect: Disconnect) -> None:
        self.log.append(f"disconnect {disconnect.reason.value}")

    async def on_idle(self) -> None:
        self.log.append("idle")


async def test_a_subclass_has_hooks_and_options_as_any_manager_has() -> None:
    hub = Chat(auth=auth_of_names())
    async with served(hub) as client, talking(client, "ann") as talk:
        await talk.join("red")
        assert (await talk.error("join", room="secret"))["code"] == "refused"
        assert await talk.reply("shout", "hi", room="red") == "HI"
        assert (await talk.ask("publish", room="red", event="typing"))["type"] == "reply"
        events = [frame["event"] for frame in talk.passed if frame["type"] == "message"]
        assert events == ["shouted", "typing"]
        assert sorted(hub.rooms) == ["everybody", "red"]
    assert hub.log[:9] == [
        "active",
        "connect ann",
        "authorize everybody",
        "room everybody active",
        "join everybody",
        "authorize red",
        "room red active",
        "join red",
        "authorize secret",
    ]
    assert hub.log[9] == "shout ann"
    assert sorted(hub.log[10:]) == sorted(
        [
            "leave everybody",
            "room everybody idle",
            "leave red",
            "room red idle",
            "disconnect client",
            "idle",
        ]
    )


@pytest.mark.logged_errors
async def test_a_hook_that_fails_ends_its_own_connection() -> None:
    class Fails(Hub[Any]):
        async def on_join(self, connection: Connection[Any], room: str) -> None:
            raise ZeroDivisionError

    async with served(Fails()) as client, talking(client) as talk, talking(client) as other:
        await talk.say({"type": "join", "id": 1, "room": "red"})
        assert (await talk.ws.wait_closed()).code == 1011
        await other.nothing_more()


def test_a_hub_is_a_room_manager() -> None:
    hub: AnyHub = Hub()
    assert isinstance(hub, RoomManager)
    assert isinstance(hub, ConnectionManager)
    assert isinstance(hub.room("red"), Room)
    assert hub.router is hub.router


def test_options_that_cannot_work_together_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        Hub(history=History(), overflow=Overflow.CONFLATE)


@pytest.mark.parametrize("message", ["hello", b"\x00", {"no": "type"}, [1], '{"type":1}'])
def test_a_heartbeat_that_is_no_frame_is_refused(message: Any) -> None:
    with pytest.raises(ConfigurationError, match="frame with a type"):
        Hub(heartbeat=Heartbeat(message=message))
