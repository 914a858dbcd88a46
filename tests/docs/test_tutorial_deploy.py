"""The tutorial's last step as it is deployed: two workers, a Redis of their own, a unit, and an update."""

import asyncio
import json
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from brokers.engines import running
from brokers.redis_engine import RedisEngine
from fastapi_rooms.client import ClientRoom, ConnectionLost, RoomsClient
from fastapi_rooms.testing import eventually

from .tutorial_steps import Server, command_with, commands_of, folder_of, page_of

WITHIN = 60.0
FOLDER = folder_of(7)
together = pytest.mark.xdist_group("tutorial deployed")  # they share a server, which takes long to start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(RedisEngine()) as redis:
        environment = {"BROKER_URL": redis.url}
        with Server(7, tmp_path_factory.mktemp("deployed"), environment=environment) as server:
            until(lambda: server.get("/health")[1]["managers"][0]["broker"]["peers"] == 1)
            yield server


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)  # another process, which tells nobody


def workers_of(server: Server) -> list[psutil.Process]:
    """Of uvicorn's children, those that hold the port."""
    children = psutil.Process(server.pid).children()
    return [child for child in children if any(at(server.port, child))]


def at(port: int, process: psutil.Process) -> Iterator[Any]:
    """Its sockets at this port, the one that listens included."""
    return (one for one in process.net_connections(kind="tcp") if one.laddr and one.laddr.port == port)


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """What connects meanwhile is taken by another worker."""
    process.suspend()
    try:
        until(lambda: bool(process.status() == psutil.STATUS_STOPPED))
        yield
    finally:
        process.resume()


@asynccontextmanager
async def entered(server: Server, name: str, *, beside: psutil.Process) -> AsyncIterator[ClientRoom]:
    """In the lobby, at the worker that is not this one."""
    token = server.token(name)
    with stopped(beside):
        client = RoomsClient(server.url("/live"), token=token)
        await client.__aenter__()
        lobby = client.join("lobby")
        async with asyncio.timeout(WITHIN):
            await lobby.joined()
    try:
        yield lobby
    finally:
        await client.__aexit__(None, None, None)


async def next_said(messages: AsyncIterator[Any]) -> dict[str, str]:
    async with asyncio.timeout(WITHIN):
        said = await anext(messages)
    assert said.event == "said"
    return dict(said.data)


async def texts_until(last: str, room: ClientRoom) -> list[str]:
    texts: list[str] = []
    messages = aiter(room)
    while last not in texts:
        texts.append((await next_said(messages))["text"])
    return texts


@together
async def test_people_at_two_workers_hear_and_see_each_other(server: Server) -> None:
    first, second = workers_of(server)
    async with (
        entered(server, "Ada", beside=second) as ada,
        entered(server, "Bob", beside=first) as bob,
    ):
        heard = [aiter(one) for one in (ada, bob)]
        for speaker, name in ((ada, "Ada"), (bob, "Bob")):
            waiting = [asyncio.create_task(next_said(one)) for one in heard]
            await speaker.send("say", {"text": f"from {name}"})
            assert await asyncio.gather(*waiting) == [{"name": name, "text": f"from {name}"}] * 2
        await eventually(
            lambda: all(set(one.presence.users) == {"Ada", "Bob"} for one in (ada, bob)), timeout=WITHIN
        )


@together
def test_curl_sees_that_it_is_healthy(server: Server) -> None:
    command = shlex.split(command_with(page_of(7), "curl").replace(":8000", f":{server.port}"))
    report = json.loads(subprocess.check_output([*command, "--silent", "--fail"]))
    assert report["ready"] is True
    assert report["managers"][0]["broker"]["connected"] is True


@together
async def test_a_reload_replaces_the_workers_and_nobody_misses_a_message(server: Server) -> None:
    old = workers_of(server)
    first, second = old
    async with entered(server, "Ada", beside=second) as ada, entered(server, "Bob", beside=first) as bob:
        heard = [asyncio.create_task(texts_until("after", one)) for one in (ada, bob)]
        _, how = command_in("ExecReload").rsplit("kill -", 1)
        server.send_signal(signal.Signals[f"SIG{how.split()[0]}"])
        said: list[str] = []
        async with asyncio.timeout(2 * WITHIN):
            while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in old):
                text = f"number {len(said)}"
                with suppress(ConnectionLost):  # in that moment: it may have been said, and she is told so
                    await ada.send("say", {"text": text}, timeout=WITHIN)
                    said.append(text)
                await asyncio.sleep(0.1)  # as fast as she types
        await ada.send("say", {"text": "after"}, timeout=WITHIN)
        for texts in await asyncio.gather(*heard):
            assert [text for text in texts if text in said] == said


async def test_two_workers_without_a_broker_refuse_to_start(tmp_path: Path) -> None:
    # Each ends before long, and uvicorn should see it soon. Who is too slow for that is started again.
    with pytest.raises(AssertionError, match="ConfigurationError"), Server(7, tmp_path, deaf=5, within=WITHIN):
        pass


# The files of the text


def command_in(setting: str) -> str:
    lines = (FOLDER / "chat.service").read_text(encoding="utf-8").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{setting}="))


def test_the_unit_and_the_image_start_what_the_text_starts() -> None:
    typed = shlex.split(command_with(page_of(7), "uvicorn main:app"))
    program, *arguments = shlex.split(command_in("ExecStart"))
    assert (Path(program).name, *arguments) == tuple(typed)
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    image = json.loads(next(line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")))
    assert [word for word in image if word not in {"--host", "0.0.0.0"}] == typed


def test_compose_has_what_the_text_exports_and_the_redis_that_it_starts() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^      ([A-Z_]+):", text, re.MULTILINE) == ["JWT_SECRET", "BROKER_URL"]
    assert f"    command: {command_with(page_of(7), 'redis-server')}\n" in text
    assert "export BROKER_URL=redis://127.0.0.1:6379/0" in commands_of(page_of(7))


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if (verify := shutil.which("systemd-analyze")) is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "chat.service"
    text = (FOLDER / "chat.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/srv/chat/.venv/bin/uvicorn", "/bin/true"), encoding="utf-8")
    done = subprocess.run([verify, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
