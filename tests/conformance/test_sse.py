"""Case 12: event streams, which managers serve as they serve WebSockets."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from .managers import AFTER, IN_TIME, QUEUE_BYTES, QUEUE_MESSAGES
from .servers import Server, ServerKind
from .watch import Watch
from .wire import OPENED, TIMEOUT, RefusedError, head_of

SLACK = 7.0


class Stream:
    """The client of an event stream; it reads no more than it is asked for.

    Attributes:
        headers: Of the response.
        comments: Comments that have come.
    """

    headers: dict[str, str]

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._body = bytearray()
        self.comments = 0

    async def begin(self, port: int, path: str) -> None:
        """Ask for the stream, and read the head of the response."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        status, self.headers = head_of((await self._reader.readuntil(b"\r\n\r\n"))[:-4])
        if status != 200:
            body = await self._reader.readexactly(int(self.headers["content-length"]))
            raise RefusedError(status, self.headers, body)

    async def receive(self) -> str | None:
        """The data of the next event; `None`: the response has ended."""
        while (block := await self.block()) is not None and block.startswith(":"):
            self.comments += 1
        return None if block is None else block.removeprefix("data: ")

    async def rest(self) -> list[str]:
        """All events until the end of the response."""
        rest: list[str] = []
        while (event := await self.receive()) is not None:
            rest.append(event)
        return rest

    async def block(self) -> str | None:
        """The next event, or comment, as it is; `None`: the response has ended."""
        async with asyncio.timeout(TIMEOUT):
            while (end := self._body.find(b"\n\n")) < 0:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                self._body += (await self._reader.readexactly(size + 2))[:-2]
                if not size:
                    return None
        block = self._body[:end].decode()
        del self._body[: end + 2]
        return block


@asynccontextmanager
async def streaming(port: int, path: str, *, small: bool = False) -> AsyncIterator[Stream]:
    """A stream that the client leaves in the end; `small`: one that is felt soon if it is not read."""
    sock = socket.socket()
    OPENED.append(sock)
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024 if small else 64 * 1024)
    try:
        one = Stream(reader, writer)
        await one.begin(port, path)
        yield one
    finally:
        writer.transport.abort()


async def test_what_is_said_comes_down_and_the_last_event_says_why_it_ends(watch: Watch) -> None:
    async with streaming(watch.port, "/events/events?user=ann") as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert await stream.receive() == "hello"
        for text in ("a", "b", "c"):
            await watch.server.post(f"/push?user=ann&text={text}")
        assert [await stream.receive() for _ in range(3)] == ["a", "b", "c"]
        await watch.server.post("/push?user=ann&text=leave")
        assert await stream.rest() == ['{"type":"close","code":4000,"reason":"as asked"}']
    gone = await watch.until_event("events", "disconnect", "ann")
    assert (gone["reason"], gone["code"]) == ("closed", 4000)


async def test_a_silent_stream_has_comments(watch: Watch) -> None:
    async with streaming(watch.port, "/events/events?user=ann") as stream:
        assert await stream.receive() == "hello"
        assert [await stream.block() for _ in range(2)] == [": ", ": "]


async def test_a_refusal_before_accept_is_a_response(watch: Watch) -> None:
    async with streaming(watch.port, "/events/events?user=ann"):
        with pytest.raises(RefusedError) as refused:
            async with streaming(watch.port, "/events/events?user=ann"):
                pass
        assert refused.value.status == 429
        assert b"too many connections of this user" in refused.value.body


async def test_a_client_that_leaves_is_gone(watch: Watch) -> None:
    async with streaming(watch.port, "/events/events?user=ann") as stream:
        assert await stream.receive() == "hello"
    gone = await watch.until_event("events", "disconnect", "ann")
    assert (gone["reason"], gone["code"]) == ("client", 1006)


async def test_an_endpoint_that_fails_ends_the_stream_and_is_logged(watch: Watch) -> None:
    async with streaming(watch.port, "/events/events?user=ann") as stream:
        assert await stream.receive() == "hello"
        await watch.server.post("/push?user=ann&text=fail")
        assert await stream.rest() == ['{"type":"close","code":1011,"reason":"internal error"}']
    gone = await watch.until_event("events", "disconnect", "ann")
    assert gone["reason"] == "handler_error"


@pytest.mark.parametrize(("label", "reason"), [("stall-drop", "send_timeout"), ("stall-close", "slow_consumer")])
async def test_a_client_that_never_reads_is_unregistered_in_time(watch: Watch, label: str, reason: str) -> None:
    if not watch.kind.bounds_stalled:
        pytest.skip(f"{watch.kind.name}'s send never blocks")
    before = await watch.state()
    async with streaming(watch.port, f"/events/{label}?user=stalled", small=True):
        flood = await watch.server.post(f"/stall/{label}?user=stalled&after={AFTER[reason]}")
        gone = await watch.until_event(label, "disconnect", "stalled", within=IN_TIME + 5)
        if watch.kind.aborts:
            await watch.until(lambda now: now["sockets"] <= before["sockets"], within=IN_TIME)
    assert flood["queued"] <= QUEUE_MESSAGES
    assert flood["queued_bytes"] <= QUEUE_BYTES
    assert (gone["reason"], gone["code"]) == (reason, 4008)


async def test_sigterm_ends_streams_that_watch_for_it_and_the_process_is_gone_in_time(
    kind: ServerKind, tmp_path: Path
) -> None:
    server = Server(kind, directory=tmp_path)
    try:
        async with (
            streaming(server.port, "/until-stopped/events?user=ann") as ann,
            streaming(server.port, "/until-stopped/events?user=bob") as bob,
        ):
            assert [await ann.receive(), await bob.receive()] == ["hello", "hello"]
            started = time.monotonic()
            server.terminate()
            gone = asyncio.create_task(asyncio.to_thread(server.gone, timeout=2 * TIMEOUT))
            rests = [await one.rest() for one in (ann, bob)]
            assert await gone, server.log()[-3000:]
            took = time.monotonic() - started
    finally:
        server.stop()
    assert all(rest[0].startswith('{"type":"close","code":1012') for rest in rests)
    assert took <= kind.graceful + SLACK
    assert not server.complaints()
