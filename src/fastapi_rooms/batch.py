"""The messages that go to a connection in one write, joined once for all that get the same ones."""

from collections.abc import Iterable
from typing import Any, Final

from fastapi_rooms.frames import HEADER_BYTES, JOINED_TEXT, SSE
from fastapi_rooms.payload import Payload
from fastapi_rooms.tally import tally

FULL: Final = 64 * 1024
"""Bytes from which a batch is written at once, without waiting for the end of the turn."""

Events = tuple[dict[str, Any], ...]
"""ASGI events that carry a batch, in their order. Shared: never changed."""


class Batch:
    """Messages in their order. Immutable: `then` makes the batch that has one more.

    Connections that got the same messages in a turn of the loop hold the very same batch, for `then` remembers
    what it made last: a broadcast to a thousand makes one, and `joined` joins it once.

    Attributes:
        last: The last message; `None` where there is none.
        count: Messages.
        size: Their bytes, without framing.
        tally: Both in one; see `tally`.
        full: Whether it should be written without waiting for more.
    """

    __slots__ = ("_joined", "_next", "_payloads", "count", "full", "last", "size", "tally")

    def __init__(self, payloads: list[Payload], *, size: int) -> None:
        self.last = payloads[-1] if payloads else None
        self._payloads = payloads  # shared by the batches that grow from this one: the first `count` are ours
        self._next: Batch | None = None
        self._joined: dict[int, Any] | None = None
        self.count = len(payloads)
        self.size = size
        self.tally = tally(self.count, size)
        self.full = size + self.count * HEADER_BYTES >= FULL

    def then(self, payload: Payload) -> "Batch":
        """This batch and one message more."""
        following = self._next
        if following is None or following.last is not payload:
            following = self._next = self._grow(payload)
        return following

    def joined(self, window_bits: int) -> Any:
        """All messages as they are written.

        Args:
            window_bits: What the client negotiated: their frames, as `bytes`. `JOINED_TEXT` or `SSE`: the
                `Events` that carry them, nearly always one.

        Raises:
            UnencodableMessage: There is a binary message among them, which `SSE` cannot carry.
        """
        if self._joined is None:
            self._joined = {}
        data = self._joined.get(window_bits)
        if data is None:
            data = self._joined[window_bits] = _join(self._payloads[: self.count], window_bits)
        return data

    def _grow(self, payload: Payload) -> "Batch":
        payloads = self._payloads
        if len(payloads) != self.count or not self.count:
            payloads = payloads[: self.count]  # another batch has grown from this one already
        payloads.append(payload)
        return Batch(payloads, size=self.size + payload.size)


def _join(payloads: list[Payload], window_bits: int) -> bytes | Events:
    if window_bits == JOINED_TEXT:
        return _text_events(payloads)
    if window_bits == SSE:
        body = b"".join([payload.sse() for payload in payloads])
        return ({"type": "http.response.body", "body": body, "more_body": True},)
    frames = [payload.frame(window_bits) for payload in payloads]
    return frames[0] if len(frames) == 1 else b"".join(frames)


def _text_events(payloads: Iterable[Payload]) -> Events:
    """An array for all texts; what is binary goes by itself, in its place."""
    events: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for payload in payloads:
        if "text" in payload.event:
            texts.append(payload.event)
        else:
            events += (*_one_text(texts), payload.event)
            texts = []
    return (*events, *_one_text(texts))


def _one_text(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(texts) < 2:
        return texts
    return [{"type": "websocket.send", "text": "[" + ",".join([one["text"] for one in texts]) + "]"}]
