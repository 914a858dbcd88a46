"""The process behind `forked`: it imports what servers need, then forks a process for each request.

Between it and each of these stands one that does nothing but wait for it, and tell its end: it is the parent.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

WANTED = (
    *("uvicorn.main", "uvicorn.logging", "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "uvicorn.loops.auto"),
    *("uvicorn.protocols.http.auto", "uvicorn.protocols.http.h11_impl", "uvicorn.protocols.http.httptools_impl"),
    *("uvicorn.protocols.websockets.websockets_sansio_impl", "uvicorn.protocols.websockets.wsproto_impl"),
    *("fastapi", "fastapi.responses", "fastapi.staticfiles", "psutil", "uvloop", "jwt"),
    *("redis.asyncio", "redis.asyncio.cluster", "redis.asyncio.sentinel", "nats", "nats.js", "asyncpg"),
    *("fastapi_rooms", "fastapi_rooms.hub", "fastapi_rooms.brokers.url", "fastapi_rooms.testing"),
    "fastapi_rooms.transports.shared_frames",
)

_base_path = sys.path[1:]  # without the folder of this file


def main() -> None:
    asked = socket.socket(fileno=int(sys.argv[1]))
    for name in WANTED:
        with suppress(ImportError):  # not all are there on the lowest versions
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection of a child's need not copy what all share
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the tests: we end when they do
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody else buries those that wait
    while True:
        line, files = _request(asked)
        if not line:
            return
        if os.fork() == 0:
            asked.close()
            _look_after(json.loads(line), files)
            return
        for one in files:
            os.close(one)
        asked.send(b"\n")


def _request(asked: socket.socket) -> tuple[bytes, list[int]]:
    """A line, and the files that come with its beginning."""
    line, files = b"", []
    while not line.endswith(b"\n"):
        part, more, _, _ = socket.recv_fds(asked, 65536, 4)
        if not part:
            return b"", []
        line += part
        files += more
    return line, files


def _look_after(request: dict[str, Any], files: list[int]) -> None:
    """Be the parent of one process; in it, be that process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, tells = files
    child = os.fork()
    if child == 0:
        os.close(tells)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _become(request, streams)
        return
    for one in streams:
        os.close(one)
    os.write(tells, b"%d\n" % child)
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):  # nobody is left to hear it
        os.write(tells, b"%d\n" % status)
    os._exit(0)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Run the module as `python -m` does."""
    if request["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    module, *arguments = request["command"]
    ahead = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [request["cwd"], *ahead, *_base_path]
    sys.argv = [module, *arguments]
    for text in (sys.stdout, sys.stderr):
        text.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
