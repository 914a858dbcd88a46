"""The tutorial: each step's files run as its page says, and do what its text claims."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from conformance.wire import Client as StalledClient
from fastapi_rooms import CloseCode
from fastapi_rooms.auth import JWTAuth
from fastapi_rooms.client import HubRefused, RoomsClient

from .tutorial_steps import SECRET, Server, command_with, page_of

WITHIN = 30.0
SILENCE = 4.0
"""Seconds: longer than a busy machine pauses, and shorter than a server waits for who does not read."""
LONG = "x" * 60_000
MANY = 400
"""So many long texts are more than sockets and servers hold for a client that does not read."""

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a step's server, which must stop when the test has ended."""
    with ExitStack() as stack:
        yield lambda number, **options: stack.enter_context(Server(number, tmp_path, **options))


async def told(client: ClientConnection, kind: str = "text") -> Any:
    """The next message that has this."""
    async with asyncio.timeout(WITHIN):
        while True:
            message = json.loads(await client.recv())
            if kind in message:
                return message


def entering(server: Server, name: str, *, room: str = "lobby", since: str = "") -> connect:
    """With a token, as the page sends it."""
    url = server.url(f"/{room}{since and '?since='}{since}", scheme="ws")
    protocols = [websockets.Subprotocol(word) for word in ("access_token", server.token(name))]
    return connect(url, subprotocols=protocols)


# 1: the manager


async def test_1_before_and_after_chat_alike(serve: Serve) -> None:
    for app in ("before:app", "main:app"):
        url = serve(1, app=app).url("/chat", scheme="ws")
        async with connect(f"{url}?name=Ada") as ada, connect(f"{url}?name=Bob") as bob:
            await ada.send("hello")
            for one in (ada, bob):
                assert await told(one) == {"from": "Ada", "text": "hello"}


async def lockstep(server: Server, *, within: float) -> None:
    """Ada says so much that a client which does not read is full; each text is to come back to her and to Bob."""
    stalled = await StalledClient.connect(server.port, "/chat", small=True)
    url = server.url("/chat?name=Ada", scheme="ws")
    try:
        async with connect(url) as ada, connect(url) as bob:
            for _ in range(MANY):
                await ada.send(LONG)
                async with asyncio.timeout(within):
                    assert len(await ada.recv()) == len(await bob.recv())
    finally:
        stalled.socket.close()


async def test_1_before_one_client_that_does_not_read_stops_everybody(serve: Serve) -> None:
    with pytest.raises(TimeoutError):
        await lockstep(serve(1, app="before:app"), within=SILENCE)


async def test_1_after_it_stops_nobody(serve: Serve) -> None:
    await lockstep(serve(1), within=WITHIN)


async def test_1_clients_are_told_to_come_back_when_the_server_stops(serve: Serve, tmp_path: Path) -> None:
    with Server(1, tmp_path / "another") as server:
        client = await connect(server.url("/chat", scheme="ws"))
    await client.wait_closed()
    assert client.close_code == CloseCode.SERVICE_RESTART


@pytest.mark.parametrize(("number", "answer"), [(1, "< {"), (2, "< {"), (3, "4500")])
def test_the_terminal_joins_as_the_page_says_or_is_refused(serve: Serve, number: int, answer: str) -> None:
    server = serve(number)
    _, *command = shlex.split(command_with(page_of(number), "python -m websockets"))
    command[-1] = command[-1].replace(":8000", f":{server.port}")
    with subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        terminal.stdin.write("hello\n")
        terminal.stdin.flush()
        seen = ""
        for line in terminal.stdout:
            seen += line
            if answer in line:
                break
        terminal.kill()
    assert answer in seen, seen


# 2: rooms


async def test_2_rooms_hear_only_themselves_and_other_names_are_refused(serve: Serve) -> None:
    server = serve(2)
    lobby, kitchen = (server.url(f"/{room}?name=Ada", scheme="ws") for room in ("lobby", "kitchen"))
    async with connect(lobby) as ada, connect(lobby) as bob, connect(kitchen) as eve:
        await eve.send("in the kitchen")
        await ada.send("in the lobby")
        assert [(await told(one))["text"] for one in (ada, bob, eve)] == ["in the lobby"] * 2 + ["in the kitchen"]
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(server.url("/Not%20A%20Room", scheme="ws"))
    assert caught.value.response.status_code == 403
    assert server.get("/Not%20A%20Room")[0] == 422


# 3: sign-in


async def test_3_a_token_says_who_somebody_is(serve: Serve) -> None:
    server = serve(3)
    async with entering(server, "Ada") as ada, entering(server, "Bob") as bob:
        await bob.send("hello")
        assert await told(ada) == {"from": "Bob", "text": "hello"}


@pytest.mark.parametrize(
    ("token", "code"), [(None, 4500), ("nonsense", 4500), ("expired", 4001), ("expiring", 4001)]
)
async def test_3_without_a_good_one_it_is_closed_with_a_code(serve: Serve, token: str | None, code: int) -> None:
    lives = {"expired": -60, "expiring": 2}
    if token in lives:
        token = JWTAuth(key=SECRET, algorithms=["HS256"]).issue("Ada", expires_in=lives[token])
    protocols = [websockets.Subprotocol(word) for word in ("access_token", token)] if token else None
    client = await connect(serve(3).url("/lobby", scheme="ws"), subprotocols=protocols)
    async with asyncio.timeout(WITHIN):
        await client.wait_closed()
    assert client.close_code == code


def test_3_the_key_that_the_page_exports_is_long_enough_and_another_each_time() -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    export = command_with(page_of(3), "JWT_SECRET")
    keys = {
        subprocess.check_output(["bash", "-c", f"{export}; printf %s $JWT_SECRET"], env={"PATH": path})
        for _ in range(2)
    }
    assert [len(key) >= 32 for key in keys] == [True, True]


def test_3_curl_gets_a_token(serve: Serve) -> None:
    server = serve(3)
    command = shlex.split(command_with(page_of(3), "curl").replace(":8000", f":{server.port}"))
    answer = json.loads(subprocess.check_output([*command, "--silent"]))
    assert set(answer) == {"token"}


# 4: presence


async def sees(client: ClientConnection, *names: str) -> None:
    """Wait until this is the list; it may be told twice."""
    people: list[str] = []
    while sorted(people) != sorted(names):
        people = (await told(client, "people"))["people"]


async def test_4_names_come_and_go_and_two_tabs_are_one_person(serve: Serve) -> None:
    server = serve(4)
    async with entering(server, "Ada") as ada:
        await sees(ada, "Ada")
        async with entering(server, "Bob") as bob, entering(server, "Bob") as tab:
            for one in (ada, bob, tab):
                await sees(one, "Ada", "Bob")
        await sees(ada, "Ada")


async def test_4_who_is_back_before_the_others_are_told_gets_the_list_too(serve: Serve) -> None:
    server = serve(4)
    async with entering(server, "Bob") as bob:
        async with entering(server, "Ada") as ada:
            await sees(ada, "Ada", "Bob")
        async with entering(server, "Ada") as ada:
            await sees(ada, "Ada", "Bob")
        await sees(bob, "Bob", "Ada")


# 5: history


async def test_5_who_comes_back_gets_what_was_missed_and_newcomers_the_latest(serve: Serve) -> None:
    server = serve(5)
    async with entering(server, "Ada") as ada:
        async with entering(server, "Bob") as bob:
            await ada.send("one")
            position = (await told(bob))["position"]
        for text in ("two", "three"):
            await ada.send(text)
            while (await told(ada))["text"] != text:
                pass
        async with entering(server, "Bob", since=position) as bob:
            assert [(await told(bob))["text"] for _ in range(2)] == ["two", "three"]
            assert await told(bob, "recovered") == {"recovered": True}
            await ada.send("four")
            assert (await told(bob))["text"] == "four"
        async with entering(server, "Eve") as eve:
            assert [(await told(eve))["text"] for _ in range(4)] == ["one", "two", "three", "four"]
            assert await told(eve, "recovered") == {"recovered": None}


async def test_5_a_position_from_before_the_servers_restart_is_not_recovered(serve: Serve) -> None:
    server = serve(5)
    async with entering(server, "Ada") as ada:
        await ada.send("one")
        position = (await told(ada))["position"]
    server.stop()
    server.start()
    async with entering(server, "Ada", since=position) as ada:
        assert await told(ada, "recovered") == {"recovered": False}


# 6: the hub


async def test_6_a_command_is_checked_and_answered_and_a_room_has_a_proper_name(serve: Serve) -> None:
    server = serve(6)
    async with RoomsClient(server.url("/live"), token=server.token("Ada")) as client:
        lobby = client.join("lobby")
        async with asyncio.timeout(WITHIN):
            await lobby.joined()
            await lobby.send("say", {"text": "hello"})
            message = await anext(aiter(lobby))
            assert (message.event, message.data) == ("said", {"name": "Ada", "text": "hello"})
            with pytest.raises(HubRefused) as caught:
                await lobby.send("say", {"text": " "})
            assert (caught.value.code, caught.value.field) == ("invalid", "text")
            with pytest.raises(HubRefused):
                await client.join("Not A Room").joined()
