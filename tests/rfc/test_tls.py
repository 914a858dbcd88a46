"""`wss://` on both transports: the same frames, the same deadlines."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import psutil
import pytest

from conformance.servers import running

from .app import CLOSE_TIMEOUT, SEND_TIMEOUT, SHARE
from .cases import ANY_DEFLATE
from .certificate import TlsServer
from .client import RawClient
from .frames import binary, close, ping, text
from .payloads import BORDERS, MIB, check_same, noise, words
from .peers import Opener, Peer, with_picows, with_picows_websockets, with_websockets
from .reader import Message
from .transports import EACH_TRANSPORT

# not the blocking client of `websockets`: it uses one ssl object in two threads, and stalls now and then
CLIENTS: dict[str, tuple[Opener, str | None]] = {
    "websockets": (with_websockets, "deflate"),
    "picows-websockets": (with_picows_websockets, "deflate"),
    "picows": (with_picows, None),
}
MESSAGES: tuple[Message, ...] = (
    *(message for size in BORDERS for message in (words(size), noise(size))),
    words(MIB),
    noise(MIB),
    "small again",
)
OFFERS = {"plain": None, "deflate": ANY_DEFLATE}
HEALTHY = 5
LATE = 4.5
"""Seconds for a busy machine."""


@pytest.fixture(scope="module", params=EACH_TRANSPORT)
def tls_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    server = TlsServer(request.param, directory=tmp_path_factory.mktemp("tls"))
    with running(server):
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_echoes_of_every_size_come_whole_among_answers_to_pings(tls_server: TlsServer, offer: str | None) -> None:
    with RawClient.connect(tls_server.port, "/large", offer=offer, tls=tls_server.trusted) as client:
        for message in MESSAGES:
            client.send((text(message) if isinstance(message, str) else binary(message)) + ping(b"?"))
        check_same(client.read_messages(len(MESSAGES)), MESSAGES)
        client.close()
        assert client.reader.close == (1000, "")
        assert client.reader.pongs == [b"?"] * len(MESSAGES)


def test_a_close_frame_behind_messages_is_answered_and_nothing_follows(tls_server: TlsServer) -> None:
    sent = [words(20_000 + number) for number in range(20)]
    with RawClient.connect(tls_server.port, "/large", tls=tls_server.trusted) as client:
        client.send(b"".join(map(text, sent)) + close(1000))
        client.read_to_end(answer=False)
        assert client.reader.close == (1000, "")
        check_same(client.reader.messages, sent[: len(client.reader.messages)])


@pytest.mark.parametrize(("opener", "compression"), CLIENTS.values(), ids=CLIENTS)
async def test_strict_clients_accept_broadcasts_of_every_size(
    tls_server: TlsServer, opener: Opener, compression: str | None, request: pytest.FixtureRequest
) -> None:
    url = f"wss://127.0.0.1:{tls_server.port}/share/{request.node.name}"
    async with AsyncExitStack() as stack:
        peers: list[Peer] = []
        for number in (1, 2):
            peers.append(await stack.enter_async_context(opener(url, compression, tls_server.trusted)))
            assert await peers[-1].receive() == str(number)
        for message in (*MESSAGES, SHARE):
            await peers[0].send(message)
        received = await asyncio.gather(*(_receive(peer, len(MESSAGES) + 1) for peer in peers))
    for came in received:
        check_same(came, (*MESSAGES, SHARE))


async def _receive(peer: Peer, count: int) -> tuple[Message, ...]:
    return tuple([await peer.receive() for _ in range(count)])


async def _read_numbers(peer: Peer) -> list[int]:
    numbers: list[int] = []
    message = ""
    while not message.endswith("end"):
        message = str(await peer.receive())
        numbers.append(int(message[:6]))
    return numbers


async def _dropped(server: TlsServer, client: RawClient, *, within: float) -> bool:
    """Whether the server's side of a connection ends, though the client has not read a byte."""
    port, pid = client.socket.getsockname()[1], server.process.pid
    until = time.monotonic() + within
    while any(one.pid == pid and one.raddr and one.raddr.port == port for one in psutil.net_connections("tcp")):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.02)
    return True


async def test_a_client_that_never_reads_is_dropped_in_time_and_the_others_miss_nothing(
    tls_server: TlsServer,
) -> None:
    """TLS has buffers of its own: they must not hide a stalled client from the deadlines."""
    url = f"wss://127.0.0.1:{tls_server.port}/watched/healthy"
    stalled = RawClient.connect(tls_server.port, "/watched/stalled", tls=tls_server.trusted, small=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(stalled)
        opened = [with_websockets(url, None, tls_server.trusted) for _ in range(HEALTHY)]
        peers = [await stack.enter_async_context(one) for one in opened]
        readers = [asyncio.create_task(_read_numbers(peer)) for peer in peers]
        flood = await tls_server.post("/stall/stalled")
        received = await asyncio.gather(*readers)
        assert flood["left"] is not None, "the stalled client was not given up"
        assert await _dropped(tls_server, stalled, within=CLOSE_TIMEOUT + LATE)
    assert flood["left"]["reason"] in {"send_timeout", "slow_consumer"}
    assert flood["left"]["at"] - flood["blocked"] <= SEND_TIMEOUT + CLOSE_TIMEOUT + LATE
    assert received == [list(range(flood["messages"]))] * HEALTHY
