"""One message, encoded once, however many connections it goes to."""

import re
from importlib import import_module
from typing import Any, Final, Protocol, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from fastapi_rooms.errors import UnencodableMessage
from fastapi_rooms.frames import BINARY, SSE, TEXT, build_frame, shared_window
from fastapi_rooms.tally import tally

JSON_TYPES: Final = frozenset({dict, list, str, int, float, bool, type(None)})
"""What JSON is read as: no models. To look here is quicker than to ask whether it is one."""

_LINE_END: Final = re.compile("\r\n|\n|\r")


class Payload:
    """An outgoing message in its encoded form: immutable, and shared by all its recipients.

    Attributes:
        event: The ASGI `websocket.send` event (ASGI spec, "Send - send event"). Shared: never changed.
        event_id: What an event stream names it by, in one line: who comes back with it gets what came after.
            `None`: nothing.
        size: Bytes on the wire without framing: UTF-8 for text.
        tally: One message of so many bytes; see `tally`.
    """

    __slots__ = ("_frames", "event", "event_id", "size", "tally")

    def __init__(self, data: str | bytes, *, size: int | None = None, event_id: str | None = None) -> None:
        self._frames: dict[int, bytes] | None = None
        self.event_id = event_id
        if isinstance(data, str):
            self.event: dict[str, Any] = {"type": "websocket.send", "text": data}
            if size is None:
                size = len(data) if data.isascii() else _utf8_size(data)
            self.size = size
        else:
            self.event = {"type": "websocket.send", "bytes": data}
            self.size = len(data)
        self.tally = tally(1, self.size)

    @property
    def data(self) -> str | bytes:
        """What the client receives: `str` as a text message, `bytes` as a binary one."""
        return cast("str | bytes", self.event.get("text", self.event.get("bytes")))

    def frame(self, window_bits: int) -> bytes:
        """The WebSocket frame (RFC 6455 §5.2), built once for all clients of one kind.

        Args:
            window_bits: What the client negotiated for compression (RFC 7692); 0: none.
        """
        window_bits = shared_window(self.size, window_bits)
        if self._frames is None:
            self._frames = {}
        frame = self._frames.get(window_bits)
        if frame is None:
            data = self.data
            opcode, raw = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
            frame = self._frames[window_bits] = build_frame(opcode, raw, window_bits=window_bits)
        return frame

    def sse(self) -> bytes:
        """The event of a stream (HTML, "Server-sent events"), built once for all: `id`, and the text as `data`.

        Whatever ends a line in the text is a line feed at the client.

        Raises:
            UnencodableMessage: It is binary.
        """
        if self._frames is None:
            self._frames = {}
        event = self._frames.get(SSE)
        if event is None:
            text = self.data
            if not isinstance(text, str):
                raise UnencodableMessage(message_type=bytes, detail="an event stream carries text")
            head = "" if self.event_id is None else f"id: {self.event_id}\n"
            data = "\ndata: ".join(_LINE_END.split(text))
            event = self._frames[SSE] = f"{head}data: {data}\n\n".encode()
        return event

    @classmethod
    def of(cls, message: object) -> "Payload":
        """Encode a message as `send` and `broadcast` take it.

        `str` becomes a text message and bytes-like a binary one, as they are. A Pydantic model, and anything
        else that is JSON-able, becomes compact JSON in a text message.

        Raises:
            UnencodableMessage: It is none of these, or holds lone surrogates.
        """
        if isinstance(message, Payload):
            return message
        if isinstance(message, str):
            return cls(message)
        if isinstance(message, (bytes, bytearray, memoryview)):
            return cls(bytes(message))
        return cls.json(message)

    @classmethod
    def json(cls, value: object) -> "Payload":
        """Encode a value as JSON, a `str` too (`of` would send it as it is).

        Raises:
            UnencodableMessage: It is not JSON-able, or holds lone surrogates.
        """
        encoded = encode_json(value)
        return cls(encoded.decode(), size=len(encoded))


def _utf8_size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise UnencodableMessage(message_type=str, detail=f"it is not valid Unicode: {error}") from error


def encode_json(value: object) -> bytes:
    """Compact JSON, the same with and without orjson (for keys that are text or integers).

    Models (by alias, as in FastAPI's responses), dataclasses, dates, UUIDs, enums and sets are taken as Pydantic
    takes them; NaN and infinity, which JSON does not have, become `null` (RFC 8259 §6).

    Raises:
        UnencodableMessage: The value is not JSON-able.
    """
    try:
        if type(value) not in JSON_TYPES and isinstance(value, BaseModel):
            return value.model_dump_json(by_alias=True).encode()
        if _orjson is not None:
            try:
                return _orjson.dumps(value, _jsonable, _orjson_options)
            except TypeError:
                pass  # integers beyond 64 bits, among others, which pydantic-core does take
        return to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise UnencodableMessage(message_type=type(value), detail=str(error)) from error


def _jsonable(value: object) -> object:
    return to_jsonable_python(value, inf_nan_mode="null")


class _Orjson(Protocol):
    def dumps(self, value: object, default: object, option: int, /) -> bytes: ...


def _load_orjson() -> tuple[_Orjson | None, int]:
    try:
        module = import_module("orjson")
    except ImportError:
        return None, 0
    options = (
        module.OPT_NON_STR_KEYS
        | module.OPT_PASSTHROUGH_DATETIME
        | module.OPT_PASSTHROUGH_DATACLASS
        | module.OPT_PASSTHROUGH_SUBCLASS
    )
    return cast("_Orjson", module), options


_orjson, _orjson_options = _load_orjson()
