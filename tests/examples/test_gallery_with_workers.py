"""The gallery in several processes: what is said at one is heard at the others, and nothing is left of them."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import psutil
import pytest
from gallery_process import GalleryProcess
from guest import WITHIN, Guest
from stalled_client import sign_in

from brokers.engines import Engine, running
from brokers.nats_engine import NatsEngine
from brokers.postgres_engine import PostgresEngine
from fastapi_rooms import __main__ as command
from fastapi_rooms.private_engine import EngineNotFound, private_redis

SECRET = "a secret of 32 characters or more, for tests"
GRACE = {"ROOMS_GRACE": "0.5"}
TRACEBACK = "Traceback"
LONG = "€" * 2_700
"""Longer, with its three bytes for each, than a notification of PostgreSQL."""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleryProcess]:
    with GalleryProcess(tmp_path_factory.mktemp("elsewhere"), workers=2, environment=GRACE) as process:
        yield process
    assert TRACEBACK not in process.log, process.log


def workers_of(gallery: GalleryProcess) -> list[psutil.Process]:
    """Those that were started to serve: of a supervisor's children, the ones that hold the port."""
    children = psutil.Process(gallery.pid).children()
    return [child for child in children if any(holds(child, gallery.port, None))]


def holds(process: psutil.Process, port: int, peer: int | None) -> Iterator[bool]:
    """For each of its sockets at a port, whether the other end is `peer`; `None`: whether it listens."""
    for one in process.net_connections(kind="tcp"):
        if one.laddr and one.laddr.port == port:
            yield (one.raddr.port if one.raddr else None) == peer


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)  # another process, which tells nobody


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """What connects meanwhile is taken by another worker."""
    process.suspend()
    try:
        until(lambda: bool(process.status() == psutil.STATUS_STOPPED))
        yield
    finally:
        process.resume()


def enter(port: int, name: str, *, token: str | None = None, since: str | None = None) -> Guest:
    place = "" if since is None else f"?since={since}"
    return Guest(f"ws://127.0.0.1:{port}/chat/lobby{place}", token=token or sign_in(port, name))


def enter_beside(other: psutil.Process, port: int, name: str, *, since: str | None = None) -> Guest:
    """Enter at the worker that is not the other."""
    token = sign_in(port, name)
    with stopped(other):
        return enter(port, name, token=token, since=since)


@contextmanager
def enter_at_both(gallery: GalleryProcess) -> Iterator[tuple[Guest, Guest]]:
    """Ada at the first worker, and Grace at the second, once each knows of the other."""
    first, second = workers_of(gallery)
    with enter_beside(second, gallery.port, "Ada") as ada, enter_beside(first, gallery.port, "Grace") as grace:
        assert any(holds(first, gallery.port, ada.port))
        assert any(holds(second, gallery.port, grace.port))
        for guest in (ada, grace):
            guest.sees("Ada", "Grace")
        yield ada, grace


def back_at_the_other(gallery: GalleryProcess, grace: Guest, *, name: str = "Grace") -> Guest:
    """Leave the second worker, and come back to the first, with the position that was reached."""
    grace.close()
    _, second = workers_of(gallery)
    return enter_beside(second, gallery.port, name, since=grace.position)


def family(gallery: GalleryProcess) -> list[psutil.Process]:
    """All that it has started."""
    return psutil.Process(gallery.pid).children(recursive=True)


async def drop_table(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP TABLE fastapi_rooms_payloads")
    finally:
        await connection.close()


def engines(gallery: GalleryProcess) -> list[psutil.Process]:
    return [process for process in family(gallery) if process.name() in {"redis-server", "valkey-server"}]


def test_what_is_said_at_one_worker_is_heard_at_the_other_and_both_list_who_is_here(
    gallery: GalleryProcess,
) -> None:
    with enter_at_both(gallery) as (ada, grace):
        ada.say("hello over there")
        for guest in (ada, grace):
            guest.heard(type="say", text="hello over there", **{"from": "Ada"})
        grace.say("hello back")
        for guest in (ada, grace):
            guest.heard(type="say", text="hello back", **{"from": "Grace"})
        grace.close()
        ada.sees("Ada")


def test_who_comes_back_to_another_worker_has_missed_nothing(gallery: GalleryProcess) -> None:
    with enter_at_both(gallery) as (ada, grace):
        ada.say("before")
        grace.heard(type="say", text="before")
        grace.close()
        for text in ("meanwhile", "and again"):
            ada.say(text)
            ada.heard(type="say", text=text)
        with back_at_the_other(gallery, grace) as back:
            said, welcome = back.until_welcome()
    assert said == ["meanwhile", "and again"]
    assert welcome["recovered"] is True


def test_viewers_at_two_workers_get_the_same_figures_once_and_are_counted_together(
    gallery: GalleryProcess,
) -> None:
    first, second = workers_of(gallery)
    url = f"ws://127.0.0.1:{gallery.port}/dashboard/ws"
    with stopped(second):
        here = Guest(url)
    with here:
        began = here.heard(type="figures")
        with stopped(first):
            there = Guest(url)
        with there:
            there.heard(at=began["at"])  # of the time before it came
            together = here.heard(type="figures", viewers=2)
            assert there.heard(type="figures", at=together["at"]) == together
            following = here.heard(type="figures", viewers=2)  # a worker that was not answered tells its own
            assert following["at"] - together["at"] > 0.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_with_all_workers_and_the_engine_while_pages_are_open(
    number: signal.Signals, tmp_path: Path
) -> None:
    with GalleryProcess(tmp_path, workers=2) as gallery:
        started = family(gallery)
        assert len(engines(gallery)) == 1
        with enter(gallery.port, "Ada") as ada:
            ada.sees("Ada")
            gallery.stop(number)
    _, alive = psutil.wait_procs(started, timeout=WITHIN)  # multiprocessing's tracker ends after its parent
    assert [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert TRACEBACK not in gallery.log, gallery.log


def test_two_processes_with_one_broker_and_one_secret_share_the_chat(tmp_path: Path) -> None:
    with private_redis() as url:
        environment = {"ROOMS_BROKER": url, "ROOMS_SECRET": SECRET}
        with (
            GalleryProcess(tmp_path, environment=environment) as one,
            GalleryProcess(tmp_path, environment=environment) as other,
            enter(one.port, "Ada") as ada,
            enter(other.port, "Grace", token=sign_in(one.port, "Grace")) as grace,
        ):
            assert engines(one) == engines(other) == []
            for guest in (ada, grace):
                guest.sees("Ada", "Grace")
            grace.say("from the other process")
            ada.heard(type="say", text="from the other process", **{"from": "Grace"})
        for process in (one, other):
            assert TRACEBACK not in process.log, process.log


def test_workers_use_the_broker_that_is_set_and_start_no_engine(tmp_path: Path) -> None:
    with private_redis() as url:
        with GalleryProcess(tmp_path, workers=2, environment={"ROOMS_BROKER": url}) as gallery:
            assert engines(gallery) == []
        assert TRACEBACK not in gallery.log, gallery.log


@pytest.mark.parametrize("kind", [NatsEngine, PostgresEngine])
def test_workers_share_the_chat_through_an_engine_on_which_nothing_was_prepared(
    tmp_path: Path, kind: Callable[[], Engine]
) -> None:
    with running(kind()) as engine:
        if isinstance(engine, PostgresEngine):
            asyncio.run(drop_table(engine.url))
        environment = GRACE | {"ROOMS_BROKER": engine.url}
        with (
            GalleryProcess(tmp_path, workers=2, environment=environment) as gallery,
            enter_at_both(gallery) as (ada, grace),
        ):
            ada.say("hello over there")
            grace.heard(type="say", text="hello over there", **{"from": "Ada"})
            ada.say(LONG)
            grace.heard(type="say", text=LONG, **{"from": "Ada"})
            grace.close()
            ada.say("meanwhile")
            ada.heard(type="say", text="meanwhile")
            ada.sees("Ada")
            with back_at_the_other(gallery, grace) as back:
                said, welcome = back.until_welcome()
                assert (said, welcome["recovered"]) == (["meanwhile"], True)
                ada.sees("Ada", "Grace")
        assert "out of reach" not in gallery.log, gallery.log


def test_a_number_of_workers_that_cannot_be_ends_with_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (["--workers", "0"], ["--workers", "x"], ["--workers", "2", "--reload"]):
        with pytest.raises(SystemExit) as ended:
            command.main(["examples", *arguments])
        assert ended.value.code == 2
        assert "usage: python -m fastapi_rooms" in capsys.readouterr().err


def test_a_broker_that_cannot_be_ends_with_2_before_a_worker_starts(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "fastapi_rooms", "examples", "--port", "0", "--workers", "2"]
    environment = {"PATH": "", "ROOMS_BROKER": "gopher://:hidden@127.0.0.1"}
    ended = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert "gopher" in ended.stderr
    assert "hidden" not in ended.stderr
    assert TRACEBACK not in ended.stderr


def test_without_any_engine_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none_here() -> None:
        raise EngineNotFound

    monkeypatch.setenv("ROOMS_BROKER", "")
    monkeypatch.setenv("ROOMS_SECRET", SECRET)
    monkeypatch.setattr(command, "private_redis", none_here)
    assert command.main(["examples", "--workers", "2"]) == 2
    assert 'pip install "fastapi-rooms[examples]"' in capsys.readouterr().err
