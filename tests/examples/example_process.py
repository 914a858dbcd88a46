"""An example as its own process, as its docstring says that it is run."""

import os
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import psutil
from gallery_process import CHECKOUT, STOP_WITHIN

from brokers.engines import listens, wait_for
from brokers.ports import free_port
from forked import PIPE, Forked


class ExampleProcess:
    """`uvicorn examples.game:app` on a free port, which it keeps when it is started again.

    Args:
        environment: What it gets beside ours, of which nothing begins with ROOMS_.
        app: Another example.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, *, app: str = "examples.game:app") -> None:
        self._app = app
        self.port = free_port()
        self.log = ""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ROOMS_")}
        self._environment = {**ours, **(environment or {})}
        self._process: Forked | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def memory(self) -> int:
        """Bytes."""
        assert self._process is not None
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def start(self) -> None:
        command = ["uvicorn", self._app, "--port", str(self.port), "--log-level", "warning"]
        self._process = Forked(command, cwd=CHECKOUT, env=self._environment, stderr=PIPE)
        wait_for(self._process, lambda: listens(self.port))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._ended()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait()
        if self._process.stderr is not None:
            self.log += self._process.stderr.read()
            self._process.stderr.close()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
