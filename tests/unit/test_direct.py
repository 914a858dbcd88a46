"""Frames past the event loop's buffer: real sockets with small buffers, on each event loop that we know."""

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.scale import examples
from fastapi_rooms.frames import PLAIN
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.payload import Payload
from fastapi_rooms.transports.direct import NONE, find_descriptor, find_send
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.transports.websocket import WebSocketTransport
from unit.fakes import SOON
from unit.frame_fakes import FakeServer, Wire

NewLoop = Callable[[], asyncio.AbstractEventLoop]


def _uvloop() -> asyncio.AbstractEventLoop:
    uvloop: Any = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS = [pytest.param(asyncio.SelectorEventLoop, id="asyncio"), pytest.param(_uvloop, id="uvloop")]


def run(new_loop: NewLoop, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main)


class Served(FakeServer):
    """A `FrameServer` over a real socket."""

    real: asyncio.Transport

    def __init__(self) -> None:
        super().__init__()
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()

    @property
    def transport(self) -> asyncio.Transport:
        return self.real


class Line:
    """A client on a real connection whose kernel buffers are small.

    Attributes:
        server: Its server.
        transport: Ours.
        peer: The client's socket.
    """

    server: Served
    transport: GatheredTransport
    peer: socket.socket

    async def __aenter__(self) -> "Line":
        loop = asyncio.get_running_loop()
        ours, self.peer = socket.socketpair()
        for one in (ours, self.peer):
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.server = Served()
        real, _ = await loop.connect_accepted_socket(lambda: self.server, ours)
        self.server.real = real
        gatherer = Gatherer(loop, find_send=lambda: os.write)
        self.transport = GatheredTransport(
            WebSocketTransport(self.server.websocket), self.server, gatherer, queue_bytes=None
        )
        await self.transport.accept(subprotocol=None, headers=())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.real.abort()
        self.peer.close()
        await asyncio.wait_for(self.server.lost.wait(), SOON)

    def read(self, most: int) -> bytes:
        try:
            return self.peer.recv(most)
        except BlockingIOError:
            return b""

    async def drained(self) -> bytes:
        """Read until all that was written has come."""
        received = b""
        async with asyncio.timeout(SOON):
            while True:
                data = self.read(65536)
                received += data
                if not data and not self.transport.unsent() and self.transport.batch is None:
                    return received
                await asyncio.sleep(0)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_connection_without_tls_has_a_descriptor_while_its_buffer_is_empty(new_loop: NewLoop) -> None:
    async def main() -> None:
        async with Line() as line:
            descriptor = find_descriptor(line.server.real)
            assert descriptor == line.server.real.get_extra_info("socket").fileno()
            assert (line.transport.ready, line.transport.descriptor) == (True, descriptor)
            line.server.real.write(bytes(1_000_000))
            assert (line.transport.ready, line.transport.descriptor) == (False, NONE)
            await line.drained()
            assert (line.transport.ready, line.transport.descriptor) == (True, descriptor)
        assert (line.transport.ready, line.transport.descriptor) == (False, NONE)

    run(new_loop, main())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_what_is_gathered_is_written_past_the_transport(new_loop: NewLoop) -> None:
    async def main() -> None:
        async with Line() as line:
            written: list[bytes] = []
            line.transport.write_frames = written.append
            line.transport.write(Payload("hello"))
            await asyncio.sleep(0)
            assert (line.read(100), written) == (Payload("hello").frame(PLAIN), [])

    run(new_loop, main())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("gather"), st.sampled_from([0, 1, 200, 3000, 9000, 70_000])),
        st.tuples(st.just("server"), st.sampled_from([1, 200, 3000, 9000])),
        st.tuples(st.just("read"), st.sampled_from([1, 500, 5000, 50_000])),
        st.tuples(st.just("turn"), st.integers(1, 3)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("new_loop", LOOPS)
@settings(max_examples=examples(60))
@given(steps=STEPS)
def test_whatever_waits_where_the_peer_gets_every_byte_in_order(
    new_loop: NewLoop, steps: list[tuple[str, int]]
) -> None:
    async def main() -> None:
        async with Line() as line:
            expected, received = bytearray(), bytearray()
            for number, (what, size) in enumerate(steps):
                payload = Payload(chr(ord("a") + number % 26) * size)
                if what == "gather" and line.transport.ready:
                    line.transport.write(payload)
                    expected += payload.frame(PLAIN)
                elif what == "server":
                    line.transport.flush()  # as SharedFramesProtocol does before uvicorn writes
                    line.server.real.write(payload.frame(PLAIN))
                    expected += payload.frame(PLAIN)
                elif what == "read":
                    received += line.read(size)
                elif what == "turn":
                    for _ in range(size):
                        await asyncio.sleep(0)
                held = line.server.real.get_write_buffer_size()
                assert line.transport.ready == (held == 0)
            received += await line.drained()
        assert received == expected

    run(new_loop, main())


async def test_a_transport_that_we_do_not_know_has_none() -> None:
    assert find_descriptor(Wire()) == NONE


async def test_a_transport_without_a_socket_has_none() -> None:
    class Closed(Wire):
        __module__ = "asyncio.selector_events"

    assert find_descriptor(Closed()) == NONE


async def test_tls_has_none() -> None:
    class Encrypted(Wire):
        __module__ = "uvloop.loop"

        def get_extra_info(self, name: str, default: object = None) -> object:
            return ssl.create_default_context() if name == "sslcontext" else socket.socket()

    assert find_descriptor(Encrypted()) == NONE


def test_while_another_thread_runs_nothing_is_sent_to_descriptors() -> None:
    before = find_send()
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert find_send() is None
    finally:
        done.set()
        thread.join()
    assert find_send() is before
