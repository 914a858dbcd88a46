"""Case 7: bad input costs its sender the connection, with the code of the design, and no one else."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from .watch import Watch
from .wire import TEXT, Client, Closed, connected, frame

MIB = 1024 * 1024


class Bad(NamedTuple):
    """What is sent where, the code that it costs, and what the reason must mention."""

    path: str
    message: str | bytes
    code: int
    mentions: str = ""
    times: int = 1


BAD = {
    "too long": Bad("/echo/plain", "x" * 5000, 1009),
    "too long in UTF-8": Bad("/echo/plain", "é" * 2100, 1009),
    "1 MiB of text": Bad("/text/plain", "".join(random.Random(7).choices("abc{[\"'\\", k=1024)) * 1024, 1009),
    "1 MiB of binary": Bad("/echo/plain", random.Random(7).randbytes(MIB), 1009),
    "too fast": Bad("/echo/rated", "quick", 4013, times=40),
    "binary for text": Bad("/text/plain", b"\x00\xff", 1003),
    "binary for JSON": Bad("/json/plain", b"{}", 1003),
    "binary for a model": Bad("/serve/strict", b'{"text": "a"}', 1003),
    "not JSON": Bad("/json/plain", "{not json", 1007),
    "empty": Bad("/json/plain", "", 1007),
    "not a number of JSON": Bad("/json/plain", "[NaN]", 1007),
    "nested": Bad("/json/plain", "[" * 2000 + "]" * 2000, 1007),
    "nested objects": Bad("/json/plain", '{"a":' * 600 + "1" + "}" * 600, 1007),
    "lone surrogate": Bad("/json/plain", '"\\ud800"', 1007),
    "not the model": Bad("/serve/strict", '{"text": "a", "times": "many"}', 1007, "times"),
    "not JSON for a model": Bad("/serve/strict", "{not json", 1007),
    "nested for a model": Bad("/serve/strict", '{"text":' + "[" * 1500 + "]" * 1500 + "}", 1007),
    "lone surrogate for a model": Bad("/serve/strict", '{"text": "\\udc00"}', 1007),
}


async def _send_bad(watch: Watch, name: str, bad: Bad) -> Closed:
    async with connected(watch.port, f"{bad.path}?user={name.replace(' ', '+')}") as client:
        try:
            for _ in range(bad.times):
                await client.send(bad.message)
        except ConnectionError:
            pass  # closed already, while the rest was being sent
        return await client.receive_close()


@asynccontextmanager
async def _neighbours(watch: Watch) -> AsyncIterator[None]:
    """Clients of the same managers, that must come through it all."""
    paths = {"/echo/plain": "hi", "/text/plain": "hi", "/json/plain": "[1]", "/echo/rated": "hi"}
    clients = {path: await Client.connect(watch.port, f"{path}?user=neighbour") for path in paths}
    strict = await Client.connect(watch.port, "/serve/strict?user=neighbour")
    yield
    for path, client in clients.items():
        await client.send(paths[path])
        if path.startswith("/echo"):
            assert await client.receive() == "hello"
        assert await client.receive() == paths[path]
    await strict.send('{"text": "still here"}')
    assert await strict.receive() == '{"text":"still here","times":1}'
    assert {(await client.close()).code for client in (*clients.values(), strict)} == {1000}


async def test_bad_messages_cost_their_sender_the_connection_with_the_code_that_says_why(
    watch: Watch,
) -> None:
    async with _neighbours(watch):
        closed = await asyncio.gather(*(_send_bad(watch, name, bad) for name, bad in BAD.items()))
    ends = dict(zip(BAD, closed, strict=True))
    expected = {name: watch.kind.seen(bad.code) for name, bad in BAD.items()}
    assert {name: end.code for name, end in ends.items()} == expected
    for name, bad in BAD.items():
        assert len(ends[name].reason.encode()) <= 123
        if watch.kind.sends_reasons:
            assert bad.mentions in ends[name].reason


async def _break_frames(watch: Watch, data: bytes) -> Closed:
    async with connected(watch.port, "/echo/plain?user=broken") as client:
        assert await client.receive() == "hello"
        with suppress(ConnectionError):
            await client.send_raw(data)
        return await client.receive_close()


async def test_bytes_that_are_no_frames_end_that_connection_only(watch: Watch) -> None:
    watch.expect_logged("UTF-8")  # uvicorn's own report of a text frame that is not
    broken = (
        frame(TEXT, b"\xed\xa0\x80"),
        frame(TEXT, b"\xff\xfe"),
        b"\xff" * MIB,
        random.Random(7).randbytes(MIB),
        frame(0x3, b"a reserved opcode"),
        frame(0x0, b"a continuation of nothing"),
    )
    async with _neighbours(watch):
        ends = await asyncio.gather(*(_break_frames(watch, data) for data in broken))
    assert all(end.code in {1002, 1005, 1007, 1009, None} for end in ends), ends


async def test_a_message_in_fragments_arrives_whole(watch: Watch) -> None:
    async with connected(watch.port, "/echo/plain?user=fragments") as client:
        assert await client.receive() == "hello"
        await client.send_raw(frame(TEXT, "hé".encode(), final=False) + frame(0x9, b"?") + frame(0x0, b"llo"))
        assert await client.receive() == "héllo"
        await client.close()
