"""The server's half of one WebSocket: what the app's `receive` and `send` do, in every phase."""

import asyncio
from enum import Enum
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Message

from fastapi_rooms.testing.errors import ClientGone, Closed, ProtocolViolation, Refused
from fastapi_rooms.testing.pipe import Buffer, Pipe
from fastapi_rooms.testing.scope import decode_headers
from fastapi_rooms.testing.waiting import Signal

MAX_REASON_BYTES: Final = 123
"""A close frame holds 125 bytes, two of which are the code (RFC 6455 §5.5)."""

_NOT_SENT_IN_A_FRAME: Final = frozenset({1004, 1005, 1006, 1015})


class Phase(Enum):
    """How far a WebSocket is, as the server sees it."""

    CONNECTING = "before accept"
    DENYING = "in a denial response"
    OPEN = "after accept"
    CLOSED = "after the end"


class ServerSide:
    """What a server does between an app and one client.

    Attributes:
        accepted: Whether the app has accepted.
        subprotocol: The one that it chose.
        headers: Those that it added to the handshake.
        refusal: How the app refused; `None` unless it did.
        pipe: What the app has sent and the test has not received.
        phase: How far the connection is.
        signal: Notified at every change.
    """

    def __init__(self, *, subprotocols: list[str], denial_response: bool, buffer: Buffer) -> None:
        self.accepted = False
        self.subprotocol: str | None = None
        self.headers = Headers()
        self.refusal: Refused | None = None
        self.phase = Phase.CONNECTING
        self.signal = Signal()
        self.pipe = Pipe(buffer, signal=self.signal, on_close_frame=self._close_frame_sent)
        self._subprotocols = subprotocols
        self._denial_response = denial_response
        self._denial: tuple[int, Headers] = (500, Headers())
        self._denial_body: list[bytes] = []
        self._client_gone = False
        self._disconnect_sent = False
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._to_app.put_nowait({"type": "websocket.connect"})

    @property
    def unreceived(self) -> int:
        """Events that wait for the app's `receive`."""
        return self._to_app.qsize()

    @property
    def disconnect_sent(self) -> bool:
        """Whether the app has been told, or will be at its next `receive`, that the connection is over."""
        return self._disconnect_sent

    async def receive(self) -> Message:
        """The app's `receive`. Cancelling it loses nothing; after the disconnect it waits for ever."""
        return await self._to_app.get()

    async def send(self, message: Message) -> None:
        """The app's `send`. Suspends only where the client has stopped reading and its buffers are full.

        Raises:
            ClientGone: The client has left.
            ProtocolViolation: The message is not allowed at this point.
        """
        kind = message["type"]
        if self._client_gone:
            raise ClientGone(message_type=kind)
        if self.phase is Phase.OPEN and kind == "websocket.send":
            await self.pipe.send(_data_of(message))
        elif self.phase is Phase.OPEN and kind == "websocket.close":
            await self.pipe.send(_close_of(message))
        elif self.phase is Phase.CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif self.phase is Phase.CONNECTING and kind == "websocket.close":
            self._refuse(403, Headers(), b"")
        elif self.phase is Phase.CONNECTING and kind == "websocket.http.response.start":
            self._start_denial(message)
        elif self.phase is Phase.DENYING and kind == "websocket.http.response.body":
            self._continue_denial(message)
        else:
            raise ProtocolViolation(f"{kind!r} is not allowed {self.phase.value}")

    def message_from_client(self, event: dict[str, Any]) -> None:
        """Queue a message for the app; a server that has closed discards it."""
        if self.phase is Phase.OPEN:
            self._to_app.put_nowait({"type": "websocket.receive", **event})

    def client_left(self, closed: Closed) -> None:
        """The client closed, or its network did: the app is told, and its sends raise from now on."""
        self.pipe.cut(closed, in_order=False)
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._client_gone = True
            self._disconnect(closed)

    def drop(self, closed: Closed) -> None:
        """The server ends the connection by itself, whatever the app is doing: the app's sends raise."""
        if self.phase is Phase.CLOSED:
            return
        self._client_gone = True
        if self.phase is Phase.OPEN:
            self.pipe.cut(closed, in_order=True)
            self._close_frame_sent(closed)
        else:
            self._refuse(500, Headers(), b"Internal Server Error")

    def _accept(self, message: Message) -> None:
        subprotocol = message.get("subprotocol")
        headers = decode_headers(message.get("headers", ()))
        if subprotocol is not None and subprotocol not in self._subprotocols:
            raise ProtocolViolation(
                f"the subprotocol {subprotocol!r} was not offered ({self._subprotocols}): "
                "clients then fail the connection (RFC 6455 §4.1)"
            )
        if "sec-websocket-protocol" in headers:
            raise ProtocolViolation("the subprotocol belongs into 'subprotocol', not into 'headers'")
        self.phase = Phase.OPEN
        self.accepted, self.subprotocol, self.headers = True, subprotocol, headers
        self.signal.notify()

    def _start_denial(self, message: Message) -> None:
        if not self._denial_response:
            raise ProtocolViolation("this server lacks the extension 'websocket.http.response'")
        self.phase = Phase.DENYING
        self._denial = (message["status"], decode_headers(message.get("headers", ())))

    def _continue_denial(self, message: Message) -> None:
        self._denial_body.append(message.get("body", b""))
        if not message.get("more_body", False):
            self._refuse(*self._denial, b"".join(self._denial_body))

    def _refuse(self, status: int, headers: Headers, body: bytes) -> None:
        self.phase = Phase.CLOSED
        self.refusal = Refused(status=status, headers=headers, body=body)
        self._disconnect(Closed(1006))
        self.signal.notify()

    def _close_frame_sent(self, closed: Closed) -> None:
        self.phase = Phase.CLOSED
        self._disconnect(closed)

    def _disconnect(self, closed: Closed) -> None:
        self._disconnect_sent = True
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason})


def check_close(code: int, reason: str) -> str | None:
    """What is wrong with a close code and reason, or `None` (RFC 6455 §7.4)."""
    if not 1000 <= code <= 4999 or code in _NOT_SENT_IN_A_FRAME:
        return f"{code} cannot be sent as a close code"
    if len(reason.encode()) > MAX_REASON_BYTES:
        return f"the close reason is longer than {MAX_REASON_BYTES} bytes"
    return None


def _data_of(message: Message) -> str | bytes:
    text, data = message.get("text"), message.get("bytes")
    if isinstance(text, str) and data is None:
        text.encode()  # lone surrogates raise here, as they do in servers
        return text
    if isinstance(data, bytes) and text is None:
        return data
    raise ProtocolViolation(f"'websocket.send' needs either 'text' as str or 'bytes' as bytes: {message!r:.200}")


def _close_of(message: Message) -> Closed:
    code, reason = message.get("code", 1000), message.get("reason") or ""
    if (fault := check_close(code, reason)) is not None:
        raise ProtocolViolation(fault)
    return Closed(code, reason)
