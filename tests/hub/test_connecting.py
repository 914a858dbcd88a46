"""The first frame, and what may stand in the handshake instead; a token that is exchanged for a fresh one."""

from typing import Any

import pytest

from fastapi_rooms import Connection, Disconnect, DisconnectReason, Heartbeat, Limits, RateLimit
from fastapi_rooms.auth import Cookie, Header, Subprotocol, TokenAuth
from fastapi_rooms.hub import Hub
from fastapi_rooms.identity import Identity
from fastapi_rooms.protocol.client_frames import MOST_ID
from fastapi_rooms.testing import Refused, SocketClosed
from hub.talk import auth_of_names, served, socket, talking, verify

CONNECT = {"type": "connect", "id": 1}


class Noting(Hub[Any]):
    """Notes who comes, and why they go."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[Any] = []

    async def on_connect(self, connection: Connection[Any]) -> None:
        self.log.append(connection.user)

    async def on_disconnect(self, connection: Connection[Any], disconnect: Disconnect) -> None:
        self.log.append(disconnect.reason)


def hub_of(**options: Any) -> Noting:
    return Noting(auth=auth_of_names(), **options)


async def test_a_client_that_says_who_it_is_is_connected() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as talk:
        (connection,) = hub.connections
        assert talk.ws.accepted_subprotocol == "rooms.v1.json"
        assert talk.connected == {
            "type": "connected",
            "id": 1,
            "protocol": "rooms.v1",
            "connection": connection.id,
            "user": "ann",
            "heartbeat": 35.0,
        }
        await talk.nothing_more()
        assert (connection.user, connection.user_id) == ("ann", "ann")
        assert hub.users == {"ann"}
    assert hub.log == ["ann", DisconnectReason.CLIENT]


@pytest.mark.parametrize("number", [0, MOST_ID])
async def test_it_is_answered_by_its_id(number: int) -> None:
    async with served(hub_of()) as client, socket(client) as talk:
        await talk.say({"type": "connect", "id": number, "token": "ann", "later": "ignored"})
        assert (await talk.hear())["id"] == number


async def test_a_hub_without_authentication_asks_for_nothing() -> None:
    hub: Hub[Any] = Hub()
    async with served(hub) as client:
        async with talking(client) as talk:
            assert talk.connected["user"] is None
        async with talking(client, "whatever") as talk:
            assert talk.connected["user"] is None
            assert await talk.error("refresh", token="t") == {
                "code": "invalid",
                "detail": "this hub asks for no tokens",
            }


async def test_a_client_that_offers_no_subprotocol_is_taken_for_one_of_this_version() -> None:
    async with served(hub_of()) as client, talking(client, "ann", subprotocols=[]) as talk:
        assert talk.ws.accepted_subprotocol is None


async def test_a_client_that_offers_another_version_is_refused() -> None:
    async with served(hub_of()) as client:
        with pytest.raises(Refused) as caught:
            async with socket(client, subprotocols=["rooms.v2.json"]):
                raise AssertionError
    assert caught.value.status == 400


async def test_a_client_may_offer_later_versions_too() -> None:
    offered = ["rooms.v2.json", "rooms.v1.json"]
    async with served(hub_of()) as client, talking(client, "ann", subprotocols=offered) as talk:
        assert talk.ws.accepted_subprotocol == "rooms.v1.json"


@pytest.mark.parametrize(
    ("token", "code", "reason", "ended"),
    [
        ("bad", 4500, "the token is not valid", DisconnectReason.AUTHENTICATION_FAILED),
        ("", 4500, "no token was given", DisconnectReason.AUTHENTICATION_FAILED),
        ("old", 4001, "the token has expired", DisconnectReason.TOKEN_EXPIRED),
        (None, 4500, "no token was given", DisconnectReason.AUTHENTICATION_FAILED),
    ],
)
async def test_a_token_that_is_no_good_ends_the_connection(
    token: str | None, code: int, reason: str, ended: DisconnectReason
) -> None:
    hub = hub_of()
    async with served(hub) as client, socket(client) as talk:
        await talk.say(CONNECT if token is None else {**CONNECT, "token": token})
        closed = await talk.ws.wait_closed()
        assert (closed.code, closed.reason) == (code, reason)
        assert talk.ws.take_received() == []
        assert hub.statistics().disconnected in ({}, {ended.value: 1})
    assert hub.statistics().disconnected == {ended.value: 1}
    assert hub.log == []


async def test_a_token_without_the_scope_ends_it_with_4507() -> None:
    async def verify_scopes(token: str) -> Identity:
        return Identity(subject=token, scopes=frozenset({token}))

    hub: Hub[Any] = Hub(auth=TokenAuth(verify_scopes).requires("chat"))
    async with served(hub) as client:
        async with socket(client) as talk:
            await talk.say({**CONNECT, "token": "other"})
            assert (await talk.ws.wait_closed()).code == 4507
        async with talking(client, "chat") as talk:
            assert talk.connected["user"] == "chat"
        async with socket(client, headers={"authorization": "Bearer other"}) as talk:
            assert (await talk.ws.wait_closed()).code == 4507


FIRST: dict[str, str] = {
    "another frame": '{"type":"join","id":1,"room":"red"}',
    "a command": '{"type":"send","id":1,"command":"say"}',
    "a ping": '{"type":"ping"}',
    "a connect in second place": '[{"type":"ping"},{"type":"connect","id":1,"token":"ann"}]',
    "a connect without an id": '{"type":"connect","token":"ann"}',
    "a connect with a giant id": '{"type":"connect","id":9007199254740992,"token":"ann"}',
    "a connect with a number for a token": '{"type":"connect","id":1,"token":7}',
    "an unknown frame": '{"type":"hello","id":1}',
    "no JSON": "hello",
    "nothing": "",
    "no object": "[1]",
    "no frame": "[]",
    "65 frames": "[" + ",".join(['{"type":"connect","id":1,"token":"ann"}'] * 65) + "]",
}


@pytest.mark.parametrize("message", FIRST.values(), ids=FIRST)
async def test_what_comes_before_connect_ends_the_connection(message: str) -> None:
    hub = hub_of()
    async with served(hub) as client, socket(client) as talk:
        await talk.ws.send_text(message)
        closed = await talk.ws.wait_closed()
        assert closed.code == 4501
        assert closed.reason
        assert talk.ws.take_received() == []
    assert hub.log == []


async def test_a_first_message_that_is_binary_ends_it_with_1003() -> None:
    async with served(hub_of()) as client, socket(client) as talk:
        await talk.ws.send_bytes(b'{"type":"connect","id":1,"token":"ann"}')
        assert (await talk.ws.wait_closed()).code == 1003


async def test_a_first_message_that_is_too_long_ends_it_with_1009() -> None:
    hub = hub_of(limits=Limits(message_bytes=1000))
    async with served(hub) as client, socket(client) as talk:
        await talk.say({**CONNECT, "token": "x" * 1000})
        assert (await talk.ws.wait_closed()).code == 1009


async def test_who_says_nothing_is_closed_with_4502() -> None:
    hub = hub_of(limits=Limits(authentication_timeout=0.05))
    async with served(hub) as client, socket(client) as talk:
        assert (await talk.ws.wait_closed()).code == 4502
    assert hub.statistics().disconnected == {DisconnectReason.AUTHENTICATION_TIMEOUT.value: 1}


async def test_a_second_connect_is_an_error_and_changes_nothing() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as talk:
        told = await talk.error("connect", token="bob")
        assert told == {"code": "invalid", "detail": "this connection is connected already"}
        await talk.nothing_more()
        assert hub.users == {"ann"}


async def test_what_comes_with_connect_is_answered_after_it() -> None:
    hub = hub_of()
    hub.on("do")(lambda: "done")
    async with served(hub) as client, socket(client) as talk:
        await talk.say(
            {**CONNECT, "token": "ann"},
            {"type": "join", "id": 2, "room": "red"},
            {"type": "send", "id": 3, "room": "red", "command": "do"},
            {"type": "what", "id": 4},
        )
        heard = [await talk.hear() for _ in range(4)]
        assert [(frame["type"], frame["id"]) for frame in heard] == [
            ("connected", 1),
            ("joined", 2),
            ("reply", 3),
            ("error", 4),
        ]
        await talk.nothing_more()


async def test_frames_that_come_with_connect_count_towards_the_rate() -> None:
    hub = hub_of(rate_limit=RateLimit(rate=0.001, burst=10))
    async with served(hub) as client:
        async with socket(client) as talk:
            await talk.say({**CONNECT, "token": "ann"}, *[{"type": "ping"}] * 10)
            assert (await talk.ws.wait_closed()).code == 4013
        async with socket(client) as talk:
            await talk.say({**CONNECT, "token": "ann"}, *[{"type": "ping"}] * 9)
            assert [(await talk.hear())["type"] for _ in range(10)] == ["connected"] + ["pong"] * 9
    assert hub.log == ["ann", DisconnectReason.RATE_LIMITED, "ann", DisconnectReason.CLIENT]


# What stands in the handshake.

SOURCES: dict[str, dict[str, Any]] = {
    "a header": {"headers": {"authorization": "Bearer ann"}},
    "a cookie": {"cookies": {"session": "ann"}, "headers": {"origin": "http://testserver"}},
    "a subprotocol": {"subprotocols": ["rooms.v1.json", "access_token", "ann"]},
}


def everywhere() -> Noting:
    return Noting(auth=TokenAuth(verify, sources=[Header(), Cookie("session"), Subprotocol()]))


@pytest.mark.parametrize("options", SOURCES.values(), ids=SOURCES)
async def test_a_token_in_the_handshake_needs_none_in_connect(options: dict[str, Any]) -> None:
    hub = everywhere()
    async with served(hub) as client, talking(client, **options) as talk:
        assert talk.connected["user"] == "ann"
        assert talk.ws.accepted_subprotocol == (
            "rooms.v1.json" if options.get("subprotocols", ["rooms.v1.json"])[0] == "rooms.v1.json" else None
        )
        assert hub.users == {"ann"}


async def test_a_client_that_knows_no_version_may_offer_its_token_alone() -> None:
    async with served(everywhere()) as client, talking(client, subprotocols=["access_token", "ann"]) as talk:
        assert talk.ws.accepted_subprotocol == "access_token"
        assert talk.connected["user"] == "ann"


@pytest.mark.parametrize(("token", "code"), [("bad", 4500), ("old", 4001)])
@pytest.mark.parametrize("source", SOURCES)
async def test_a_token_in_the_handshake_that_is_no_good_is_told_by_a_close_code(
    source: str, token: str, code: int
) -> None:
    options = {
        key: [token if one == "ann" else one for one in value]
        if isinstance(value, list)
        else {name: one.replace("ann", token) for name, one in value.items()}
        for key, value in SOURCES[source].items()
    }
    hub = everywhere()
    async with served(hub) as client, socket(client, **options) as talk:
        assert talk.ws.accepted_subprotocol == "rooms.v1.json"  # or a browser would not see the code
        assert (await talk.ws.wait_closed()).code == code
    assert hub.log == []


async def test_a_cookie_from_another_page_is_refused() -> None:
    options = {"cookies": {"session": "ann"}, "headers": {"origin": "http://elsewhere"}}
    async with served(everywhere()) as client, socket(client, **options) as talk:
        assert (await talk.ws.wait_closed()).code == 4507


async def test_a_token_in_connect_too_must_be_the_same_users() -> None:
    hub = everywhere()
    header = {"authorization": "Bearer ann"}
    async with served(hub) as client:
        async with talking(client, "ann", headers=header) as talk:
            assert talk.connected["user"] == "ann"
            await talk.nothing_more()
        async with socket(client, headers=header) as talk:
            await talk.say({**CONNECT, "token": "bob"})
            closed = await talk.ws.wait_closed()
            assert closed.code == 4500
            assert "another user's" in closed.reason
        async with socket(client, headers=header) as talk:
            await talk.say({**CONNECT, "token": "old"})
            assert (await talk.ws.wait_closed()).code == 4001
    assert hub.log == ["ann", DisconnectReason.CLIENT]


async def test_a_client_known_by_the_handshake_must_say_connect_all_the_same() -> None:
    async with served(everywhere()) as client, socket(client, headers={"authorization": "Bearer ann"}) as talk:
        await talk.say({"type": "join", "id": 1, "room": "red"})
        assert (await talk.ws.wait_closed()).code == 4501


# Limits of users.


@pytest.mark.parametrize("in_handshake", [True, False])
async def test_a_user_with_too_many_connections_is_refused(in_handshake: bool) -> None:
    hub = hub_of(limits=Limits(connections_per_user=1))
    options: dict[str, Any] = {"headers": {"authorization": "Bearer ann"}} if in_handshake else {}
    async with served(hub) as client, talking(client, "ann") as first:
        if in_handshake:
            with pytest.raises(Refused) as caught:
                async with socket(client, **options):
                    raise AssertionError
            assert caught.value.status == 429
        else:
            async with socket(client) as talk:
                await talk.say({**CONNECT, "token": "ann"})
                assert (await talk.ws.wait_closed()).code == 4504
        async with talking(client, "bob"):
            await first.nothing_more()


@pytest.mark.logged_errors
async def test_a_verification_that_fails_ends_the_connection_with_1011() -> None:
    async def broken(token: str) -> str:
        raise ZeroDivisionError

    hub: Hub[Any] = Hub(auth=TokenAuth(broken))
    async with served(hub, raise_app_exceptions=False) as client, socket(client) as talk:
        await talk.say({**CONNECT, "token": "ann"})
        assert (await talk.ws.wait_closed()).code == 1011


# Heartbeat and hooks of arriving.


@pytest.mark.parametrize(
    ("heartbeat", "told"),
    [(Heartbeat(interval=20, timeout=5), 25.0), (Heartbeat(message=None), None), (None, None)],
)
async def test_the_client_is_told_after_which_silence_to_ask(heartbeat: Heartbeat | None, told: Any) -> None:
    async with served(hub_of(heartbeat=heartbeat)) as client, talking(client, "ann") as talk:
        assert talk.connected["heartbeat"] == told


async def test_connected_is_the_first_that_a_client_hears_whatever_hooks_say() -> None:
    class Greets(Hub[Any]):
        async def on_connect(self, connection: Connection[Any]) -> None:
            await self.send(connection, "welcome")
            await self.broadcast("somebody is here")

    async with served(Greets()) as client, talking(client) as talk:
        assert [(await talk.hear())["data"] for _ in range(2)] == ["welcome", "somebody is here"]


async def test_nobody_is_sent_anything_before_connected() -> None:
    hub = hub_of()
    async with served(hub) as client, socket(client) as talk:
        await hub.broadcast("to all")
        await talk.say({**CONNECT, "token": "ann"})
        assert (await talk.hear())["type"] == "connected"
        await talk.nothing_more()


async def test_a_client_that_leaves_before_it_has_said_anything_leaves_nothing() -> None:
    hub = hub_of()
    async with served(hub) as client:
        async with socket(client) as talk:
            await talk.ws.vanish()
        async with socket(client) as talk:
            await talk.ws.close()
            with pytest.raises(SocketClosed):
                await talk.hear()
    assert hub.log == []
