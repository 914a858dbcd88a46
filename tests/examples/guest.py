"""A client without a page, which knows who is here as a page does."""

import json
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect
from websockets.typing import Subprotocol

WITHIN = 30.0


class Guest:
    """Connected when it is made.

    Args:
        url: Where.
        token: From the chat's sign-in; the dashboard wants none.

    Attributes:
        position: Of the last message of the chat.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        subprotocols = None if token is None else [Subprotocol("access_token"), Subprotocol(token)]
        self._open = ExitStack()
        connecting = connect(url, subprotocols=subprotocols, max_queue=None, open_timeout=WITHIN)
        self._socket = self._open.enter_context(connecting)
        self._here: set[str] = set()
        self.position: str | None = None

    @property
    def port(self) -> int:
        port: int = self._socket.socket.getsockname()[1]
        return port

    def say(self, text: str) -> None:
        self._socket.send(json.dumps({"type": "say", "text": text}, ensure_ascii=False))

    def heard(self, **expected: object) -> dict[str, Any]:
        """The next message that says this; others before it are passed over."""
        deadline = time.monotonic() + WITHIN
        while not expected.items() <= (message := self._read(deadline)).items():
            pass
        return message

    def until_welcome(self) -> tuple[list[str], dict[str, Any]]:
        """What was said before, and the welcome; who comes and goes may be told in between."""
        said = []
        deadline = time.monotonic() + WITHIN
        while (message := self._read(deadline))["type"] != "welcome":
            said += [message["text"]] if message["type"] == "say" else []
        return said, message

    def sees(self, *names: str) -> None:
        """Read on until these are here, and nobody else."""
        deadline = time.monotonic() + WITHIN
        while self._here != set(names):
            self._read(deadline)

    def close(self) -> None:
        self._open.close()

    def _read(self, deadline: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=max(0.0, deadline - time.monotonic())))
        self.position = message.get("position") or self.position
        if message["type"] == "welcome":
            self._here = set(message["present"]["users"])
        elif message["type"] == "presence":
            diff = message["diff"]
            self._here = (self._here | diff["joins"].keys() | diff["updates"].keys()) - diff["leaves"].keys()
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
