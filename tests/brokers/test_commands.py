"""`python -m fastapi_rooms publish` and `tail`, as processes."""

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import forked
from fastapi_rooms import __main__ as command
from fastapi_rooms.envelope import Header, Kind, seal
from fastapi_rooms.options import History
from fastapi_rooms.position import Position
from fastapi_rooms.publisher import Publisher
from forked import PIPE, Forked

from .engines import Engine, running
from .ports import free_port
from .redis_engine import RedisEngine
from .workers import Manager, workers

WITHIN = 30.0
_PREFIXES = itertools.count()


@pytest.fixture(scope="module")
def own_engine() -> Iterator[RedisEngine]:
    with running(RedisEngine()) as engine:
        yield engine


@pytest.fixture
def prefix() -> str:
    return f"commands{next(_PREFIXES)}"


def run(*arguments: str, folder: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return forked.run(["fastapi_rooms", *arguments], cwd=folder, env={**os.environ, **(env or {})}, within=WITHIN)


@contextmanager
def tailing(*arguments: str, engine: Engine, prefix: str) -> Iterator[Forked]:
    """A `tail` that listens."""
    line = ["fastapi_rooms", "tail", *arguments, "--broker", engine.url, "--prefix", prefix]
    with Forked(line, stdout=PIPE, stderr=PIPE) as process:
        killer = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(int(WITHIN))
        try:
            assert read(process.stderr).startswith("listening to room")
            yield process
        finally:
            process.kill()
            signal.alarm(0)
            signal.signal(signal.SIGALRM, killer)


def read(stream: IO[str] | None) -> str:
    """The next line."""
    assert stream is not None
    return stream.readline().rstrip("\n")


async def test_a_published_message_reaches_a_member_as_text(
    own_engine: RedisEngine, prefix: str, tmp_path: Path
) -> None:
    async with workers(1, lambda: Manager(own_engine.broker(prefix=prefix))) as (worker,):
        member = await worker.join("ann", "lobby")
        ended = run(
            "publish", "lobby", "{caf\u00e9}", "--broker", own_engine.url, "--prefix", prefix, folder=tmp_path
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        assert await member.receive_text() == "{caf\u00e9}"


def test_the_url_may_come_from_the_environment(own_engine: RedisEngine, tmp_path: Path) -> None:
    ended = run("publish", "lobby", "hello", folder=tmp_path, env={"ROOMS_BROKER": own_engine.url})
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_tail_prints_each_message_of_the_room_on_a_line(own_engine: RedisEngine, prefix: str) -> None:
    with tailing("lobby", engine=own_engine, prefix=prefix) as process:
        async with Publisher(own_engine.broker(prefix=prefix)) as publisher:
            await publisher.publish("elsewhere", "not this")
            await publisher.publish("lobby", "caf\u00e9")
            await publisher.publish("lobby", {"n": 1})
            await publisher.publish("lobby", "two\nlines \x1b[31mred")
            await publisher.close_room("lobby")
            await publisher.publish("lobby", b"\x00\xff")
        lines = [read(process.stdout) for _ in range(4)]
    assert lines == ["caf\u00e9", '{"n":1}', r"two\nlines \x1b[31mred", r"b'\x00\xff'"]


async def test_tail_prints_objects_that_hold_everything(own_engine: RedisEngine, prefix: str) -> None:
    with tailing("lobby", "--json", engine=own_engine, prefix=prefix) as process:
        async with Publisher(own_engine.broker(prefix=prefix)) as publisher:
            await publisher.publish("lobby", "two\nlines", key="k", exclude_users=["ann"])
            await publisher.publish("lobby", b"\x00\xff")
            text, binary = [json.loads(read(process.stdout)) for _ in range(2)]
            sender = {"process": publisher._process}
    assert text == {"text": "two\nlines", "key": "k", "exclude_users": ["ann"], **sender}
    assert binary == {"binary": "AP8=", **sender}


async def test_tail_skips_what_is_not_ours(own_engine: RedisEngine, prefix: str) -> None:
    broker = own_engine.broker(prefix=prefix)
    with tailing("lobby", engine=own_engine, prefix=prefix) as process:
        connection = await broker.connect()
        ours = seal(Header(kind=Kind.MESSAGE, process="p", number=1, room="lobby"), b"ours")
        await connection.publish([(f"{prefix}.room.lobby", b"foreign"), (f"{prefix}.room.lobby", ours)])
        await connection.close()
        assert read(process.stdout) == "ours"
        assert "not a message of fastapi-rooms" in read(process.stderr)


async def test_tail_prints_what_is_said_in_a_room_with_history(faulty: Engine, prefix: str) -> None:
    with tailing("lobby", "--json", engine=faulty, prefix=prefix) as process:
        async with Publisher(faulty.broker(prefix=prefix), history=History()) as publisher:
            await publisher.publish("lobby", "kept")
        async with Publisher(faulty.broker(prefix=prefix)) as publisher:
            await publisher.publish("lobby", "not kept")
        kept, plain = [json.loads(read(process.stdout)) for _ in range(2)]
    position = Position.parse(kept.pop("position"), room="lobby")
    assert (kept["text"], position is not None) == ("kept", True)
    assert (plain["text"], plain.keys()) == ("not kept", {"text", "process"})


def test_ctrl_c_ends_tail_quietly(own_engine: RedisEngine, prefix: str) -> None:
    with tailing("lobby", engine=own_engine, prefix=prefix) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


async def test_tail_ends_quietly_when_nobody_reads_it_any_more(own_engine: RedisEngine, prefix: str) -> None:
    with tailing("lobby", engine=own_engine, prefix=prefix) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        async with Publisher(own_engine.broker(prefix=prefix)) as publisher:
            await publisher.publish("lobby", "unread")
        assert process.wait(WITHIN) == 0
        assert process.stderr.read() == ""


def test_tail_ends_with_1_when_the_broker_is_lost(prefix: str) -> None:
    engine = RedisEngine()
    engine.start()
    try:
        with tailing("lobby", engine=engine, prefix=prefix) as process:
            engine.kill()
            assert "is out of reach" in read(process.stderr)
            assert process.wait(WITHIN) == 1
    finally:
        engine.close()


@pytest.mark.parametrize("arguments", [("publish", "lobby", "hello"), ("tail", "lobby")])
def test_a_broker_out_of_reach_ends_with_1_and_says_where_it_is(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    where = f"127.0.0.1:{free_port()}"
    ended = run(*arguments, "--broker", f"redis://user:hunter2@{where}", folder=tmp_path)
    assert ended.returncode == 1
    assert f"Redis at {where} is out of reach" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("url", ["mysql://user:hunter2@localhost", "redis://:hunter2/x@localhost", "memory://"])
def test_a_url_that_cannot_work_ends_with_2_and_says_why(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["publish", "lobby", "hello", "--broker", url]) == 2
    said = capsys.readouterr().err
    assert "URL" in said or "://" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("name", ["publish", "tail"])
def test_help_has_an_example_and_never_the_url_of_the_environment(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROOMS_BROKER", "redis://:hunter2@localhost")
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    for part in (
        f"python -m fastapi_rooms {name} lobby",
        "--broker",
        "--prefix",
        "ROOMS_BROKER",
        "(default: rooms)",
    ):
        assert part in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "arguments", [["publish", "lobby"], ["publish", "lobby", "hello"], ["tail"], ["tail", "lobby"]]
)
def test_a_command_without_what_it_needs_ends_with_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ROOMS_BROKER", raising=False)
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "the following arguments are required" in capsys.readouterr().err
