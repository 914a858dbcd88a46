"""Hostile clients at a real server: limits answer, others feel nothing, and nothing of them stays."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from brokers.scale import SOAK
from conformance.servers import SHARED_FRAMES, UVICORN, Server, ServerKind, running
from conformance.watch import State, Watch, watching
from conformance.wire import BINARY, CONTINUATION, OPENED, TEXT, Client, frame
from fastapi_rooms.protocol.client_frames import MOST_ID
from hub.raw import Raw, hear, joins, neighbours, opened, read_on, talking_to
from hub.talk import Frame

pytestmark = pytest.mark.unmeasured

MIB = 1024 * 1024
ROUNDS = 60 if SOAK else 2
"""Messages of 64 frames that each of those who flood sends."""

APP = "hub.hostile_app:app"


def _kind(kind: ServerKind) -> ServerKind:
    return ServerKind(
        name=f"hub on {kind.name}",
        command=lambda port, ping: [*kind.command(port, ping)[:-1], APP],
        aborts=kind.aborts,
        shutdown_code=kind.shutdown_code,
    )


_KINDS = [
    pytest.param(_kind(kind), id=kind.name, marks=pytest.mark.xdist_group(f"hostile {kind.name}"))
    for kind in (UVICORN, SHARED_FRAMES)
]


@pytest.fixture(scope="module", params=_KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(request.param, directory=tmp_path_factory.mktemp("hub"))) as server:
        yield server


@pytest.fixture
async def watch(server: Server) -> AsyncIterator[Watch]:
    """The server; after each test nobody is registered, and nothing is kept, on any of its hubs."""
    async with watching(server) as watch:
        before = (await watch.state())["kept"]
        yield watch
        while OPENED:
            OPENED.pop().close()
        await watch.until(lambda state: state["kept"] == before)


# Before there is a connection.


async def test_clients_that_begin_and_do_not_go_on_are_closed_in_time_and_nobody_waits_for_them(
    watch: Watch,
) -> None:
    beginnings = [
        b"",
        frame(TEXT, b'{"type":"connect","id":1,"token":"x"}')[:7],
        frame(TEXT, b'{"type":"connect"', final=False),
        frame(TEXT, b"", final=False) + frame(CONTINUATION, b'{"ty', final=False),
        b"\x81\xff\x00\x00\x00\x00\x00\x10",
    ]
    async with neighbours(watch.port, "hasty") as both:
        clients = []
        for data in beginnings * 20:
            clients.append(await Client.connect(watch.port, "/hasty/websocket"))
            with suppress(ConnectionError):  # its time is over already
                await clients[-1].send_raw(data)
        await both.goes_on()
        codes = {(await client.receive_close()).code for client in clients}
        assert codes <= {4502, 1009, None}
        assert 4502 in codes


async def test_half_a_handshake_is_nothing_yet(watch: Watch) -> None:
    async with neighbours(watch.port, "limited") as both:
        sockets = []
        for _ in range(50):
            reader, writer = await asyncio.open_connection("127.0.0.1", watch.port)
            writer.write(b"GET /limited/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso")
            sockets.append((reader, writer))
        await both.goes_on()
        for _, writer in sockets:
            writer.close()
            await writer.wait_closed()


BEFORE_CONNECT = {
    "a command": json.dumps({"type": "send", "id": 1, "command": "echo"}),
    "10,000 joins": json.dumps([{"type": "join", "id": n, "room": str(n)} for n in range(1000)] * 10),
    "64 joins": next(joins(64)),
    "a giant id": '{"type":"connect","id":' + "9" * 4000 + ',"token":"x"}',
    "a token of the wrong type": json.dumps({"type": "connect", "id": 1, "token": {"a": [1]}}),
    "nested": "[" * 10_000 + "]" * 10_000,
    "no JSON": "x" * 1000,
}


async def test_what_comes_before_connect_ends_the_connection(watch: Watch) -> None:
    async def attack(message: str) -> int | None:
        async with opened(watch.port, "limited") as raw:
            await raw.shout(message, *[message] * 10)
            return await raw.ended()

    async with neighbours(watch.port, "limited"):
        ends = await asyncio.gather(*(attack(message) for message in BEFORE_CONNECT.values()))
    expected = dict.fromkeys(BEFORE_CONNECT, 4501) | {"10,000 joins": 1009}
    assert dict(zip(BEFORE_CONNECT, ends, strict=True)) == expected


# Frames and messages.


async def test_broken_frames_end_that_connection_alone(watch: Watch) -> None:
    watch.expect_logged("UTF-8")  # uvicorn's own report of a text frame that is not
    broken = [
        frame(TEXT, b"\xff\xfe"),
        frame(TEXT, b'"\xed\xa0\x80"'),
        frame(0x3, b"a reserved opcode"),
        frame(CONTINUATION, b"of nothing"),
        b"\xff" * MIB,
        os.urandom(MIB),
        frame(BINARY, b'{"type":"ping"}'),
        frame(TEXT, b'{"type":"ping","x":"' + b"y" * MIB + b'"}'),
    ]

    async def attack(data: bytes) -> int | None:
        async with talking_to(watch.port, "limited", "breaker") as raw:
            with suppress(ConnectionError):
                await raw.client.send_raw(data)
            return await raw.ended()

    async with neighbours(watch.port, "limited"):
        ends = await asyncio.gather(*(attack(data) for data in broken))
    assert set(ends) <= {1002, 1003, 1005, 1007, 1009, None}
    assert ends[6:] == [1003, 1009]


FLAWS: list[tuple[str, str]] = [
    ('{"type":"join","id":5}', "invalid"),
    ('{"type":"join","id":5,"room":["a"]}', "invalid"),
    ('{"type":"join","id":5,"room":"' + "r" * 60_000 + '"}', "refused"),
    ('{"type":"join","id":5,"room":"a","since":{"x":1}}', "invalid"),
    ('{"type":"leave","id":5,"room":"\\u0000"}', "not_joined"),
    ('{"type":"send","id":5,"command":"' + "c" * 101 + '"}', "invalid"),
    ('{"type":"send","id":5,"command":"__class__"}', "unknown_command"),
    ('{"type":"send","id":5,"command":"much","data":"many"}', "invalid"),
    ('{"type":"send","id":5,"command":"much","data":1e400}', "invalid"),
    ('{"type":"send","id":5,"command":"shout"}', "invalid"),
    ('{"type":"publish","id":5,"room":"nowhere","event":"e"}', "not_joined"),
    ('{"type":"publish","id":5,"room":"calm","event":""}', "invalid"),
    ('{"type":"presence","id":5,"room":"calm","metadata":[]}', "invalid"),
    ('{"type":"connect","id":5,"token":"another"}', "invalid"),
    ('{"type":"refresh","id":5,"token":"another"}', "unauthorized"),
    ('{"type":"reply","id":5,"data":1}', "unknown_type"),
    ('{"type":"' + "t" * 60_000 + '","id":5}', "unknown_type"),
]


async def test_wrong_types_are_errors_and_the_connection_goes_on(watch: Watch) -> None:
    async with neighbours(watch.port, "limited"), talking_to(watch.port, "limited", "fool") as raw:
        for message, code in FLAWS:
            await raw.client.send(message)
            (answer,) = await hear(raw, 1)
            assert (answer["type"], answer["id"], answer["code"]) == ("error", 5, code), message[:80]
            assert len(json.dumps(answer)) < 1000
        for number in (f"{MOST_ID + 1}", "9" * 4000, "-1", "true", "1e5", '"5"', "null", "[5]"):
            await raw.client.send(f'{{"type":"join","id":{number},"room":"a"}}')
        await raw.say({"type": "send", "id": 6, "command": "echo", "data": "alive"})
        assert await hear(raw, 1) == [{"type": "reply", "id": 6, "data": "alive"}]
        assert (await watch.state())["rooms"]["limited"] == 1


async def test_deep_and_large_values_come_back_as_they_are(watch: Watch) -> None:
    values = ["[" * 190 + "]" * 190, json.dumps("\U0001f600" * 15_000, ensure_ascii=False), "9" * 4000, "0.1"]
    async with neighbours(watch.port, "limited"), talking_to(watch.port, "limited", "deep") as raw:
        for value in values:
            await raw.client.send(f'{{"type":"send","id":5,"command":"echo","data":{value}}}')
            assert await raw.client.receive_text() == f'{{"type":"reply","id":5,"data":{value}}}'


async def test_ids_that_are_used_again_are_answered_again(watch: Watch) -> None:
    async with neighbours(watch.port, "quick"), talking_to(watch.port, "quick", "again") as raw:
        for first in range(0, 2000, 50):
            batch = [{"type": "send", "id": 5, "command": "echo", "data": first + n} for n in range(50)]
            await raw.say(*batch)
        answers = await hear(raw, 2000)
        assert answers == [{"type": "reply", "id": 5, "data": n} for n in range(2000)]


# Floods.


async def test_ten_thousand_joins_are_too_fast_for_a_hub_as_it_comes(watch: Watch) -> None:
    async with neighbours(watch.port, "limited"), talking_to(watch.port, "limited", "joiner") as raw:
        sending = asyncio.create_task(raw.shout(*joins(10_000)))
        assert await read_on(raw) in (4013, None)
        await sending
        state = await watch.until(lambda now: now["connections"]["limited"] == 2)
        assert state["disconnected"]["limited"]["rate_limited"] >= 1


async def test_ten_thousand_joins_at_a_hub_that_takes_them_end_at_its_limit_for_one_client(watch: Watch) -> None:
    async with neighbours(watch.port, "quick") as both, talking_to(watch.port, "quick", "joiner") as raw:
        before = both.heard
        sending = asyncio.create_task(raw.shout(*joins(10_000)))
        answers = await hear(raw, 10_000)
        await sending
        assert [answer["id"] for answer in answers] == list(range(10_000))
        assert [answer["type"] for answer in answers[:128]] == ["joined"] * 128
        assert {(answer["type"], answer["code"]) for answer in answers[128:]} == {("error", "refused")}
        assert (await watch.state())["rooms"]["quick"] == 129
        assert both.heard > before


async def _join_and_leave(raw: Raw, *, rooms: int, since: str | None = None) -> None:
    """Come and go, in so many rooms, as fast as it is answered."""
    more = {} if since is None else {"since": since}
    for number in range(ROUNDS):
        names = [f"room {(number * 32 + n) % rooms}" for n in range(32)]
        frames = [
            {"type": kind, "id": 5, "room": name, **(more if kind == "join" else {})}
            for name in names
            for kind in ("join", "leave")
        ]
        await raw.say(*frames)
        answers = await hear(raw, 64)
        assert [answer["type"] for answer in answers] == ["joined", "left"] * 32


async def _flood(watch: Watch, attack: Callable[[Raw], Coroutine[Any, Any, None]]) -> State:
    """Some clients do it at once; what the server is like when nothing of them is left."""
    names = [f"flooder {number}" for number in range(4)]

    async def one(name: str) -> None:
        async with talking_to(watch.port, "quick", name) as raw:
            await attack(raw)

    async with neighbours(watch.port, "quick") as both:
        await asyncio.gather(*map(one, names), both.goes_on(1))
    return await watch.until(
        lambda state: state["kept"]["quick"]["histories"] == state["connections"]["quick"] == 0
    )


async def _memory_is_flat(watch: Watch, attack: Callable[[Raw], Coroutine[Any, Any, None]]) -> None:
    rounds = [(await _flood(watch, attack))["rss"] for _ in range(4)]
    # What leaks makes every later round larger; an allocator's arenas, only some.
    assert min(rounds[2:]) <= max(rounds[:2]) * 1.1, rounds


async def test_a_flood_of_joins_and_leaves_of_one_room_leaves_nothing(watch: Watch) -> None:
    await _memory_is_flat(watch, lambda raw: _join_and_leave(raw, rooms=1))


async def test_a_flood_of_joins_and_leaves_of_ever_other_rooms_leaves_nothing(watch: Watch) -> None:
    await _memory_is_flat(watch, lambda raw: _join_and_leave(raw, rooms=100_000))


async def test_a_flood_of_positions_that_were_never_given_leaves_nothing(watch: Watch) -> None:
    since = "9999999999999999999.abcdefgh." + "x" * 64
    await _memory_is_flat(watch, lambda raw: _join_and_leave(raw, rooms=50, since=since))


async def test_a_flood_of_joins_and_leaves_is_too_fast_for_a_hub_as_it_comes(watch: Watch) -> None:
    async with neighbours(watch.port, "limited"), talking_to(watch.port, "limited", "flooder") as raw:
        pair = [{"type": "join", "id": 5, "room": "calm"}, {"type": "leave", "id": 6, "room": "calm"}]
        sending = asyncio.create_task(raw.shout(*[json.dumps(pair * 32)] * 100))
        assert await read_on(raw) in (4013, None)
        await sending


# Clients that never read.


async def _never_read(watch: Watch, message: str, name: str) -> None:
    """Ask and ask, and read nothing, until the server ends it."""
    async with talking_to(watch.port, "quick", name, small=True) as raw:
        try:
            async with asyncio.timeout(20):
                while True:
                    await raw.client.send_raw(frame(TEXT, message.encode()))
        except ConnectionError:
            return  # reset, or closed: nobody waits for it any more


ASKED: dict[str, Frame] = {
    "small answers": {"type": "send", "id": 1, "command": "echo", "data": "x"},
    "large answers": {"type": "send", "id": 1, "command": "much", "data": 100_000},
    "errors": {"type": "what", "id": 1},
    "pings": {"type": "ping"},
    "its own messages": {"type": "publish", "room": "loud", "event": "e", "data": "x" * 50_000},
}


async def test_clients_that_ask_and_never_read_are_ended_and_cost_a_bounded_memory(watch: Watch) -> None:
    before = (await watch.state())["rss"]
    async with neighbours(watch.port, "quick") as both:
        attacks = []
        for name, asked in ASKED.items():
            first = [{"type": "join", "room": "loud", "id": 1}] if asked["type"] == "publish" else []
            message = json.dumps([*first, *[asked] * (40 if asked["type"] != "publish" else 1)])
            attacks.append(_never_read(watch, message, name))
        peak = asyncio.create_task(_peak(watch))
        await asyncio.gather(*attacks, both.goes_on())
        await watch.until(lambda state: state["connections"]["quick"] == 2, within=10)
        peak.cancel()
        await asyncio.wait((peak,))
    ends = (await watch.state())["disconnected"]["quick"]
    assert sum(ends.get(reason, 0) for reason in ("slow_consumer", "send_timeout", "client")) >= len(ASKED)
    after = (await watch.state())["rss"]
    # The queue of each, what the server and the inbox hold, and as much again for the allocator.
    assert after <= before + len(ASKED) * 8 * MIB


async def _peak(watch: Watch) -> None:
    while True:
        state = await watch.state()
        assert state["rss"] < 1024 * MIB
        await asyncio.sleep(0.1)  # a sample now and then: nothing tells of memory


async def test_a_member_that_never_reads_is_ended_and_the_room_hears_on(watch: Watch) -> None:
    async with (
        neighbours(watch.port, "quick") as both,
        talking_to(watch.port, "quick", "deaf", small=True) as deaf,
        talking_to(watch.port, "quick", "shouter") as shouter,
    ):
        for raw in (deaf, shouter):
            await raw.join("loud")
        before = both.heard
        number = 0
        while (await watch.state())["connections"]["quick"] == 4:
            for _ in range(10):
                await shouter.say(
                    {"type": "send", "id": number, "room": "loud", "command": "shout", "data": "x" * 20_000}
                )
                while (heard := await shouter.hear(timeout=20.0)).get("id") != number:
                    assert heard["type"] in ("message", "presence", "presence-diff", "ping")
                number += 1
            assert number < 5000
        await shouter.say({"type": "ping"})
        await shouter.until("pong")
        assert both.heard > before


# All at once.


async def test_many_hostile_clients_at_once_leave_the_others_in_peace(watch: Watch) -> None:
    watch.expect_logged("UTF-8")

    async def breaks(name: str) -> None:
        async with talking_to(watch.port, "limited", name) as raw:
            await raw.shout("[" * 60_000)
            assert await raw.ended() == 4501

    async def floods(name: str) -> None:
        async with talking_to(watch.port, "limited", name) as raw:
            sending = asyncio.create_task(raw.shout(*joins(1000)))
            assert await read_on(raw) in (4013, None)
            await sending

    async def vanishes(name: str) -> None:
        async with talking_to(watch.port, "limited", name) as raw:
            await raw.shout(*joins(128), *joins(64, kind="leave"))
            raw.client.reset()

    async def lies(name: str) -> None:
        async with opened(watch.port, "limited") as raw:
            await raw.say({"type": "connect", "id": 1, "token": f"bad {name}"})
            assert await raw.ended() == 4500

    attacks = [breaks, floods, vanishes, lies]
    async with neighbours(watch.port, "limited") as both:
        for round_ in range(3):
            await asyncio.gather(
                *(attack(f"{attack.__name__} {round_} {n}") for attack in attacks for n in range(8)),
                both.goes_on(1),
            )
