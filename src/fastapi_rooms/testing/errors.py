"""What the in-memory client raises in the test, and what it raises in the app.

RoomsError
├── SocketClosed                        in the test: the connection is over
├── Refused                             in the test: the app refused the handshake
├── UnexpectedMessage (AssertionError)  in the test: a message came that was not asked for
├── WaitTimeout (TimeoutError)          in the test: what was waited for did not happen in time
├── AppHung (TimeoutError)              in the test: the endpoint did not end after its client left
├── LifespanFailed                      in the test: startup or shutdown failed
├── ClientGone (OSError)                in the app: `send` after the client left
└── ProtocolViolation (RuntimeError)    in the app: an ASGI message that is not allowed there
"""

import json
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from fastapi_rooms.errors import RoomsError


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended, as the client sees it.

    Attributes:
        code: The close code; 1006 where there was no close frame (RFC 6455 §7.1.5).
        reason: The close frame's text, or "".
    """

    code: int
    reason: str = ""


class SocketClosed(RoomsError):
    """The connection is over: everything that arrived has been received, and nothing can be sent.

    Attributes:
        code: The close code; 1006 where there was no close frame.
        reason: The close frame's text, or "".
    """

    def __init__(self, closed: Closed) -> None:
        self.code = closed.code
        self.reason = closed.reason
        super().__init__(f"the WebSocket is closed: {closed.code} {closed.reason}".rstrip())


class Refused(RoomsError):
    """The app refused the handshake.

    Attributes:
        status: The HTTP status: of the denial response, 403 after a bare `websocket.close`, 500 where the app
            ended without an answer.
        headers: The denial response's headers.
        body: The denial response's body, or `b""`.
    """

    def __init__(self, *, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        super().__init__(f"the WebSocket was refused with {status}: {body[:200]!r}")

    def json(self) -> Any:
        """The body, decoded from JSON.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.body)


class UnexpectedMessage(RoomsError, AssertionError):
    """A message, or a close, that is not of the kind the test asked for. The message is used up."""


class WaitTimeout(RoomsError, TimeoutError):
    """What the test waited for did not happen in time.

    Attributes:
        awaited: What was waited for, in words.
        timeout: Seconds that it was given.
    """

    def __init__(self, *, awaited: str, timeout: float) -> None:
        self.awaited = awaited
        self.timeout = timeout
        super().__init__(f"waited {timeout:g} s for {awaited}")


class AppHung(RoomsError, TimeoutError):
    """The app was still running after its client, or its server, was gone, and was cancelled.

    Attributes:
        what: The endpoints, in words.
        timeout: Seconds that they were given to end.
    """

    def __init__(self, *, what: str, timeout: float, stopped: bool) -> None:
        self.what = what
        self.timeout = timeout
        end = "it was cancelled" if stopped else "it was cancelled, and runs on all the same"
        super().__init__(f"{what} was still running {timeout:g} s after the disconnect: {end}")


class LifespanFailed(RoomsError):
    """The app's startup or shutdown failed; `__cause__` is the app's exception, where it raised one."""


class ClientGone(RoomsError, OSError):
    """Raised by the app's `send` once the client has left, as servers do (ASGI spec 2.4: an `OSError`)."""

    def __init__(self, *, message_type: str) -> None:
        super().__init__(f"{message_type!r} was sent to a client that has left")


class ProtocolViolation(RoomsError, RuntimeError):
    """Raised by the app's `send` for a message that ASGI or RFC 6455 does not allow at this point."""
