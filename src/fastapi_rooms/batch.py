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
    """Messages in their order. `then` makes the batch that has one more, and leaves this one as it is.

    Connections that got the same messages in a turn of the loop hold the very same batch, for `then` remembers
    what it made last: a broadcast to a thousand makes one, and `joined` joins it once. And where a room hears
    several broadcasts in a turn, and nothing else, `add` puts the next one in for all of them at once.

    Attributes:
        holders: Recipients: they hold this batch, all of them, and nobody else does. `None`: that is not sure.
            Whoever lets go of a batch, or must not get what others get, says so here.
        last: The last message; `None` where there is none.
        count: Messages.
        size: Their bytes, without framing.
        tally: Both in one; see `tally`.
        full: Whether it should be written without waiting for more.
    """

    __slots__ = ("_joined", "_next", "_payloads", "_shared", "count", "full", "holders", "last", "size", "tally")

    def __init__(self, payloads: list[Payload], *, size: int) -> None:
        self.last = payloads[-1] if payloads else None
        self._payloads = payloads  # shared by the batches that grow from this one: the first `count` are ours
        self._next: Batch | None = None
        self._joined: dict[int, Any] | None = None
        self._shared = False
        self.holders: object = None
        self.count = len(payloads)
        self.size = size
        self.tally = tally(self.count, size)
        self.full = size + self.count * HEADER_BYTES >= FULL

    def then(self, payload: Payload) -> "Batch":
        """This batch and one message more: for somebody who lets go of this one."""
        self.holders = None
        following = self._next
        if following is None or following.last is not payload or following.count != self.count + 1:
            following = self._next = self._grow(payload)
        else:
            following._shared = True
            following.holders = None
        return following

    def hold(self, recipients: object) -> None:
        """These hold it, and nobody else does, unless `then` gave it to somebody else too."""
        if not self._shared:
            self.holders = recipients

    def add(self, payload: Payload) -> None:
        """Put one message more in, where it is for all `holders`."""
        self._payloads = self._grown(payload)
        self._next = self._joined = None
        self.last = payload
        self.count += 1
        self.size += payload.size
        self.tally += payload.tally
        self.full = self.size + self.count * HEADER_BYTES >= FULL

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
        return Batch(self._grown(payload), size=self.size + payload.size)

    def _grown(self, payload: Payload) -> list[Payload]:
        payloads = self._payloads
        if len(payloads) != self.count or not self.count:
            payloads = payloads[: self.count]  # another batch has grown from this one already
        payloads.append(payload)
        return payloads


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
