"""Joining and leaving over the wire, and what ends a membership besides."""

import asyncio
from typing import Any

import pytest
from fastapi import HTTPException, WebSocketException

from fastapi_rooms import Connection, History, Limits, Presence
from fastapi_rooms.hub import Hub
from fastapi_rooms.protocol.reading import MOST_FRAMES
from fastapi_rooms.testing import eventually
from hub.talk import auth_of_names, served, talking


class Doors(Hub[Any]):
    """Rooms that refuse in different ways."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []
        self.errors: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def authorize(self, connection: Connection[Any], room: str) -> bool:
        await self.gate.wait()
        match room:
            case "secret":
                return False
            case "forbidden":
                raise HTTPException(403, "members only")
            case "gone":
                raise HTTPException(410, "closed for ever")
            case "broken":
                raise ZeroDivisionError
            case "end":
                raise WebSocketException(4999, "go away")
        return True

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        self.log.append(f"join {room}")

    async def on_leave(self, connection: Connection[Any], room: str) -> None:
        self.log.append(f"leave {room}")

    async def on_error(self, connection: Connection[Any], error: Exception) -> None:
        self.errors.append(error)


async def test_a_client_that_joins_is_a_member_and_hears_the_room() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        answer = await talk.join("red")
        assert answer == {"type": "joined", "id": 101, "room": "red", "presence": False}
        assert [room.name for room in map(hub.room, hub.rooms)] == ["red"]
        await hub.broadcast("hi", room="red")
        assert await talk.hear() == {"type": "message", "room": "red", "event": "message", "data": "hi"}
        await hub.broadcast("hi", room="blue")
        await talk.nothing_more()


async def test_rooms_have_any_name_that_text_can_be() -> None:
    names = ["", " ", 'a"b', "\x00", "\U0001f600" * 63, "x" * 255, "../a?b#c", "*", "a.b:c"]
    hub = Doors(history=History())
    async with served(hub) as client, talking(client) as talk:
        for name in names:
            assert (await talk.join(name))["room"] == name
            await hub.broadcast("hi", room=name)
            assert (await talk.hear())["room"] == name
        assert set(hub.rooms) == set(names)


async def test_leaving_is_answered_after_on_leave_and_nothing_of_the_room_comes_after_it() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        assert await talk.ask("leave", room="red") == {"type": "left", "id": 102, "room": "red"}
        assert hub.log == ["join red", "leave red"]
        await hub.broadcast("hi", room="red")
        await talk.nothing_more()


async def test_a_client_may_come_back_to_a_room_it_has_left() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        for _ in range(3):
            await talk.join("red")
            assert (await talk.ask("leave", room="red"))["type"] == "left"
        assert hub.log == ["join red", "leave red"] * 3


async def test_a_batch_that_joins_leaves_and_joins_is_handled_in_order() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        frames = [
            {"type": kind, "id": number, "room": "red"}
            for number, kind in enumerate(["join", "leave", "leave", "join", "join"], start=10)
        ]
        await talk.say(*frames)
        heard = [await talk.hear() for _ in frames]
        assert [(frame["type"], frame["id"]) for frame in heard] == [
            ("joined", 10),
            ("left", 11),
            ("error", 12),
            ("joined", 13),
            ("joined", 14),
        ]
        assert hub.log == ["join red", "leave red", "join red"]


async def test_joining_again_changes_nothing_and_is_answered() -> None:
    hub = Doors(history=History())
    async with served(hub) as client, talking(client) as talk:
        first = await talk.join("red")
        again = await talk.join("red", since=first["position"])
        assert again == {**first, "id": again["id"]}
        assert hub.log == ["join red"]
        await hub.broadcast("once", room="red")
        assert (await talk.hear())["data"] == "once"
        await talk.nothing_more()


@pytest.mark.parametrize(
    ("room", "told"),
    [
        ("secret", {"code": "refused", "detail": "not allowed"}),
        ("x" * 256, {"code": "refused", "detail": "a room's name has at most 255 bytes"}),
        ("ü" * 128, {"code": "refused", "detail": "a room's name has at most 255 bytes"}),
        ("forbidden", {"code": "forbidden", "detail": "members only"}),
        ("gone", {"code": "status_410", "detail": "closed for ever"}),
    ],
)
async def test_a_join_that_is_refused_is_an_error_and_changes_nothing_else(room: str, told: Any) -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("join", room=room) == told
        assert hub.rooms == ()
        await talk.join("red")
        assert hub.log == ["join red"]


@pytest.mark.logged_errors
async def test_an_authorize_that_fails_refuses_and_is_reported() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        assert (await talk.error("join", room="broken"))["code"] == "refused"
        assert [type(error) for error in hub.errors] == [ZeroDivisionError]
        await talk.nothing_more()


async def test_an_authorize_may_end_the_connection() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "join", "id": 1, "room": "end"})
        closed = await talk.ws.wait_closed()
        assert (closed.code, closed.reason) == (4999, "go away")


async def test_a_client_may_be_in_so_many_rooms_and_in_others_once_it_leaves_some() -> None:
    hub = Doors(limits=Limits(rooms_per_connection=2))
    async with served(hub) as client, talking(client) as talk:
        await talk.join("1")
        await talk.join("2")
        told = {"code": "refused", "detail": "a connection may be in 2 rooms"}
        assert await talk.error("join", room="3") == told
        assert (await talk.join("2"))["room"] == "2"
        await talk.ask("leave", room="1")
        await talk.join("3")
        assert set(hub.rooms) == {"2", "3"}


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "leave", "room": "red"},
        {"type": "send", "room": "red", "command": "do"},
        {"type": "publish", "room": "red", "event": "e"},
        {"type": "presence", "room": "red", "metadata": {}},
    ],
)
@pytest.mark.parametrize("was_in", [True, False])
async def test_what_is_for_a_room_is_for_its_members(frame: dict[str, Any], was_in: bool) -> None:
    hub = Doors(publish=True, presence=Presence(), auth=auth_of_names())
    hub.on("do")(lambda: "done")
    async with served(hub) as client, talking(client, "ann") as talk:
        if was_in:
            await talk.join("red")
            await talk.ask("leave", room="red")
        fields = {key: value for key, value in frame.items() if key != "type"}
        told = await talk.error(frame["type"], **fields)
        assert told == {"code": "not_joined", "detail": "join the room first"}


# Memberships that the server ends.


async def test_a_room_that_is_closed_is_left_without_being_asked() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as one, talking(client) as two:
        for talk in (one, two):
            await talk.join("red")
            await talk.join("blue")
        assert await hub.close_room("red") == 2
        for talk in (one, two):
            assert await talk.hear() == {"type": "left", "room": "red"}
            assert (await talk.error("leave", room="red"))["code"] == "not_joined"
        assert hub.rooms == ("blue",)


async def test_a_room_that_is_closed_with_a_code_ends_its_members_connections() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as inside, talking(client) as outside:
        await inside.join("red")
        await hub.close_room("red", code=4507, reason="no more")
        closed = await inside.ws.wait_closed()
        assert (closed.code, closed.reason) == (4507, "no more")
        await outside.nothing_more()


async def test_a_member_whom_the_server_takes_out_is_told() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        (connection,) = hub.connections
        assert await hub.leave(connection, "red") is True
        assert await hub.leave(connection, "red") is False
        assert await talk.hear() == {"type": "left", "room": "red"}
        await talk.nothing_more()


async def test_a_handler_that_takes_its_own_client_out_tells_it_before_the_answer() -> None:
    hub = Doors()

    @hub.on("go")
    async def go(connection: Connection[Any]) -> str:
        await hub.leave(connection, "red")
        return "gone"

    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        assert await talk.reply("go", room="red") == "gone"
        assert talk.passed == [{"type": "left", "room": "red"}]


async def test_who_is_taken_out_of_one_room_while_it_leaves_another_is_told_of_both() -> None:
    hub = Doors()
    done = asyncio.Event()

    class Slow(Doors):
        async def on_leave(self, connection: Connection[Any], room: str) -> None:
            if room == "red":
                await done.wait()

    hub = Slow()
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        await talk.join("blue")
        await talk.say({"type": "leave", "id": 7, "room": "red"})
        await eventually(lambda: hub.rooms == ("blue",))
        (connection,) = hub.connections
        await hub.leave(connection, "blue")
        assert await talk.hear() == {"type": "left", "room": "blue"}
        done.set()
        assert await talk.hear() == {"type": "left", "id": 7, "room": "red"}


async def test_a_user_who_is_signed_out_is_closed_with_4507() -> None:
    hub = Doors(auth=auth_of_names())
    async with served(hub) as client, talking(client, "ann") as ann, talking(client, "bob") as bob:
        await ann.join("red")
        assert await hub.disconnect_user("ann") == 1
        assert (await ann.ws.wait_closed()).code == 4507
        assert hub.rooms == ()
        await bob.nothing_more()


async def test_who_vanishes_is_out_of_all_rooms() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as talk:
        for room in ("red", "blue"):
            await talk.join(room)
        await talk.ws.vanish()
        await talk.ws.wait_app_done()
        assert hub.rooms == ()
        assert sorted(hub.log) == ["join blue", "join red", "leave blue", "leave red"]


async def test_who_vanishes_while_it_joins_leaves_nothing() -> None:
    hub = Doors()
    hub.gate.clear()
    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "join", "id": 1, "room": "red"})
        await talk.nothing_heard()
        await talk.ws.vanish()
        hub.gate.set()
        await talk.ws.wait_app_done()
        assert hub.rooms == ()
    assert hub.log == []


async def test_frames_wait_for_the_one_before_them() -> None:
    hub = Doors()
    hub.gate.clear()
    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "join", "id": 1, "room": "red"})
        await talk.say({"type": "ping"}, {"type": "leave", "id": 2, "room": "red"})
        await talk.nothing_heard()
        hub.gate.set()
        assert [(await talk.hear())["type"] for _ in range(3)] == ["joined", "pong", "left"]


async def test_a_slow_join_holds_up_nobody_else() -> None:
    hub = Doors()
    async with served(hub) as client, talking(client) as slow, talking(client) as quick:
        hub.gate.clear()
        await slow.say({"type": "join", "id": 1, "room": "red"})
        await quick.nothing_more()
        hub.gate.set()
        assert (await slow.hear())["type"] == "joined"


async def test_a_message_of_64_joins_is_answered_64_times() -> None:
    hub = Doors(limits=Limits(rooms_per_connection=50))
    async with served(hub) as client, talking(client) as talk:
        await talk.say(*({"type": "join", "id": n, "room": str(n)} for n in range(MOST_FRAMES)))
        heard = [await talk.hear() for _ in range(MOST_FRAMES)]
        assert [frame["id"] for frame in heard] == list(range(MOST_FRAMES))
        assert [frame["type"] for frame in heard] == ["joined"] * 50 + ["error"] * 14
        assert len(hub.rooms) == 50


async def test_who_was_put_into_a_room_is_told_that_what_it_missed_has_not_been_sent() -> None:
    class Putting(Hub[Any]):
        async def on_connect(self, connection: Connection[Any]) -> None:
            await self.join(connection, "red")

    hub = Putting(history=History())
    async with served(hub) as client:
        async with talking(client) as talk:
            began = (await talk.join("red"))["position"]
        await hub.publish("red", "missed")
        async with talking(client) as talk:
            joined = await talk.join("red", since=began)
            assert (joined["recovered"], joined["reason"]) == (False, "unavailable")
            now = joined["position"]
        async with talking(client) as talk:
            assert "recovered" not in await talk.join("red", since=now)
