"""What clients are told of what goes wrong."""

from typing import Final

from starlette.exceptions import HTTPException

from fastapi_rooms.errors import (
    AuthenticationError,
    BrokerUnavailable,
    InvalidMessage,
    JoinRefused,
    MessageTooLarge,
    MetadataTooLarge,
    NoPresence,
    RoomsError,
    UnencodableMessage,
)
from fastapi_rooms.payload import encode_json
from fastapi_rooms.protocol.reading import Flaw

_CODE_OF_STATUS: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    413: "too_large",
    422: "invalid",
    429: "too_many",
    503: "unavailable",
}

INTERNAL: Final = "internal"


class HubError(RoomsError):
    """What a handler raises to answer a command with an error of its own.

    Attributes:
        code: For the client's program: a short word.
        detail: For people.
        field: Which field is to blame; "": none.
    """

    def __init__(self, code: str, detail: str = "", *, field: str = "") -> None:
        self.code = _words(code)
        self.detail = _words(detail)
        self.field = _words(field)
        super().__init__(f"{self.code}: {self.detail}" if self.detail else self.code)


def refusal_of(error: Exception, frame_id: int | None) -> Flaw | None:
    """How an exception that says no is told to the client; `None`: it is a failure, and no word of it is."""
    if isinstance(error, HubError):
        return Flaw(code=error.code, detail=error.detail, field=error.field, id=frame_id)
    if isinstance(error, InvalidMessage):
        return Flaw(code="invalid", detail=_words(error.detail), field=_words(error.field), id=frame_id)
    found = _code_and_detail(error)
    return None if found is None else Flaw(code=found[0], detail=_words(found[1]), id=frame_id)


def _code_and_detail(error: Exception) -> tuple[str, object] | None:
    if isinstance(error, JoinRefused):
        return "refused", error.reason
    if isinstance(error, AuthenticationError):
        return _CODE_OF_STATUS.get(error.status, "unauthorized"), error.detail
    if isinstance(error, HTTPException):
        code = INTERNAL if error.status_code == 500 else f"status_{error.status_code}"
        return _CODE_OF_STATUS.get(error.status_code, code), error.detail
    if isinstance(error, BrokerUnavailable):
        return "unavailable", "the broker is out of reach: try again later"
    return None


def blame_client(error: Exception) -> Exception:
    """An error in what the client asked for by itself, as one that it is told."""
    if isinstance(error, (MessageTooLarge, MetadataTooLarge)):
        return HubError("too_large", f"{error.size} bytes; at most {error.limit} are taken")
    if isinstance(error, UnencodableMessage):
        return HubError("invalid", str(error))
    if isinstance(error, NoPresence):
        return HubError("not_found", "this room has no presence")
    return error


def _words(value: object) -> str:
    """What a handler gave for text, as text that can be sent: whatever it is, the connection goes on."""
    if not isinstance(value, str):
        try:
            value = encode_json(value).decode()
        except UnencodableMessage:
            value = str(value)
    return value.encode(errors="replace").decode()
