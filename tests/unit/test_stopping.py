"""Being told that the process is to stop, whoever else handles the signals."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from fastapi_rooms.testing import eventually
from fastapi_rooms.transports.stopping import SIGNALS, StopWatch
from unit.frame_fakes import turns

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
if sys.platform != "win32":
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


@pytest.fixture(autouse=True)
def _handlers_are_restored() -> Iterator[None]:
    """Whatever a test does to them."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Handler:
    """A server's handler, as uvicorn's: a function that only takes a note."""

    def __init__(self, *numbers: int) -> None:
        self.calls: list[int] = []
        for number in numbers or SIGNALS:
            signal.signal(number, self.handle)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        self.calls.append(number)


class Told:
    """Notes how often, and in which thread and loop, it was told."""

    def __init__(self) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []

    def __call__(self) -> None:
        self.loops.append(asyncio.get_running_loop())

    def __len__(self) -> int:
        return len(self.loops)


@pytest.mark.parametrize("number", SIGNALS)
async def test_it_is_told_on_the_loop_and_the_server_is_told_as_before(number: int) -> None:
    server, told = Handler(), Told()
    with StopWatch(told):
        signal.raise_signal(number)
        assert (server.calls, len(told)) == ([number], 0)
        await turns()
        assert told.loops == [asyncio.get_running_loop()]
    assert signal.getsignal(number) == server.handle


async def test_it_is_told_once_and_the_server_each_time() -> None:
    server, told = Handler(), Told()
    with StopWatch(told):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            signal.raise_signal(number)
        await turns()
    assert (len(server.calls), len(told)) == (3, 1)


async def test_ctrl_c_interrupts_as_before() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = Told()
    with StopWatch(told):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        await turns()
    assert len(told) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
async def test_a_signal_that_nobody_handles_is_left_alone(handler: signal.Handlers) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)
    with StopWatch(Told()):
        assert [signal.getsignal(number) for number in SIGNALS] == [handler] * 2
    assert [signal.getsignal(number) for number in SIGNALS] == [handler] * 2


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_loops_own_handlers_are_called_as_before(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def run() -> None:
        loop, told, handled = asyncio.get_running_loop(), Told(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, handled.set)
        with StopWatch(told):
            signal.raise_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                await handled.wait()
            await eventually(lambda: len(told) == 1)
        loop.remove_signal_handler(signal.SIGTERM)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(run())


async def test_a_handler_that_came_later_stays() -> None:
    first, told = Handler(), Told()
    with StopWatch(told):
        later = Handler()
    assert signal.getsignal(signal.SIGTERM) == later.handle
    assert first.calls == []


async def test_a_handler_that_came_later_and_calls_ours_still_reaches_the_one_before() -> None:
    server, told = Handler(), Told()
    with StopWatch(told):
        ours: Any = signal.getsignal(signal.SIGTERM)

        def theirs(number: int, frame: FrameType | None) -> None:
            ours(number, frame)

        signal.signal(signal.SIGTERM, theirs)
    signal.raise_signal(signal.SIGTERM)
    await turns()
    assert (server.calls, len(told)) == ([signal.SIGTERM], 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0)])
async def test_watches_may_be_left_in_any_order(order: tuple[int, ...]) -> None:
    server = Handler()
    everyone = [Told() for _ in range(3)]
    watches = [StopWatch(told) for told in everyone]
    for watch in watches:
        watch.__enter__()
    first, *rest = order
    watches[first].__exit__(None, None, None)
    signal.raise_signal(signal.SIGTERM)
    await turns()
    assert [len(told) for told in everyone] == [number != first for number in range(3)]
    assert server.calls == [signal.SIGTERM]
    for number in rest:
        watches[number].__exit__(None, None, None)
    assert [signal.getsignal(number) for number in SIGNALS] == [server.handle] * 2


async def test_other_threads_than_the_main_one_are_told_nothing() -> None:
    server, told = Handler(), Told()

    async def run() -> None:
        with StopWatch(told):
            assert signal.getsignal(signal.SIGTERM) == server.handle

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    thread.join()
    assert len(told) == 0


def test_a_signal_after_the_loop_was_closed_does_nothing() -> None:
    server, told = Handler(), Told()
    watch = StopWatch(told)

    async def enter() -> None:
        watch.__enter__()

    with asyncio.Runner() as runner:
        runner.run(enter())
    signal.raise_signal(signal.SIGTERM)
    watch.__exit__(None, None, None)
    assert (server.calls, len(told)) == ([signal.SIGTERM], 0)
