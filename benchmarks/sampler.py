"""Inside a server that is being measured: which step it is in, a thousand times for each second of its CPU.

`benchmarks.apps` starts it where the environment says so. SIGUSR1 forgets what was counted; SIGUSR2 writes it.
"""

import json
import linecache
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

VARIABLE = "BENCHMARK_SAMPLES"
SECONDS = 0.001

WRITE = "the write: event loop and kernel"
READ = "reading, handling, the loop's own turns"
_STEPS = (
    ("fastapi_rooms/gather.py", "ours: the end of the turn"),
    ("fastapi_rooms/batch.py", "ours: the end of the turn"),
    ("fastapi_rooms/fanout.py", "ours: the fan-out"),
    ("fastapi_rooms/writer.py", "ours: the fan-out"),
    ("fastapi_rooms/transports/", "ours: the fan-out"),
    ("websockets/", "building frames"),
    ("uvicorn/protocols/websockets/", "uvicorn's send"),
    ("asyncio/locks.py", "uvicorn's send"),
    ("starlette/", "Starlette"),
    ("benchmarks/apps/", "the application's loop"),
)
_WRITES = ("transport.write(", "write_frames(", "send(client.descriptor")
_READS = frozenset({"data_received", "receive", "handle_events", "receive_data", "parse"})


def start() -> None:
    """Count from now on."""
    counts: Counter[tuple[str, str, int]] = Counter()

    def sample(_number: int, frame: FrameType | None) -> None:
        if frame is not None:
            line = frame.f_lineno or frame.f_code.co_firstlineno  # some instructions have no line
            counts[frame.f_code.co_filename, frame.f_code.co_name, line] += 1

    def write(_number: int, _frame: FrameType | None) -> None:
        steps: Counter[str] = Counter()
        for place, number in counts.copy().items():
            steps[_step(*place)] += number
        path = Path(os.environ[VARIABLE])
        path.with_suffix(".new").write_text(json.dumps(steps))
        path.with_suffix(".new").replace(path)

    signal.signal(signal.SIGPROF, sample)
    signal.signal(signal.SIGUSR1, lambda *_: counts.clear())
    signal.signal(signal.SIGUSR2, write)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS)


def _step(file: str, function: str, line: int) -> str:
    text = linecache.getline(file, line)
    if any(call in text for call in _WRITES):
        return WRITE
    if function in _READS:
        return READ
    return next((step for part, step in _STEPS if part in file), READ)
