"""Case 3: however a client leaves, and whatever goes on meanwhile, it is cleaned up once and in silence."""

import asyncio

import pytest

from .watch import Watch, events
from .wire import Client

WAYS = ("close", "fin", "rst")
GONE_IN = 4.5
"""Seconds for the grace of a busy handler, and for a busy machine. By the default its grace would be 5."""


async def _leave(client: Client, way: str) -> None:
    if way == "close":
        await client.close()
    elif way == "rst":
        client.reset()
    else:
        client.fin()
        await client.receive_close()
        client.socket.close()


async def _while_idle(watch: Watch, way: str) -> None:
    client = await Client.connect(watch.port, f"/echo/leave?user=idle-{way}&room=lobby")
    assert await client.receive() == "hello"
    await _leave(client, way)


async def _while_busy(watch: Watch, way: str) -> None:
    client = await Client.connect(watch.port, f"/working/leave-busy?user=busy-{way}")
    await client.send("60 seconds")
    await watch.until_event("leave-busy", "works", f"busy-{way}")
    await _leave(client, way)


async def _in_a_broadcast(watch: Watch, way: str) -> None:
    client = await Client.connect(watch.port, f"/listen/leave?user=broadcast-{way}")
    for _ in range(10):
        await client.receive_text()
    await _leave(client, way)


async def _stays(watch: Watch, messages: int) -> None:
    client = await Client.connect(watch.port, "/listen/leave?user=stays")
    numbers = [int((await client.receive_text())[:6]) for _ in range(messages)]
    assert numbers == list(range(messages))
    await client.close()


def _each_left_once(users: list[str], state: dict[str, object], label: str = "leave") -> bool:
    return sorted(entry["who"] for entry in events(state, label, "disconnect")) == sorted(users)


async def test_a_client_that_leaves_while_idle_is_cleaned_up_once(watch: Watch) -> None:
    await asyncio.gather(*(_while_idle(watch, way) for way in WAYS))
    users = [f"idle-{way}" for way in WAYS]
    state = await watch.until(lambda now: _each_left_once(users, now))
    for event in ("join", "leave"):
        assert sorted(entry["who"] for entry in events(state, "leave", event)) == sorted(users)
    assert {entry["reason"] for entry in events(state, "leave", "disconnect")} == {"client"}
    await watch.nothing_left()
    assert _each_left_once(users, await watch.state())


async def test_a_client_that_leaves_while_its_handler_is_busy_ends_the_handler_after_its_grace(
    watch: Watch,
) -> None:
    await asyncio.gather(*(_while_busy(watch, way) for way in WAYS))
    users = [f"busy-{way}" for way in WAYS]
    await watch.until(lambda now: _each_left_once(users, now, "leave-busy"), within=GONE_IN)
    await watch.nothing_left(within=GONE_IN)
    assert _each_left_once(users, await watch.state(), "leave-busy")


@pytest.mark.parametrize("messages", [200])
async def test_a_client_that_leaves_in_the_middle_of_a_broadcast_disturbs_no_other(
    watch: Watch, messages: int
) -> None:
    leaving = [asyncio.create_task(_in_a_broadcast(watch, way)) for way in WAYS]
    staying = [asyncio.create_task(_stays(watch, messages)) for _ in range(3)]
    await watch.until(lambda now: now["connections"]["leave"] == len(leaving) + len(staying))
    await watch.server.post(f"/broadcast/leave?messages={messages}&size=2000&pause=0.001")
    await asyncio.gather(*leaving, *staying)
    users = [f"broadcast-{way}" for way in WAYS] + ["stays"] * len(staying)
    await watch.until(lambda now: _each_left_once(users, now))
    await watch.nothing_left()
    assert _each_left_once(users, await watch.state())
