"""A hub served in memory, and clients that speak its protocol by hand."""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from fastapi_rooms.auth import TokenAuth
from fastapi_rooms.errors import ExpiredToken
from fastapi_rooms.hub import Hub
from fastapi_rooms.identity import Identity
from fastapi_rooms.protocol.reading import SUBPROTOCOL
from fastapi_rooms.protocol.server_frames import SERVER_FRAMES
from fastapi_rooms.testing import Client, WaitTimeout, WebSocketSession
from hub.usual import whole

Frame = dict[str, Any]

MODELS = {kind.model_fields["type"].default: kind for kind in SERVER_FRAMES}


async def verify(token: str) -> str | None:
    """The user is called as the token; `bad` is nobody's, and `old` has expired."""
    if token == "old":
        raise ExpiredToken("the token has expired")
    return None if token.startswith("bad") else token


def auth_of_names() -> TokenAuth[str]:
    return TokenAuth(verify)


def app_of(hub: Hub[Any], **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.include_router(hub.router, prefix="/live")
    return app


@asynccontextmanager
async def served(hub: Hub[Any], **options: Any) -> AsyncIterator[Client]:
    """The app of a hub, running; afterwards nobody may be left in it."""
    async with Client(app_of(hub), **options) as client:
        yield client
    assert len(hub) == 0
    assert hub.rooms == ()
    assert not hub._exchanges
    assert not hub._host.sessions


class Talk:
    """One client.

    Attributes:
        ws: Its WebSocket.
        connected: What the server said first.
        passed: Frames that came while another was waited for.
    """

    def __init__(self, ws: WebSocketSession) -> None:
        self.ws = ws
        self.connected: Frame = {}
        self.passed: list[Frame] = []
        self._heard: deque[Frame] = deque()
        self._id = 100

    async def say(self, *frames: Frame) -> None:
        """One message: a frame, or an array of several."""
        await self.ws.send_text(json.dumps(frames[0] if len(frames) == 1 else frames))

    async def hear(self, *, timeout: float | None = None) -> Frame:
        """The next frame, whichever it is; it must be one that the protocol knows."""
        while not self._heard:
            message = await self.ws.receive_json(timeout=timeout)
            self._heard.extend(message if isinstance(message, list) else [message])
        frame = self._heard.popleft()
        told = MODELS[frame.get("type")].model_validate(frame).model_dump(mode="json")
        assert told == frame, "more, or less, than the model has"
        return whole(frame)

    async def until(self, kind: str, *, timeout: float | None = None, **fields: Any) -> Frame:
        """The next frame of this type and with these fields; what comes before is in `passed`."""
        try:
            while True:
                frame = await self.hear(timeout=timeout)
                if frame["type"] == kind and fields.items() <= frame.items():
                    return frame
                self.passed.append(frame)
        except WaitTimeout as error:
            error.add_note(f"waited for {kind} {fields}; came: {self.passed}")
            raise

    async def ask(self, kind: str, **fields: Any) -> Frame:
        """Say a frame with an id of its own, and return the answer."""
        self._id += 1
        await self.say({"type": kind, "id": self._id, **fields})
        while (frame := await self.hear()).get("id") != self._id:
            self.passed.append(frame)
        return frame

    async def join(self, room: str, **fields: Any) -> Frame:
        joined = await self.ask("join", room=room, **fields)
        assert joined["type"] == "joined", joined
        return joined

    async def send(self, command: str, data: Any = None, **fields: Any) -> Frame:
        return await self.ask("send", command=command, data=data, **fields)

    async def reply(self, command: str, data: Any = None, **fields: Any) -> Any:
        """What a command is answered with; it must not be an error."""
        answer = await self.send(command, data, **fields)
        assert answer["type"] == "reply", answer
        return answer["data"]

    async def error(self, kind: str, **fields: Any) -> Frame:
        """What is wrong with a frame, without type and id."""
        answer = await self.ask(kind, **fields)
        assert answer["type"] == "error", answer
        return {key: value for key, value in answer.items() if key not in ("type", "id")}

    async def nothing_heard(self) -> None:
        """Nothing comes for a moment."""
        assert not self._heard
        await self.ws.receive_nothing()

    async def nothing_more(self) -> None:
        """All that was said before was heard: the answer to a ping comes next."""
        await self.say({"type": "ping"})
        assert await self.hear() == {"type": "pong"}


@asynccontextmanager
async def socket(client: Client, **options: Any) -> AsyncIterator[Talk]:
    """A client that has said nothing yet."""
    options.setdefault("subprotocols", [SUBPROTOCOL])
    async with client.websocket("/live/websocket", **options) as ws:
        yield Talk(ws)


@asynccontextmanager
async def talking(client: Client, token: str | None = None, **options: Any) -> AsyncIterator[Talk]:
    """A client that is connected."""
    async with socket(client, **options) as talk:
        told = {} if token is None else {"token": token}
        await talk.say({"type": "connect", "id": 1, **told})
        talk.connected = await talk.hear()
        assert talk.connected["type"] == "connected", talk.connected
        assert talk.connected["id"] == 1
        yield talk


def user(name: str, *, expires_at: float | None = None) -> Identity:
    return Identity(subject=name, expires_at=expires_at)


async def answer(handler: Callable[..., Any], data: Any = None, *, room: str | None = None) -> Any:
    """What a hub with this handler answers."""
    hub: Hub[Any] = Hub()
    hub.on("do")(handler)
    async with served(hub) as client, talking(client) as talk:
        if room is not None:
            await talk.join(room)
        frame = await talk.send("do", data, **({} if room is None else {"room": room}))
        if frame["type"] == "reply":
            return frame["data"]
        return {key: value for key, value in frame.items() if key not in ("type", "id")}
