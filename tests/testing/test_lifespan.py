import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from fastapi_rooms.testing import AppHung, Client, LifespanFailed, WaitTimeout
from testing.apps import Puppet


class App:
    """Answers the lifespan's events with what it is given, and keeps what happened."""

    def __init__(self, **answers: Message | Exception) -> None:
        self.answers: dict[str, Message | Exception] = {
            "startup": {"type": "lifespan.startup.complete"},
            "shutdown": {"type": "lifespan.shutdown.complete"},
            **answers,
        }
        self.events: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        self.loop = asyncio.get_running_loop()
        for phase, answer in self.answers.items():
            assert (await receive())["type"] == f"lifespan.{phase}"
            self.events.append(phase)
            if isinstance(answer, Exception):
                raise answer
            await send(answer)


async def test_startup_runs_on_entering_and_shutdown_on_leaving_on_the_same_loop() -> None:
    app = App()
    async with Client(app):
        assert app.events == ["startup"]
    assert app.events == ["startup", "shutdown"]
    assert app.loop is asyncio.get_running_loop()


async def test_shutting_down_twice_runs_it_once() -> None:
    app = App()
    async with Client(app) as client:
        await client.shut_down()
    assert app.events == ["startup", "shutdown"]


async def test_lifespan_false_runs_none() -> None:
    app = App()
    async with Client(app, lifespan=False):
        pass
    assert app.events == []


async def test_the_lifespans_state_is_copied_for_each_connection() -> None:
    puppet = Puppet()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["shared"] = ["shared"]
            await App()(scope, receive, send)
        else:
            await puppet(scope, receive, send)

    async with Client(app) as client, client.websocket("/"):
        puppet.scope["state"]["mine"] = 1
        puppet.scope["state"]["shared"].append("by all")
        assert client.state == {"shared": ["shared", "by all"]}
        puppet.release()


FAILED = {"type": "lifespan.startup.failed", "message": "no database"}


async def test_a_startup_that_fails_is_raised_with_its_message() -> None:
    with pytest.raises(LifespanFailed, match="no database"):
        async with Client(App(startup=FAILED, shutdown=LookupError())):
            pass  # pragma: no cover - never entered


async def test_a_shutdown_that_fails_is_raised() -> None:
    with pytest.raises(LifespanFailed, match=r"lifespan\.shutdown\.failed"):
        async with Client(App(shutdown={"type": "lifespan.shutdown.failed"})):
            pass


async def test_a_lifespan_that_raises_at_shutdown_is_reported_with_its_cause() -> None:
    with pytest.raises(LifespanFailed) as caught:
        async with Client(App(shutdown=LookupError("at shutdown"))):
            pass
    assert isinstance(caught.value.__cause__, LookupError)


async def test_the_exception_of_a_starlette_lifespan_is_the_cause() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise LookupError("at startup")
        yield

    with pytest.raises(LifespanFailed) as caught:
        async with Client(Starlette(lifespan=lifespan)):
            pass  # pragma: no cover - never entered
    assert isinstance(caught.value.__cause__, LookupError)


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    """Knows no lifespan."""


@pytest.mark.parametrize("app", [returns, App(startup=LookupError())])
async def test_an_app_without_lifespan_support_is_served_all_the_same(app: Any) -> None:
    async with Client(app) as client:
        assert client.state == {}


def hangs_in(phase: str) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in ("startup", "shutdown", "end"):
            if step == phase:
                await asyncio.Event().wait()
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    return app


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
@pytest.mark.usefixtures("time_by_turns")
async def test_a_lifespan_that_hangs_is_cancelled_after_the_timeout(phase: str) -> None:
    with pytest.raises(WaitTimeout, match=f"the app's lifespan {phase}"):
        async with Client(hangs_in(phase), timeout=0.01):
            pass


@pytest.mark.usefixtures("time_by_turns")
async def test_a_lifespan_that_goes_on_after_its_shutdown_is_reported() -> None:
    with pytest.raises(AppHung, match="the app's lifespan"):
        async with Client(hangs_in("end"), timeout=0.5):
            pass


async def test_a_lifespan_that_knows_no_answer_ends_with_the_client() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise LookupError

    async with Client(app):
        pass
