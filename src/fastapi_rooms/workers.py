"""Whether the server that runs this process runs several like it: read where the server itself keeps it.

A server that starts its workers with `multiprocessing` (uvicorn, hypercorn, granian) hands them their
configuration, or is on their stack where it forks. gunicorn forks, so its arbiter is on the stack of each worker.
The environment alone proves nothing: `WEB_CONCURRENCY` is set for task queues and test runners too.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

from fastapi_rooms.errors import ConfigurationError

_DEEPEST: Final = 1_000
"""Frames of the main thread that are looked at."""


def several_workers() -> str | None:
    """Which server runs several workers, of which this process is one, in words for an error.

    Such as "uvicorn runs 4 workers". `None` where it runs one, where it restarts its worker when a file changes
    (`--reload`), and where no server is found: in a test, a task queue, a script, or a process that a worker
    started for itself. Known are uvicorn, gunicorn with any class of workers, granian and hypercorn, however their
    number of workers was given.

    Looks once in each process, and never raises: a server that has changed inside counts as not found.
    """
    return _several_workers(os.getpid())


@lru_cache(maxsize=1)
def _several_workers(_process: int) -> str | None:
    try:
        if multiprocessing.parent_process() is None:
            return _on_stack("gunicorn.arbiter", "num_workers") or _on_stack("granian.server", "workers")
        return _child_of_server(multiprocessing.current_process())
    except Exception:  # noqa: BLE001 - it reads what servers do not promise, and a guess is no reason to fail
        return None


def _child_of_server(process: BaseProcess) -> str | None:
    """What runs a process of `multiprocessing`, by what it was started with."""
    server = str(getattr(getattr(process, "_target", None), "__module__", "")).partition(".")[0]
    if server == "granian":
        return _on_stack("granian.server", "workers") or _spawned_granian(getattr(process, "_args", ()))
    if server not in ("uvicorn", "hypercorn"):
        return None
    config = getattr(process, "_kwargs", {}).get("config")
    return None if _reloads(config) else _said(server, getattr(config, "workers", 1))


def _on_stack(package: str, attribute: str) -> str | None:
    """What the server says that this process was forked from, or is a thread of."""
    for owner in _owners(package):
        workers = getattr(owner, attribute, None)
        if workers is not None:
            reloads = _reloads(owner) or _reloads(getattr(owner, "cfg", None))
            return None if reloads else _said(package.partition(".")[0], workers)
    return None


def _reloads(configuration: object) -> bool:
    """By the names of uvicorn and gunicorn, hypercorn, and granian."""
    names = ("reload", "use_reloader", "reload_on_changes")
    return any(getattr(configuration, name, None) is True for name in names)


def _spawned_granian(arguments: Sequence[object]) -> str | None:
    """Where granian does not fork, a worker is told its own number, and inherits the command line."""
    if "--reload" in sys.argv or os.environ.get("GRANIAN_RELOAD", "").lower() in (
        "1",
        "true",
        "t",
        "yes",
        "y",
        "on",
    ):
        return None
    said = _said("granian", _option(sys.argv, "--workers") or os.environ.get("GRANIAN_WORKERS", "1"))
    own = arguments[0] if arguments else 1
    return said or ("granian runs several workers" if isinstance(own, int) and own > 1 else None)


def _option(line: Sequence[str], name: str) -> str | None:
    """The value of an option, given as `--name value` or `--name=value`; the last one counts."""
    value = None
    for word, following in zip(line, (*line[1:], None), strict=True):
        if word == name:
            value = following
        elif word.startswith(f"{name}="):
            value = word.partition("=")[2]
    return value


def _said(server: str, workers: object) -> str | None:
    number = int(str(workers))
    return f"{server} runs {number} workers" if number > 1 else None


def _owners(package: str) -> Iterator[object]:
    """The `self` of a package's functions on the main thread's stack, which a fork has copied; innermost first."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    for _ in range(_DEEPEST):
        if frame is None:
            return
        module = str(frame.f_globals.get("__name__", ""))
        if (module == package or module.startswith(f"{package}.")) and "self" in frame.f_code.co_varnames:
            yield frame.f_locals.get("self")
        frame = frame.f_back


def refuse_several_workers(*, alone: bool) -> None:
    """Refuse rooms in the memory of one process where there are several.

    Args:
        alone: Whether the rooms are there. False: nothing is looked at.

    Raises:
        ConfigurationError: There are; it says what to do.
    """
    workers = several_workers() if alone else None
    if workers is not None:
        raise ConfigurationError(
            f"{workers}, and this RoomManager's rooms are in the memory of one: members in different workers "
            "would not hear each other. Give it a broker, RoomManager(broker=broker_from_url('redis://...')), "
            "or run one worker; broker=MemoryBroker(per_process=True) says that each worker has its own rooms"
        )
