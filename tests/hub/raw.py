"""Clients of a real server that speak the protocol, or anything else, over plain sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from conformance.wire import Client, Closed
from fastapi_rooms.protocol.reading import MOST_FRAMES, SUBPROTOCOL
from fastapi_rooms.testing import SocketClosed, eventually
from fastapi_rooms.testing.errors import Closed as Ended
from hub.talk import Frame, Talk


class Wire:
    """What `Talk` needs of a WebSocket, over a real one."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def send_text(self, text: str) -> None:
        await self.client.send(text)

    async def receive_json(self, *, timeout: float | None = None) -> Any:
        message = await self.client.receive(timeout=30.0 if timeout is None else timeout)
        if isinstance(message, Closed):
            raise SocketClosed(Ended(message.code or 1006, message.reason))
        return json.loads(message)


class Raw(Talk):
    """A client over a socket of its own.

    Attributes:
        client: The socket, to misbehave with.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(cast("Any", Wire(client)))
        self.client = client

    async def shout(self, *messages: str | bytes) -> None:
        """Send, whether or not the server is still there."""
        with suppress(ConnectionError):
            for message in messages:
                await self.client.send(message)

    async def ended(self) -> int | None:
        """The code with which the server ends the connection; `None`: without a close frame."""
        return (await self.client.receive_close()).code


@asynccontextmanager
async def opened(port: int, hub: str, **options: Any) -> AsyncIterator[Raw]:
    """A client that has said nothing yet."""
    client = await Client.connect(port, f"/{hub}/websocket", subprotocols=[SUBPROTOCOL], **options)
    try:
        yield Raw(client)
    finally:
        client.socket.close()


@asynccontextmanager
async def talking_to(port: int, hub: str, name: str, **options: Any) -> AsyncIterator[Raw]:
    """A client that is connected as somebody."""
    async with opened(port, hub, **options) as raw:
        await raw.say({"type": "connect", "id": 1, "token": name})
        raw.connected = await raw.until("connected")
        yield raw


class Neighbours:
    """Two clients that talk to each other all the while, and must not feel what others do.

    Attributes:
        heard: How many messages went from one to the other, in order and at once.
    """

    def __init__(self, speaker: Raw, listener: Raw) -> None:
        self.heard = 0
        self._speaker = speaker
        self._listener = listener

    async def talk(self) -> None:
        """Say something, hear it, and so on."""
        while True:
            await self.say_one()
            await asyncio.sleep(0.02)  # the rate that their hub allows

    async def goes_on(self, more: int = 10) -> None:
        """Return once some more was heard; each within its own deadline."""
        awaited = self.heard + more
        await eventually(lambda: self.heard >= awaited, timeout=20.0)

    async def say_one(self) -> None:
        """One message, heard while the attack goes on; the deadline fits a machine that runs other tests, too."""
        said = {"type": "publish", "id": 7, "room": "calm", "event": "said", "data": self.heard}
        async with asyncio.timeout(10.0):
            await self._speaker.say(said)
            message = await _next(self._listener, "message")
            assert message["data"] == self.heard
            await _next(self._speaker, "reply")
        self.heard += 1
        self._speaker.passed.clear()
        self._listener.passed.clear()


async def _next(raw: Raw, kind: str) -> Frame:
    while True:
        frame = await raw.hear(timeout=10.0)
        if frame["type"] == "ping":
            await raw.say({"type": "pong"})
        elif frame["type"] == kind:
            return frame


@asynccontextmanager
async def neighbours(port: int, hub: str) -> AsyncIterator[Neighbours]:
    """Let two clients talk for the time of a block; what they feel is raised at its end."""
    async with talking_to(port, hub, "speaker") as speaker, talking_to(port, hub, "listener") as listener:
        for raw in (speaker, listener):
            await raw.join("calm")
        both = Neighbours(speaker, listener)
        task = asyncio.create_task(both.talk())
        try:
            yield both
        finally:
            over = task.done()
            task.cancel()
            await asyncio.wait((task,))
        if over:
            task.result()  # raises what they felt
        for raw in (speaker, listener):
            assert (await raw.client.close()).code == 1000


def joins(count: int, *, start: int = 0, kind: str = "join") -> Iterator[str]:
    """Messages with so many of them, for as many rooms, as many in each as may be."""
    for first in range(start, start + count, MOST_FRAMES):
        numbers = range(first, min(first + MOST_FRAMES, start + count))
        yield json.dumps([{"type": kind, "id": number, "room": f"room {number}"} for number in numbers])


async def hear(raw: Raw, count: int) -> list[Frame]:
    """So many answers; the server's questions and what is told of rooms are no answers."""
    answers: list[Frame] = []
    while len(answers) < count:
        heard = await raw.hear(timeout=20.0)
        if "id" in heard:
            answers.append(heard)
    return answers


async def read_on(raw: Raw) -> int | None:
    """The code at the end, whatever comes before it."""
    try:
        while True:
            await raw.hear(timeout=20.0)
    except SocketClosed as closed:
        return None if closed.code == 1006 else closed.code
