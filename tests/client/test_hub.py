"""Clients and a real hub on a real server: the same over WebSockets and over event streams."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest

from fastapi_rooms import History
from fastapi_rooms.auth import JWTAuth
from fastapi_rooms.client import ClientClosed, ClientRoom, HubRefused, Message, Removed, RoomsClient
from fastapi_rooms.hub import Hub
from fastapi_rooms.testing import eventually

from .app import Say, app_of, make_hub
from .serving import LATE, Cutter, client_of, meeting, serving, within

pytestmark = pytest.mark.parametrize("transport", ["websocket", "sse"])


@asynccontextmanager
async def behind_a_cutter(hub: Hub[Any], transport: str) -> AsyncIterator[tuple[RoomsClient, Cutter]]:
    async with (
        serving(app_of(hub)) as port,
        Cutter(port) as cutter,
        client_of(cutter.port, transport, token="ann") as client,
    ):
        yield client, cutter


async def read(room: ClientRoom, count: int) -> list[Any]:
    """The data of the next messages."""
    return [(await within(anext(room))).data for _ in range(count)]


async def test_a_command_is_answered_and_heard_by_all(transport: str) -> None:
    async with meeting(make_hub(), transport, "ann", "bob") as (ann, bob):
        lobby, of_bob = ann.join("lobby"), bob.join("lobby")
        joined = await within(of_bob.joined())
        assert (joined.recovered, joined.reason, joined.again) == (None, None, False)
        assert joined.position is not None
        assert await lobby.send("say", Say(text="hi")) == {"user": "ann", "text": "hi"}
        message = await within(anext(of_bob))
        assert message == Message("said", {"user": "ann", "text": "hi"}, message.position, "lobby")
        assert of_bob.position == message.position != joined.position
        assert (ann.user, bob.user) == ("ann", "bob")
        await bob.join("lobby").publish("typing", ["x"])
        assert await read(lobby, 2) == [{"user": "ann", "text": "hi"}, ["x"]]
        assert await ann.send("add", [1, 2, 3]) == 6


async def test_what_goes_wrong_is_typed(transport: str) -> None:
    async with meeting(make_hub(), transport, "ann") as (ann,):
        lobby = ann.join("lobby")
        for work, code, field in (
            (lobby.send("say", {"text": "x" * 101}), "invalid", "text"),
            (lobby.send("no such", None), "unknown_command", ""),
            (ann.send("say", {"text": "x"}), "invalid", "room"),
            (ann.send("fail", "mine"), "mine", "code"),
            (ann.join("secret").joined(), "refused", ""),
        ):
            with pytest.raises(HubRefused) as refused:
                await within(work)
            assert (refused.value.code, refused.value.field) == (code, field)
            assert refused.value.detail


async def test_presence_is_told(transport: str) -> None:
    async with meeting(make_hub(), transport, "ann", "bob") as (ann, bob):
        lobby = ann.join("lobby")
        heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        lobby.presence.on("join", lambda user, _: heard.put_nowait(("join", user)))
        lobby.presence.on("update", lambda user, _: heard.put_nowait(("update", user)))
        lobby.presence.on("leave", lambda user, _: heard.put_nowait(("leave", user)))
        await within(_until_present(lobby, "ann"))
        of_bob = bob.join("lobby")
        assert await within(heard.get()) == ("join", "bob")
        await of_bob.presence.update({"typing": True})
        assert await within(heard.get()) == ("update", "bob")
        assert [one.metadata for one in lobby.presence.users["bob"]] == [{"typing": True}]
        assert lobby.presence.count == 2
        with pytest.raises(HubRefused) as refused:
            await of_bob.presence.update({"text": "x" * 5_000})
        assert refused.value.code == "too_large"
        await of_bob.leave()
        assert await within(heard.get()) == ("leave", "bob")


async def _until_present(room: ClientRoom, user: str) -> None:
    async for users in room.presence:
        if user in users:
            return


async def test_messages_for_a_user_come_in_no_room(transport: str) -> None:
    hub = make_hub()
    async with meeting(hub, transport, "ann") as (ann,):
        await hub.send_to_user("ann", {"n": 1}, event="news")
        assert await within(anext(ann.messages)) == Message("news", {"n": 1})


async def test_the_hub_ends_a_membership_and_a_user(transport: str) -> None:
    hub = make_hub()
    async with meeting(hub, transport, "ann") as (ann,):
        lobby, other = ann.join("lobby"), ann.join("other")
        await within(lobby.joined())
        await within(other.joined())
        await hub.close_room("lobby")
        with pytest.raises(Removed):
            await within(anext(lobby))
        await hub.disconnect_user("ann", code=4507, reason="signed out")
        with pytest.raises(ClientClosed, match="signed out") as closed:
            await within(anext(other))
        assert closed.value.close_code == 4507


async def test_a_bad_token_is_the_end_and_an_old_one_is_if_there_is_no_other(transport: str) -> None:
    async with serving(app_of(make_hub())) as port:
        for token, code in (("bad", 4500), (None, 4500), ("ann:0", 4001)):
            async with client_of(port, transport, token=token) as client:
                with pytest.raises(ClientClosed) as closed:
                    await within(client.connected())
                assert closed.value.close_code == code


async def test_a_token_that_expires_is_followed_by_another_and_nothing_is_missing(transport: str) -> None:
    hub = make_hub()
    tokens = iter(["ann:0", "ann:60", "ann"])
    async with serving(app_of(hub)) as port, client_of(port, transport, token=lambda: next(tokens)) as client:
        lobby = client.join("lobby")
        await within(lobby.joined())
        first = client.connection
        for connection in hub.connections:
            connection.expire(time.time() + 0.1)
        number = 0
        while client.connection == first:
            number += 1
            await hub.broadcast(number, room="lobby")
            await asyncio.sleep(0.01)
        await within(lobby.joined())
        await hub.broadcast("last", room="lobby")
        assert await read(lobby, number + 1) == [*range(1, number + 1), "last"]


async def test_a_token_is_replaced_on_the_live_connection(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.tokens._SHORTEST", 0.0)
    monkeypatch.setattr("fastapi_rooms.client.tokens._SHARE", 0.002)
    secret = "a secret of 32 characters or more"
    hub: Hub[Any] = Hub(auth=JWTAuth(key=secret, algorithms=["HS256"], leeway=0.0))
    ends = itertools.count(int(time.time()) + 60, 60)

    @hub.on("echo")
    async def echo(text: str) -> str:
        return text

    def token() -> str:
        return jwt.encode({"sub": "ann", "exp": next(ends)}, secret, algorithm="HS256")

    async with serving(app_of(hub)) as port, client_of(port, transport, token=token) as client:
        await within(client.connected())
        first = client.connection
        (connection,) = hub.connections
        end = connection.user.expires_at
        await eventually(lambda: connection.user.expires_at >= end + 120, timeout=LATE)
        assert await client.send("echo", "x") == "x"
        assert client.connection == first


async def test_a_server_that_stops_sends_clients_away_and_they_come_back(transport: str) -> None:
    hub = make_hub()
    async with meeting(hub, transport, "ann") as (ann,):
        lobby = ann.join("lobby")
        await within(lobby.joined())
        first = ann.connection
        for connection in hub.connections:
            await connection.close(1012, "the server is restarting")
        await hub.broadcast("missed, or not", room="lobby")
        assert await read(lobby, 1) == ["missed, or not"]
        joined = await within(lobby.joined())
        assert ann.connection != first
        assert (joined.recovered, joined.again) == (True, True)


async def test_a_history_that_is_too_short_is_told_of(transport: str) -> None:
    hub = make_hub(history=History(messages=2))
    async with behind_a_cutter(hub, transport) as (client, cutter):
        lobby = client.join("lobby")
        await within(lobby.joined())
        cutter.lets_pass = 0
        cutter.cut()
        for number in range(5):
            await hub.broadcast(number, room="lobby")
        joins: asyncio.Queue[Any] = asyncio.Queue()
        lobby.on_joined(joins.put_nowait)
        cutter.lets_pass = None
        joined = await within(joins.get())
        assert (joined.recovered, joined.reason, joined.again) == (False, "too_many", True)
        await hub.broadcast("after", room="lobby")
        assert await read(lobby, 1) == ["after"]


async def test_connections_that_are_cut_anywhere_lose_nothing(transport: str) -> None:
    hub = make_hub()
    count = 300
    async with behind_a_cutter(hub, transport) as (client, cutter):
        lobby = client.join("lobby")
        joins: list[Any] = []
        lobby.on_joined(joins.append)
        await within(lobby.joined())

        async def talk() -> None:
            for number in range(count):
                await hub.broadcast({"number": number, "more": "x" * (number % 50)}, room="lobby")
                if number % 30 == 29:
                    cutter.lets_pass = 600 + 97 * number % 1000  # somewhere in a handshake, a replay, a message
                    cutter.cut()
                await asyncio.sleep(0.001)
            cutter.lets_pass = None
            cutter.cut()

        talking = asyncio.create_task(talk())
        assert [one["number"] for one in await read(lobby, count)] == list(range(count))
        await talking
        assert len(joins) > 1
        assert all(joined.recovered for joined in joins[1:])
        await within(lobby.joined())
        await hub.broadcast("last", room="lobby")
        assert await read(lobby, 1) == ["last"]


async def test_what_is_asked_while_the_server_is_away_is_done_when_it_is_there(transport: str) -> None:
    async with serving(app_of(make_hub())) as port:
        pass
    async with client_of(port, transport, token="ann") as client:
        lobby = client.join("lobby")
        requests = [asyncio.create_task(lobby.send("say", {"text": str(number)})) for number in range(5)]
        async with serving(app_of(make_hub()), port=port):
            said = await read(lobby, 5)
            assert [one["text"] for one in said] == ["0", "1", "2", "3", "4"]
            assert [await within(request) for request in requests] == said
            await client.close()


async def test_a_room_is_left(transport: str) -> None:
    hub = make_hub()
    async with meeting(hub, transport, "ann") as (ann,):
        lobby = ann.join("lobby")
        await within(lobby.joined())
        await within(lobby.leave())
        assert not hub.room("lobby").connections
        again = ann.join("lobby")
        await within(again.joined())
        await hub.broadcast(1, room="lobby")
        assert await read(again, 1) == [1]
        assert [message async for message in lobby] == []


async def test_many_frames_at_once_are_all_done(transport: str) -> None:
    hub = make_hub(rate_limit=None)
    async with meeting(hub, transport, "ann") as (ann,):
        sums = await within(asyncio.gather(*(ann.send("add", [number, 1]) for number in range(500))))
        assert sums == list(range(1, 501))


async def test_closing_leaves_nothing_on_the_server(transport: str) -> None:
    hub = make_hub()
    async with serving(app_of(hub)) as port:
        async with client_of(port, transport, token="ann") as client:
            await within(client.join("lobby").joined())
            assert len(hub) == 1
        await within(hub.idle.wait())
