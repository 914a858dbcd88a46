"""Strict clients accept every byte: `websockets`, asyncio and blocking, and picows; compressed and not."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from conformance.servers import Server

from .app import SHARE
from .payloads import BORDERS, check_same, noise, words
from .peers import Opener, Peer, with_picows, with_picows_websockets, with_websockets, with_websockets_sync
from .reader import Message

CLIENTS: dict[str, tuple[Opener, str | None]] = {
    "websockets-deflate": (with_websockets, "deflate"),
    "websockets-plain": (with_websockets, None),
    "websockets-sync-deflate": (with_websockets_sync, "deflate"),
    "websockets-sync-plain": (with_websockets_sync, None),
    "picows-websockets-deflate": (with_picows_websockets, "deflate"),
    "picows-websockets-plain": (with_picows_websockets, None),
    "picows-plain": (with_picows, None),
}
SIZED: tuple[Message, ...] = tuple(message for size in BORDERS for message in (words(size), noise(size)))
BURST: tuple[Message, ...] = tuple(
    words(number * 7 % 500) if number % 3 else noise(number * 11 % 300) for number in range(200)
)

every_client = pytest.mark.parametrize(("opener", "compression"), CLIENTS.values(), ids=CLIENTS)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


async def _receive(peer: Peer, count: int) -> tuple[Message, ...]:
    return tuple([await peer.receive() for _ in range(count)])


@every_client
async def test_echoes_of_every_size_are_accepted(server: Server, opener: Opener, compression: str | None) -> None:
    async with opener(f"ws://127.0.0.1:{server.port}/ws", compression, None) as peer:
        for message in SIZED:
            await peer.send(message)
            check_same([await peer.receive()], [message])


@every_client
async def test_a_burst_of_200_echoes_is_accepted(server: Server, opener: Opener, compression: str | None) -> None:
    async with opener(f"ws://127.0.0.1:{server.port}/large", compression, None) as peer:
        for message in BURST:
            await peer.send(message)
        check_same(await _receive(peer, len(BURST)), BURST)


async def _share(url: str, clients: Sequence[tuple[Opener, str | None]], messages: tuple[Message, ...]) -> None:
    """All of them enter a room, the first one has the messages broadcast there, and everyone gets them."""
    async with AsyncExitStack() as stack:
        peers: list[Peer] = []
        for opener, compression in clients:
            peer = await stack.enter_async_context(opener(url, compression, None))
            peers.append(peer)
            assert await peer.receive() == str(len(peers))
        for message in (*messages, SHARE):
            await peers[0].send(message)
        received = await asyncio.gather(*(_receive(peer, len(messages) + 1) for peer in peers))
    for came in received:
        check_same(came, (*messages, SHARE))


@every_client
async def test_broadcasts_of_one_turn_are_accepted_by_all(
    server: Server, opener: Opener, compression: str | None, request: pytest.FixtureRequest
) -> None:
    """Every size and kind, and 200 messages in a burst: all of a turn's messages go out together."""
    url = f"ws://127.0.0.1:{server.port}/share/{request.node.name}"
    await _share(url, [(opener, compression)] * 3, (*SIZED, *BURST, *SIZED))


async def test_one_broadcast_reaches_clients_of_every_kind(server: Server, request: pytest.FixtureRequest) -> None:
    """Compressed for some, and as it is for others, in one room."""
    url = f"ws://127.0.0.1:{server.port}/share/{request.node.name}"
    await _share(url, list(CLIENTS.values()), (*BURST, *SIZED))
