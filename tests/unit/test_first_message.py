"""Authentication by the first message: `connect(websocket, authenticate=...)`."""

import asyncio
import time
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from fastapi_rooms import Connection, Limits
from fastapi_rooms.auth import Identity
from fastapi_rooms.errors import ExpiredToken, InvalidToken, MissingToken
from fastapi_rooms.testing import Closed, SocketClosed, eventually
from unit.apps import BRIEF, Endpoint, Noting, client_of, room_of
from unit.fakes import SHORT


class Door:
    """An authenticator: the token is the user's name."""

    def __init__(self, *, expires_in: float | None = None) -> None:
        self.expires_in = expires_in
        self.seen: list[str] = []

    async def authenticate(self, token: str) -> object:
        self.seen.append(token)
        if not token:
            raise MissingToken("no token")
        if token == "bad":
            raise InvalidToken("not a token of ours")
        if token == "old":
            raise ExpiredToken("the token has expired")
        if token == "slow":
            raise TimeoutError("the database")
        if token == "hangs":
            await asyncio.Event().wait()
        if token == "breaks":
            raise LookupError("database")
        expires_at = None if self.expires_in is None else time.time() + self.expires_in
        return Identity(subject=token, expires_at=expires_at)


def behind(manager: Noting, door: Door, **options: Any) -> Endpoint:
    async def endpoint(websocket: WebSocket) -> None:
        room = room_of(websocket)
        async with manager.connect(websocket, authenticate=door, room=room, **options) as connection:
            await connection.send(f"hello {connection.user_id}")
            async for message in connection:
                await connection.send(message)

    return endpoint


@pytest.mark.parametrize("first", ["ann", " ann\n", '{"token": "ann"}', ' {"token":"ann","type":"auth"}'])
async def test_the_first_message_names_the_user(first: str) -> None:
    manager = Noting()
    async with client_of(behind(manager, Door())) as client, client.websocket("/red") as ws:
        await ws.send_text(first)
        await ws.send_text("second")
        assert await ws.receive_text() == "hello ann"
        assert await ws.receive_text() == "second"
        (connection,) = manager.connections
        assert connection.user == Identity(subject="ann")
        assert manager.users == {"ann"}
        assert (await manager.send_to_user("ann", "you")).queued == 1
        assert await ws.receive_text() == "you"
    assert manager.log == ["authorize red", "connect", "join red", "leave red", "disconnect client 1000"]
    assert manager.users == frozenset()


@pytest.mark.parametrize("first", ["", b"ann", '{"token": 7}', '{"type": "auth"}', "{", '{"a":' * 5000, "{}"])
async def test_a_message_without_a_token_is_one_that_is_missing(first: str | bytes) -> None:
    manager, door = Noting(), Door()
    async with client_of(behind(manager, door)) as client, client.websocket("/red") as ws:
        await ws.send(first)
        assert await ws.wait_closed() == Closed(4500, "no token")
    assert (door.seen, manager.log, len(manager)) == ([""], [], 0)


@pytest.mark.parametrize(
    ("token", "closed", "reason"),
    [
        ("bad", Closed(4500, "not a token of ours"), "authentication_failed"),
        ("old", Closed(4001, "the token has expired"), "token_expired"),
    ],
)
async def test_a_token_that_is_refused_closes_and_no_hook_ran(token: str, closed: Closed, reason: str) -> None:
    manager = Noting()
    async with client_of(behind(manager, Door())) as client, client.websocket("/red") as ws:
        await ws.send_text(token)
        assert await ws.wait_closed() == closed
    assert (manager.log, len(manager)) == ([], 0)
    assert manager.statistics().disconnected == {reason: 1}


@pytest.mark.parametrize("token", [None, "hangs"])
async def test_without_a_token_in_time_it_is_closed_with_4502(token: str | None) -> None:
    manager = Noting(limits=BRIEF)
    async with client_of(behind(manager, Door())) as client, client.websocket("/red") as ws:
        if token is not None:
            await ws.send_text(token)
        assert await ws.wait_closed() == Closed(4502, "no token came in time")
    assert (manager.log, len(manager)) == ([], 0)


@pytest.mark.parametrize(("token", "kind"), [("slow", TimeoutError), ("breaks", LookupError)])
async def test_an_authenticator_that_breaks_is_an_error_of_the_endpoint(token: str, kind: type[Exception]) -> None:
    manager = Noting()
    endpoint = behind(manager, Door())
    async with client_of(endpoint, raise_app_exceptions=False) as client, client.websocket("/red") as ws:
        await ws.send_text(token)
        assert await ws.wait_closed() == Closed(1011, "internal error")
        await ws.wait_app_done()
        assert isinstance(ws.app_task.exception(), kind)


async def test_a_client_that_leaves_before_it_has_said_who_it_is_is_no_error() -> None:
    manager = Noting()
    async with client_of(behind(manager, Door())) as client, client.websocket("/red") as ws:
        await ws.close()
    assert (manager.log, len(manager)) == ([], 0)


async def test_nothing_is_sent_to_a_client_that_has_not_said_who_it_is_but_it_counts() -> None:
    manager = Noting(limits=Limits(connections=1))
    async with client_of(behind(manager, Door())) as client, client.websocket("/red") as ws:
        assert len(manager) == 1
        assert (await manager.broadcast("secret")).queued == 0
        await ws.send_text("ann")
        assert await ws.receive_text() == "hello ann"


async def test_it_needs_no_room() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, authenticate=Door()) as connection:
            await connection.send("in")

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_text("ann")
        assert await ws.receive_text() == "in"
    assert manager.log[0] == "connect"


async def test_a_room_that_is_refused_now_closes_with_4507() -> None:
    manager = Noting()
    async with client_of(behind(manager, Door())) as client, client.websocket("/secret") as ws:
        await ws.send_text("ann")
        assert await ws.wait_closed() == Closed(4507, "not allowed in this room")
    assert manager.log == ["authorize secret"]
    assert manager.statistics().disconnected == {"forbidden": 1}


async def test_authorize_sees_the_user_and_may_choose_the_code() -> None:
    class Private(Noting):
        async def authorize(self, connection: Connection[Any], room: str) -> bool:
            raise HTTPException(404 if connection.user_id == "ann" else 503)

    manager = Private()
    async with client_of(behind(manager, Door())) as client, client.websocket("/red") as ws:
        await ws.send_text("ann")
        assert (await ws.wait_closed()).code == 1008


@pytest.mark.logged_errors
async def test_an_authorize_that_raises_now_closes_with_4507_and_is_reported() -> None:
    manager = Noting()
    manager.errors["authorize"] = LookupError("database")
    async with client_of(behind(manager, Door())) as client, client.websocket("/red") as ws:
        await ws.send_text("ann")
        assert (await ws.wait_closed()).code == 4507
    assert [str(error) for error in manager.reported] == ["database"]


async def test_one_connection_too_many_of_a_user_is_4504_then() -> None:
    manager = Noting(limits=Limits(connections_per_user=1))
    async with (
        client_of(behind(manager, Door())) as client,
        client.websocket("/red") as first,
        client.websocket("/red") as second,
    ):
        await first.send_text("ann")
        assert await first.receive_text() == "hello ann"
        await second.send_text("ann")
        assert await second.wait_closed() == Closed(4504, "too many connections of this user")
        await first.send_text("still here")
        assert await first.receive_text() == "still here"


async def test_a_user_id_that_was_given_is_kept() -> None:
    manager = Noting(limits=Limits(connections_per_user=1))
    endpoint = behind(manager, Door(), user_id="account-7")
    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await ws.send_text("ann")
        assert await ws.receive_text() == "hello account-7"
        assert manager.users == {"account-7"}
        assert manager.connections[0].user == Identity(subject="ann")


@pytest.mark.usefixtures("time_by_turns")
async def test_the_identitys_expiry_counts() -> None:
    manager = Noting()
    endpoint = behind(manager, Door(expires_in=SHORT))
    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await ws.send_text("ann")
        assert (await ws.wait_closed()).code == 4001
    assert manager.log[-1] == "disconnect token_expired 4001"


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.usefixtures("time_by_turns")
async def test_an_expiry_that_was_given_counts_more(given: bool) -> None:
    manager = Noting()
    door = Door(expires_in=60 if given else SHORT)
    endpoint = behind(manager, door, expires_at=time.time() + (SHORT if given else 60))
    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await ws.send_text("ann")
        assert await ws.receive_text() == "hello ann"
        if given:
            with pytest.raises(SocketClosed, match="4001"):
                await ws.receive()
        else:
            await ws.receive_nothing(within=SHORT * 2)


@pytest.mark.usefixtures("time_by_turns")
async def test_a_refresh_keeps_a_live_connection_alive() -> None:
    manager = Noting()
    endpoint = behind(manager, Door(expires_in=SHORT * 2))
    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await ws.send_text("ann")
        assert await ws.receive_text() == "hello ann"
        manager.connections[0].refresh(Identity(subject="ann", expires_at=time.time() + 60))
        await ws.receive_nothing(within=SHORT * 3)


async def test_who_leaves_while_its_token_is_looked_up_is_not_registered_under_it() -> None:
    manager = Noting()
    door = Door()
    hold = asyncio.Event()
    lookup = door.authenticate

    async def slowly(token: str) -> object:
        await hold.wait()
        return await lookup(token)

    door.authenticate = slowly  # type: ignore[method-assign]  # a slower door
    async with client_of(behind(manager, door)) as client, client.websocket("/red") as ws:
        await ws.send_text("ann")
        await eventually(lambda: manager.statistics().total.received == 1)
        await ws.close()
        await eventually(lambda: not manager.connections)
        hold.set()
        await ws.wait_app_done()
    assert (manager.users, len(manager), manager.log) == (frozenset(), 0, [])
