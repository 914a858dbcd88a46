"""The driver, over wires that end as a test wants."""

import asyncio
import json
from collections import deque

import pytest

from fastapi_rooms.client.conversation import Conversation
from fastapi_rooms.client.driver import Driver
from fastapi_rooms.client.failures import ClientClosed
from fastapi_rooms.client.happenings import Happening
from fastapi_rooms.client.returning import End, Returning
from fastapi_rooms.client.values import State
from fastapi_rooms.client.wire import Wire, WireEnded
from unit.fakes import SOON


class FakeWire:
    """Ends where it is told to, and is closed once."""

    def __init__(self, *, receiving: End | None = None, sending: End | None = None) -> None:
        self.sent: list[str] = []
        self.closed: list[bool] = []
        self._receiving = receiving
        self._sending = sending

    async def receive(self) -> str:
        if self._receiving is None:
            await asyncio.Event().wait()
        raise WireEnded(self._receiving or End())

    async def send(self, frames: str) -> None:
        self.sent.append(frames)
        if self._sending is not None:
            raise WireEnded(self._sending)

    async def close(self, *, politely: bool) -> None:
        self.closed.append(politely)


class Audience:
    """Opens one wire after the other, and notes what it is told."""

    def __init__(self, *wires: FakeWire) -> None:
        self.told: list[object] = []
        self._wires = deque(wires)

    async def open(self) -> Wire:
        return self._wires.popleft()

    def take(self, happening: Happening) -> None:
        self.told.append(happening)

    def enter(self, state: State) -> None:
        self.told.append(state)

    def complain(self, error: Exception) -> None:
        self.told.append(str(error))

    def finish(self, error: ClientClosed) -> None:
        self.told.append(error.close_code)


async def drive(*wires: FakeWire) -> list[object]:
    """What is told until the hub wants no more."""
    audience = Audience(*wires)
    conversation = Conversation(queue=1, least=0.0, most=0.0, random=lambda: 0.0)
    driver = Driver(
        conversation,
        Returning("websocket", least=0.001, most=0.001, random=lambda: 0.0),
        lambda _: audience,
        token="secret",
        timeout=SOON,
        audience=audience,
    )
    await asyncio.wait_for(driver.run(), SOON)
    return audience.told


async def test_a_wire_that_takes_nothing_more_has_ended() -> None:
    first, last = FakeWire(sending=End(1006, "it broke")), FakeWire(sending=End(4507))
    assert await drive(first, last) == ["connecting", "it broke", "waiting", "connecting", 4507]
    assert json.loads(first.sent[0]) == [{"type": "connect", "id": 1, "token": "secret"}]
    assert (first.closed, last.closed) == ([False], [False])


@pytest.mark.parametrize(
    ("receiving", "sending"), [(End(4507), End(1006)), (End(1006), End(4507)), (End(4507), None)]
)
async def test_a_close_code_is_worth_more_than_a_broken_wire(receiving: End, sending: End | None) -> None:
    assert await drive(FakeWire(receiving=receiving, sending=sending)) == ["connecting", 4507]
