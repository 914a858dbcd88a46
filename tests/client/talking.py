"""A conversation, and what a server says in it, by hand."""

import json
from typing import Any, TypeVar

from fastapi_rooms.client.composing import Raw
from fastapi_rooms.client.conversation import Conversation
from fastapi_rooms.client.happenings import Entered, Happening, Said
from fastapi_rooms.client.hearing import hear
from fastapi_rooms.client.membership import Membership

Frame = dict[str, Any]
T = TypeVar("T")

LIVES = Raw("{}")

HALF = 0.5
"""What the random numbers of these conversations are."""


class Talk:
    """A conversation whose clock stands still unless a test moves it.

    Attributes:
        conversation: It.
        now: The time.
        told: What has happened.
    """

    def __init__(self, *, queue: int = 3) -> None:
        self.conversation = Conversation(queue=queue, least=1.0, most=8.0, random=lambda: HALF)
        self.now = 1000.0
        self.told: list[Happening] = []

    def open(self, token: str | None = None, *, life: float | None = None) -> list[Frame]:
        """A connection opens; what is said first."""
        self.conversation.opened(token, life=life, until=self.now + 10)
        return self.said()

    def connect(self, *, heartbeat: float | None = None, life: float | None = None) -> list[Frame]:
        """A connection opens, and the hub welcomes it; what is said first."""
        frames = self.open(life=life)
        connect = next(frame for frame in frames if frame["type"] == "connect")
        self.hear(
            {"type": "connected", "id": connect["id"], "connection": "c", "user": "ann", "heartbeat": heartbeat}
        )
        return frames

    def join(self, name: str = "lobby", *, since: str | None = None, **joined: Any) -> Membership:
        """Join a room, and be told so."""
        membership = self.conversation.join(name, since)
        (frame,) = self.said()
        self.hear({"type": "joined", "id": frame["id"], "room": name, **joined})
        return membership

    def hear(self, *frames: Frame) -> None:
        """The server says this, in one message."""
        hear(self.conversation, json.dumps(frames), now=self.now)

    def said(self) -> list[Frame]:
        """What the client says now."""
        frames: list[Frame] = []
        while (message := self.conversation.take()) is not None:
            frames += json.loads(message)
        return frames

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.conversation.tick(self.now)

    def break_off(self) -> None:
        self.conversation.ended()

    def happened(self) -> list[Happening]:
        """What has happened since this was asked last."""
        return self.conversation.happened()

    def of(self, kind: type[T]) -> list[T]:
        """Those of one kind, since anything was asked last."""
        return [one for one in self.happened() if isinstance(one, kind)]

    def messages(self) -> list[Any]:
        """The data of the messages that were delivered, and "joined" where that was told."""
        return [
            "joined" if isinstance(one, Entered) else one.message.data
            for one in self.happened()
            if isinstance(one, (Entered, Said))
        ]


def message(data: Any, position: str | None = None, *, room: str = "lobby", event: str = "said") -> Frame:
    frame = {"type": "message", "room": room, "event": event, "data": data}
    return frame if position is None else {**frame, "position": position}


def ask(talk: Talk, *, membership: Membership | None = None) -> int:
    """A request; its id."""
    return talk.conversation.request("send", "say", LIVES, membership)
