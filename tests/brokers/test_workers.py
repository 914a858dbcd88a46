"""Whether a server runs several workers, found out inside workers that real servers have started."""

import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastapi_rooms import workers
from fastapi_rooms.workers import several_workers

from .engines import STARTS_WITHIN
from .ports import free_port

APP = """
import os
import sys
import types
from pathlib import Path

package = sys.modules["fastapi_rooms"] = types.ModuleType("fastapi_rooms")
package.__path__ = ["PACKAGE"]  # not all of it: sixty processes start the sooner

from fastapi_rooms.workers import several_workers


async def app(scope, receive, send):
    if scope["type"] != "lifespan":
        return
    await receive()
    said = Path("said") / str(os.getpid())
    said.with_suffix(".tmp").write_text(str(several_workers()))
    said.with_suffix(".tmp").rename(said)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
"""

SCRIPT = """
import multiprocessing
import sys

import granian
import uvicorn

if __name__ == "__main__":
    port, kind = int(sys.argv[1]), sys.argv[2]
    if kind == "uvicorn":
        uvicorn.run("workers_app:app", port=port, workers=2)
    else:
        multiprocessing.set_start_method("spawn")
        granian.Granian("workers_app:app", port=port, workers=2, interface="asgi").serve()
"""

UVICORN = ("-m", "uvicorn", "--port", "PORT", "workers_app:app")
HYPERCORN = ("-m", "hypercorn", "--bind", "127.0.0.1:PORT", "workers_app:app")
GRANIAN = ("-m", "granian", "--interface", "asgi", "--port", "PORT", "workers_app:app")
SPAWN = """
import multiprocessing
from granian.cli import entrypoint

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    entrypoint()
"""
SPAWNED = ("-c", SPAWN, *GRANIAN[2:])
GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:PORT", "workers_app:app", "--worker-class")
UVICORN_IN_GUNICORN = (*GUNICORN, "uvicorn_worker.UvicornWorker")

TWO = ("--workers", "2")
SEVERAL = [
    ("uvicorn", UVICORN + TWO, {}),
    ("uvicorn", UVICORN, {"WEB_CONCURRENCY": "2"}),
    ("uvicorn", ("script.py", "PORT", "uvicorn"), {}),
    ("hypercorn", HYPERCORN + TWO, {}),
    ("granian", GRANIAN + TWO, {}),
    ("granian", GRANIAN, {"GRANIAN_WORKERS": "2"}),
    ("granian", SPAWNED + TWO, {}),
    ("gunicorn", UVICORN_IN_GUNICORN + TWO, {}),
    ("gunicorn", (*UVICORN_IN_GUNICORN, "--preload"), {"GUNICORN_CMD_ARGS": "--workers=2"}),
    ("gunicorn", (*GUNICORN, "asgi"), {"WEB_CONCURRENCY": "2"}),
]
ONE = [
    (UVICORN, {}),
    ((*UVICORN, "--workers", "1"), {"WEB_CONCURRENCY": "2"}),
    ((*UVICORN, "--reload"), {}),
    ((*UVICORN, "--reload", *TWO), {}),
    (HYPERCORN, {"WEB_CONCURRENCY": "2"}),
    (GRANIAN, {"WEB_CONCURRENCY": "2"}),
    (SPAWNED, {}),
    ((*GRANIAN, "--reload"), {}),
    (UVICORN_IN_GUNICORN, {}),
    ((*UVICORN_IN_GUNICORN, "--reload"), {}),
]


@contextmanager
def served(line: tuple[str, ...], env: dict[str, str], folder: Path) -> Iterator[Path]:
    """The folder in which each worker of a running server writes what it found."""
    if "gunicorn" in line and not (
        importlib.util.find_spec("gunicorn") and importlib.util.find_spec("uvicorn_worker")
    ):
        pytest.skip("gunicorn or uvicorn-worker is not installed")
    (folder / "workers_app.py").write_text(APP.replace("PACKAGE", str(Path(workers.__file__).parent)))
    (folder / "script.py").write_text(SCRIPT)
    (folder / "said").mkdir()
    port = str(free_port())
    command = [sys.executable, *(word.replace("PORT", port) for word in line)]
    quiet = {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**_environment(), **quiet, **env},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield folder / "said"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    ours = ("WEB_CONCURRENCY", "GRANIAN_", "GUNICORN_", "UVICORN_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def answers(said: Path, number: int) -> set[str]:
    """What so many workers found."""
    deadline = time.monotonic() + STARTS_WITHIN
    while len(files := [one for one in said.iterdir() if one.suffix != ".tmp"]) < number:
        if time.monotonic() > deadline:
            raise AssertionError((said.parent / "server.log").read_text())
        time.sleep(0.02)  # other processes, and what they write is all that they say
    return {one.read_text() for one in files}


@pytest.mark.parametrize(("server", "line", "env"), SEVERAL)
def test_each_of_two_workers_finds_its_server(
    server: str, line: tuple[str, ...], env: dict[str, str], tmp_path: Path
) -> None:
    with served(line, env, tmp_path) as said:
        assert answers(said, 2) == {f"{server} runs 2 workers"}


def test_a_spawned_worker_knows_of_others_by_its_own_number(tmp_path: Path) -> None:
    with served(("script.py", "PORT", "granian"), {}, tmp_path) as said:
        assert "granian runs several workers" in answers(said, 2)


@pytest.mark.parametrize(("line", "env"), ONE)
def test_one_worker_finds_nothing(line: tuple[str, ...], env: dict[str, str], tmp_path: Path) -> None:
    with served(line, env, tmp_path) as said:
        assert answers(said, 1) == {"None"}


def test_a_test_runner_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.setattr(sys, "argv", ["uvicorn", "--workers", "4"])
    assert several_workers() is None


def test_a_process_of_a_program_of_its_own_is_no_worker() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.apply(several_workers) is None


def test_it_looks_once_in_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    workers._several_workers.cache_clear()
    looks: list[str] = []
    monkeypatch.setattr(workers, "_on_stack", lambda package, _attribute: looks.append(package))
    several_workers()
    several_workers()
    assert looks == ["gunicorn.arbiter", "granian.server"]
    workers._several_workers.cache_clear()


def test_a_server_that_has_changed_inside_counts_as_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(package: str, attribute: str) -> str:
        raise AttributeError(attribute)

    workers._several_workers.cache_clear()
    monkeypatch.setattr(workers, "_on_stack", changed)
    assert several_workers() is None
    workers._several_workers.cache_clear()


class Configuration:
    """What a server hands to its workers, by the names of each."""

    workers = 3
    reload = False
    use_reloader = False


class Started:
    """A process of `multiprocessing` that a server has started."""

    def __init__(self, module: str, configuration: object = None, *arguments: object) -> None:
        self._target = lambda: None
        self._target.__module__ = module
        self._kwargs = {"config": configuration}
        self._args = arguments


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Started], str | None]]:
    """What `several_workers` says in such a process."""

    def said(process: Started) -> str | None:
        workers._several_workers.cache_clear()
        monkeypatch.setattr(multiprocessing, "parent_process", object)
        monkeypatch.setattr(multiprocessing, "current_process", lambda: process)
        return several_workers()

    yield said
    workers._several_workers.cache_clear()


@pytest.mark.parametrize("module", ["uvicorn._subprocess", "hypercorn.asyncio.run"])
def test_a_configuration_says_how_many_workers_there_are(
    module: str, started: Callable[[Started], str | None]
) -> None:
    assert started(Started(module, Configuration())) == f"{module.partition('.')[0]} runs 3 workers"
    for reloader in ("reload", "use_reloader"):
        configuration = Configuration()
        setattr(configuration, reloader, True)
        assert started(Started(module, configuration)) is None
    assert started(Started(module)) is None
    assert started(Started("another.module", Configuration())) is None


@pytest.mark.parametrize(
    ("line", "env", "number", "expected"),
    [
        ("granian app", {}, 1, None),
        ("granian app", {}, 2, "granian runs several workers"),
        ("granian app --workers 3", {}, 1, "granian runs 3 workers"),
        ("granian --workers=3 app", {}, 1, "granian runs 3 workers"),
        ("granian --workers 1 app", {"GRANIAN_WORKERS": "3"}, 1, None),
        ("granian app", {"GRANIAN_WORKERS": "3"}, 1, "granian runs 3 workers"),
        ("granian app --workers", {}, 1, None),
        ("granian app --workers 3 --reload", {}, 2, None),
        ("granian app --workers 3", {"GRANIAN_RELOAD": "true"}, 2, None),
    ],
)
def test_a_spawned_worker_of_granian_reads_the_command_line(
    line: str,
    env: dict[str, str],
    number: int,
    expected: str | None,
    started: Callable[[Started], str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", line.split())
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert started(Started("granian.server.mp", None, number)) == expected


class Owner:
    """Whose method is on the stack, as the arbiter's is in a worker that it has forked."""

    def __init__(self, **attributes: object) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("module", "owner", "expected"),
    [
        ("gunicorn.arbiter", Owner(num_workers=3, cfg=Owner(reload=False)), "gunicorn runs 3 workers"),
        ("gunicorn.arbiter", Owner(num_workers=1, cfg=Owner(reload=False)), None),
        ("gunicorn.arbiter", Owner(num_workers=3, cfg=Owner(reload=True)), None),
        ("gunicorn.arbiter", Owner(), None),
        ("granian.server.common", Owner(workers=3, reload_on_changes=False), "granian runs 3 workers"),
        ("granian.server.common", Owner(workers=3, reload_on_changes=True), None),
    ],
)
def test_a_server_on_the_stack_says_how_many_workers_there_are(
    module: str, owner: Owner, expected: str | None
) -> None:
    names: dict[str, Callable[[Owner, Callable[[], object]], str | None]] = {"__name__": module}  # type: ignore[dict-item]
    exec("def call(self, work): return work()", names)
    workers._several_workers.cache_clear()
    assert names["call"](owner, several_workers) == expected
    workers._several_workers.cache_clear()
