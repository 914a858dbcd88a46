"""`python -m fastapi_rooms tail ROOM --url`, as a process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fastapi_rooms import __main__ as command
from fastapi_rooms.client import RoomsClient

from .app import Tried, app_of, make_hub
from .serving import serving, url_of, within

AWHILE = 60.0
"""Seconds for a process to start."""


class Tail:
    """One process of the command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return await _line_of(self.process.stdout)

    async def complaint(self) -> str:
        assert self.process.stderr is not None
        return await _line_of(self.process.stderr)

    async def ended(self) -> int:
        return int(await within(self.process.wait(), AWHILE))


async def _line_of(stream: asyncio.StreamReader) -> str:
    async with asyncio.timeout(AWHILE):
        return (await stream.readline()).decode().rstrip("\n")


@asynccontextmanager
async def tailing(port: int, *arguments: str, **env: str) -> AsyncIterator[Tail]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastapi_rooms", "tail", *arguments, "--url", url_of(port)),
        env={**os.environ, "ROOMS_BROKER": "redis://127.0.0.1:1", **env},
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield Tail(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[Tried, int]]:
    hub = make_hub()
    async with serving(app_of(hub)) as port:
        yield hub, port


async def test_each_message_is_a_line_of_json_and_ctrl_c_ends_it_quietly() -> None:
    async with hub() as (one, port), tailing(port, "lobby", "--token", "ann") as tail:
        assert await tail.complaint() == "listening to room 'lobby'; Ctrl+C ends it"
        await one.broadcast({"text": "café\n\x1b[31m"}, room="lobby", event="said")
        await one.broadcast([1], room="lobby")
        first, second = await tail.line(), await tail.line()
        assert first.isascii()
        told = json.loads(first)
        assert (told["event"], told["data"]) == ("said", {"text": "café\n\x1b[31m"})
        assert {"event": "message", "data": [1]}.items() <= json.loads(second).items()
        tail.process.send_signal(signal.SIGINT)
        assert await tail.ended() == 130
        assert await tail.complaint() == ""


async def test_it_goes_on_from_a_position_and_says_what_is_missing() -> None:
    async with hub() as (one, port):
        async with RoomsClient(url_of(port), token="ann") as client:
            position = (await within(client.join("lobby").joined())).position
        assert position is not None
        await one.broadcast("missed", room="lobby")
        async with tailing(port, "lobby", "--since", position, ROOMS_TOKEN="ann") as tail:
            await tail.complaint()
            assert json.loads(await tail.line())["data"] == "missed"
        async with tailing(port, "lobby", "--since", "1.else.where", ROOMS_TOKEN="ann") as tail:
            await tail.complaint()
            assert await tail.complaint() == "messages may be missing here: epoch_changed"


@pytest.mark.parametrize(
    ("room", "token", "said"), [("lobby", "bad", "ended the connection with 4500"), ("secret", "ann", "refused")]
)
async def test_a_hub_that_refuses_ends_it_with_1_and_says_why(room: str, token: str, said: str) -> None:
    async with hub() as (_, port), tailing(port, room, "--token", token) as tail:
        assert await tail.ended() == 1
        lines = [await tail.complaint() for _ in range(2)]
        assert said in " ".join(lines)
        assert "Traceback" not in " ".join(lines)


async def test_it_ends_quietly_when_nobody_reads_it_any_more() -> None:
    async with hub() as (one, port), tailing(port, "lobby", "--token", "ann") as tail:
        await tail.complaint()
        assert tail.process.stdout is not None
        tail.process.stdout._transport.close()  # type: ignore[attr-defined]  # there is no public way
        await one.broadcast("unread", room="lobby")
        assert await tail.ended() == 0
        assert await tail.complaint() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: --broker, or --url"),
        (["--url", "http://x", "--broker", "redis://x"], "not allowed with argument"),
        (["--broker", "redis://x", "--since", "1.x.y"], "argument --since"),
    ],
)
def test_it_wants_a_broker_or_a_hub(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ROOMS_BROKER", raising=False)
    with pytest.raises(SystemExit) as ended:
        command.main(["tail", "lobby", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_url_that_cannot_work_ends_it_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["tail", "lobby", "--url", "redis://user:hunter2@localhost"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("a hub's URL is http")
    assert "hunter2" not in said


def test_help_has_an_example_and_never_the_token_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROOMS_TOKEN", "hunter2")
    with pytest.raises(SystemExit):
        command.main(["tail", "--help"])
    text = capsys.readouterr().out
    for part in ("tail lobby --url http", "--token", "ROOMS_TOKEN", "--since"):
        assert part in text
    assert "hunter2" not in text
