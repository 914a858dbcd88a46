"""What the machine gives: two cores, one for each side, and many open files."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
HOST = "127.0.0.1"


def cores() -> tuple[int | None, int | None]:
    """One core for the server and another for the client; `None` where this machine has only one to give."""
    if sys.platform != "linux":
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


def pin(pid: int, core: int | None) -> None:
    """Before the process starts threads or children: they inherit it."""
    if core is not None and sys.platform == "linux":
        os.sched_setaffinity(pid, {core})


def may_open_many_files() -> None:
    """Raise the limit of open files, for this process and those that it starts, as far as is allowed."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on Windows

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
