"""Rooms, messages and presence, as a hub tells of them."""

import asyncio

import pytest

from fastapi_rooms.client import (
    HubRefused,
    NotJoined,
    Removed,
)
from unit.fakes import SHORT

from .scripted import connected, talking


async def test_a_room_has_one_handle_until_it_is_left() -> None:
    async with talking() as (client, hub):
        lobby = client.join("lobby")
        assert client.join("lobby", since="9.x") is lobby
        line = await connected(hub)
        await line.admit()
        await lobby.joined()
        leaving = asyncio.create_task(lobby.leave())
        leave = await line.hear("leave")
        assert not leaving.done()
        await line.say({"type": "left", "id": leave["id"], "room": "lobby"})
        await leaving
        assert lobby.over
        assert [message async for message in lobby] == []
        for work in (lobby.joined(), lobby.send("say"), lobby.presence.update({})):
            with pytest.raises(NotJoined):
                await work
        await lobby.leave()
        assert client.join("lobby") is not lobby


async def test_leaving_does_not_wait_for_a_connection_that_is_lost() -> None:
    async with talking() as (client, hub):
        client.on_error(lambda _: None)
        lobby = client.join("lobby")
        line = await connected(hub)
        await line.admit()
        await lobby.joined()
        leaving = asyncio.create_task(lobby.leave())
        await line.hear("leave")
        line.drop()
        await leaving


async def test_leaving_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.desk._LEAVING", SHORT * 10)
    async with talking() as (client, hub):
        lobby = client.join("lobby")
        line = await connected(hub)
        await line.admit()
        await lobby.joined()
        await lobby.leave()
        await line.hear("leave")


async def test_a_room_that_is_refused_is_over_and_says_why() -> None:
    async with talking() as (client, hub):
        lobby = client.join("lobby")
        ended: list[object] = []
        lobby.on_left(ended.append)
        line = await connected(hub)
        join = await line.hear("join")
        await line.say({"type": "error", "id": join["id"], "code": "refused", "detail": "full"})
        for work in (lobby.joined(), anext(lobby)):
            with pytest.raises(HubRefused, match="full") as refused:
                await work
            assert (refused.value.code, refused.value.detail) == ("refused", "full")
        assert len(ended) == 1


async def test_a_room_that_the_hub_ends_says_so() -> None:
    async with talking() as (client, hub):
        lobby = client.join("lobby")
        line = await connected(hub)
        await line.admit()
        await line.say(
            {"type": "message", "room": "lobby", "event": "said", "data": 1}, {"type": "left", "room": "lobby"}
        )
        assert (await anext(lobby)).data == 1
        with pytest.raises(Removed):
            await anext(lobby)


async def test_messages_reach_callbacks_and_who_iterates() -> None:
    heard: list[tuple[str, object]] = []
    async with talking() as (client, hub):
        lobby = client.join("lobby")
        off = lobby.on("said", lambda message: heard.append(("said", message.data)))
        lobby.on("*", lambda message: heard.append(("*", message.data)))
        client.on("hello", lambda message: heard.append(("hello", message.data)))
        client.on_dropped(lambda messages, size: heard.append(("dropped", (messages, size))))
        line = await connected(hub)
        await line.admit()
        await line.say({"type": "message", "room": "lobby", "event": "said", "data": 1})
        assert (await anext(lobby)).data == 1
        off()
        await line.say(
            {"type": "message", "room": "lobby", "event": "said", "data": 2},
            {"type": "dropped", "messages": 3, "bytes": 4},
            {"type": "message", "event": "hello", "data": 5},
        )
        assert (await anext(client.messages)).data == 5
    assert heard == [("said", 1), ("*", 1), ("*", 2), ("dropped", (3, 4)), ("hello", 5)]


async def test_a_callback_may_join_another_room() -> None:
    async with talking() as (client, hub):
        lobby = client.join("lobby")
        lobby.on("said", lambda message: client.join(message.data))
        line = await connected(hub)
        await line.admit()
        await line.say({"type": "message", "room": "lobby", "event": "said", "data": "other"})
        assert (await line.hear("join"))["room"] == "other"


async def test_presence_is_followed_and_told_again() -> None:
    heard: list[tuple[str, object]] = []
    async with talking() as (client, hub):
        client.on_error(lambda _: None)
        lobby = client.join("lobby")
        lobby.presence.on("join", lambda user, _: heard.append(("join", user)))
        lobby.presence.on("leave", lambda user, _: heard.append(("leave", user)))
        lobby.presence.on("update", lambda user, _: heard.append(("update", user)))
        lobby.presence.on("change", lambda users: heard.append(("change", sorted(users))))
        await lobby.presence.update({"typing": False})
        line = await connected(hub)
        await line.admit(presence=True)
        assert (await line.hear("presence"))["metadata"] == {"typing": False}
        told = {"room": "lobby", "count": 1, "listed": True}
        ann, bob = [{"id": "a", "metadata": {}}], [{"id": "b", "metadata": {}}]
        await line.say({"type": "presence", "version": 1, "users": {"ann": ann}, **told})
        users = aiter(lobby.presence)
        assert list(await anext(users)) == []
        assert list(await anext(users)) == ["ann"]
        update = asyncio.create_task(lobby.presence.update({"typing": True}))
        frame = await line.hear("presence")
        await line.say({"type": "reply", "id": frame["id"], "data": None})
        await update
        changes = {"joins": {"bob": bob}, "leaves": {"ann": ann}, "updates": {}}
        await line.say({"type": "presence-diff", "version": 2, **changes, **told})
        assert list(await anext(users)) == ["bob"]
        assert (lobby.presence.count, lobby.presence.listed, lobby.presence.users["bob"][0].id) == (1, True, "b")
        line.drop()
        line = await connected(hub)
        await line.admit(presence=True)
        assert (await line.hear("presence"))["metadata"] == {"typing": True}
    assert heard == [("change", ["ann"]), ("leave", "ann"), ("join", "bob"), ("change", ["bob"])]
    assert [users async for users in lobby.presence] == [lobby.presence.users]
