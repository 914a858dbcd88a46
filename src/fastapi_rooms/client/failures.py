"""What a client's calls raise.

RoomsClientError
├── HubRefused          the hub answered with an error
├── ConnectionLost      it was sent, and the connection broke before the answer
├── RequestTimeout      no answer came in time (TimeoutError)
├── Offline             too much waits for a connection already
├── NotJoined           the room was left
├── Removed             the hub has ended the membership
├── FellBehind          messages came faster than they were read
└── ClientClosed        the client is closed, by its user or by the hub
"""

from typing import Final

from fastapi_rooms.errors import RoomsError

UNAVAILABLE: Final = "unavailable"
"""The code of what may work later."""


class RoomsClientError(RoomsError):
    """What was asked of a hub did not come about.

    Attributes:
        code: For programs: the hub's, or one of `lost`, `timeout`, `offline`, `not_joined`, `removed`, `overflow`
            and `closed`.
        detail: For people.
        field: Which field is to blame; "": none, or it is not known.
    """

    def __init__(self, code: str, detail: str = "", *, field: str = "") -> None:
        self.code = code
        self.detail = detail
        self.field = field
        super().__init__(f"{code}: {detail}" if detail else code)


class HubRefused(RoomsClientError):
    """The hub answered with an error: one of the protocol's, or a handler's own."""


class ConnectionLost(RoomsClientError):
    """It was sent, and the connection broke before the answer: it may have been done, and is not sent again."""

    def __init__(self) -> None:
        super().__init__("lost", "the connection broke before the answer: it may have been done")


class RequestTimeout(RoomsClientError, TimeoutError):
    """No answer came in time.

    Attributes:
        sent: Whether it was sent, and may have been done. False: it was not, and will not be.
    """

    def __init__(self, *, sent: bool) -> None:
        self.sent = sent
        super().__init__("timeout", "no answer came in time" if sent else "there was no connection in time")


class Offline(RoomsClientError):
    """There is no connection, and as much waits for one as may. It was not sent."""

    def __init__(self, queue: int) -> None:
        super().__init__("offline", f"there is no connection, and {queue} requests wait for one")


class NotJoined(RoomsClientError):
    """The room was left; joining it again gives another handle."""

    def __init__(self) -> None:
        super().__init__("not_joined", "the room was left")


class Removed(RoomsClientError):
    """The hub has ended the membership."""

    def __init__(self) -> None:
        super().__init__("removed", "the hub has ended the membership")


class FellBehind(RoomsClientError):
    """Messages came faster than they were read. What comes after this error begins anew, after a gap."""

    def __init__(self, waiting: int) -> None:
        super().__init__("overflow", f"{waiting} messages waited to be read, and more came")


class ClientClosed(RoomsClientError):
    """The client is closed.

    Attributes:
        close_code: With which the hub has ended it; `None`: its user has closed it.
    """

    def __init__(self, detail: str = "the client is closed", *, close_code: int | None = None) -> None:
        self.close_code = close_code
        super().__init__("closed", detail)
