"""What is said with one client, once it is connected: its frames, one after the other, and their answers."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, Protocol, assert_never

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import (
    CloseCode,
    ConfigurationError,
    ConnectionClosed,
    DisconnectReason,
    InvalidToken,
)
from fastapi_rooms.fanout import Delivery
from fastapi_rooms.hooks import cancellations, check_cancelled
from fastapi_rooms.hub.commands import Commands
from fastapi_rooms.hub.failures import INTERNAL, HubError, blame_client, refusal_of
from fastapi_rooms.hub.room import HubRoom
from fastapi_rooms.identity import expires_at_of
from fastapi_rooms.memberships import Joined
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Authenticator
from fastapi_rooms.protocol.client_frames import (
    ClientFrame,
    Connect,
    Join,
    Leave,
    Publish,
    Refresh,
    Send,
    Tell,
)
from fastapi_rooms.protocol.reading import BadMessage, Flaw, read, read_one
from fastapi_rooms.protocol.server_frames import PONG, ErrorFrame, JoinedFrame, LeftFrame, reply
from fastapi_rooms.send_queue import check_size


class Rooms(Protocol):
    """What an exchange asks of its hub."""

    auth: Authenticator | None
    commands: Commands

    def room(self, name: str) -> HubRoom[Any]:
        """A handle."""
        ...

    async def join(self, connection: Connection[Any], room: str, *, since: str | None = None) -> Joined:
        """Make it a member."""
        ...

    def joined(self, connection: Connection[Any], room: str) -> Joined | None:
        """What `join` said."""
        ...

    async def leave(self, connection: Connection[Any], room: str) -> bool:
        """Make it none."""
        ...

    async def may_publish(self, connection: Connection[Any], room: str, event: str) -> bool:
        """Whether it may."""
        ...

    async def broadcast(self, message: object, *, room: str, event: str) -> Delivery:
        """Say it to the members."""
        ...

    async def update_presence(
        self, connection: Connection[Any], room: str, metadata: Mapping[str, object]
    ) -> bool:
        """Tell it of the connection."""
        ...

    def has_presence(self, room: str) -> bool:
        """Whether it is told who is in the room."""
        ...

    def tell_present(self, connection: Connection[Any], room: str) -> None:
        """Send it who is there, soon."""
        ...

    async def failed(self, connection: Connection[Any], name: str, error: Exception) -> None:
        """Log and report what is nobody's wish."""
        ...


class Exchange:
    """The frames of one connection.

    Args:
        hub: Its hub.
        connection: Which.

    Attributes:
        leaving: The room that the client itself is leaving just now, or `None`.
    """

    def __init__(self, hub: Rooms, connection: Connection[Any]) -> None:
        self._hub = hub
        self._connection = connection
        self.leaving: str | None = None
        self._told: set[str] = set()  # rooms of which it was told who is present

    def left(self, room: str) -> bool:
        """A call of ours has ended a membership; whether the client itself asks for that."""
        self._told.discard(room)
        return self.leaving == room

    async def take(self, message: str) -> None:
        """Handle a message; nothing that a client says raises.

        Raises:
            ConnectionClosed: The connection has ended meanwhile.
        """
        frame = read_one(message)
        if frame is not None:
            if self._connection.disconnect is None:
                await self._take(frame)
            return
        try:
            frames = read(message)
        except BadMessage as error:
            self._connection.link.shut(DisconnectReason.INVALID_MESSAGE, CloseCode.BAD_FRAME, str(error))
            return
        if len(frames) == 1 or self._connection.link.reader.charge(len(frames) - 1):
            await self.take_all(frames)

    async def take_all(self, frames: list[ClientFrame | Flaw]) -> None:
        """Handle frames, in order, until the connection ends."""
        for frame in frames:
            if self._connection.disconnect is not None:
                return
            await self._take(frame)

    def _take(self, frame: ClientFrame | Flaw) -> Awaitable[None]:
        if isinstance(frame, Flaw):
            return self._answer_flaw(frame)
        if frame.type == "ping":  # `isinstance` of a model takes ten times as long
            return self._say(PONG)
        if frame.type == "pong":
            return _nothing()
        return self._attempt(frame)

    async def enter(self, room: str, since: str | None) -> None:
        """Join a room that the client has not asked for by a frame, or say that it has joined it.

        Raises:
            JoinRefused: See `RoomManager.join`.
            ConnectionClosed: See there.
        """
        joined = self._hub.joined(self._connection, room)
        if joined is None:
            joined = await self._hub.join(self._connection, room, since=since)
        await self._say_joined(joined, None)

    async def _attempt(self, frame: Connect | Join | Leave | Send | Publish | Tell | Refresh) -> None:
        name = frame.command if frame.type == "send" else frame.type
        before = cancellations()
        try:
            try:
                answer = await (self._publish(frame) if frame.type == "publish" else self._handle(frame))
            except asyncio.CancelledError as error:
                check_cancelled(error, name, before=before)
                raise
        except ConnectionClosed as error:
            if error.connection_id == self._connection.id:
                raise
            await self._failed(name, error, frame.id)
        except Exception as error:  # noqa: BLE001 - a user's handler may raise anything
            asked = frame.type in {"publish", "presence"}  # what the client does by itself
            await self._failed(name, blame_client(error) if asked else error, frame.id)
        else:
            if answer is not None:
                await self._say(answer)

    async def _handle(self, frame: Connect | Join | Leave | Send | Tell | Refresh) -> Payload | None:
        """Do what a frame says; the answer, `None` where it wants none, or has had it."""
        data: object = None
        match frame:
            case Send():
                data = await self._run(frame)
            case Connect():
                raise HubError("invalid", "this connection is connected already")
            case Join():
                await self._join(frame)
                return None
            case Leave():
                return await self._leave(frame)
            case Tell():
                await self._tell(frame)
            case Refresh():
                data = await self._refresh(frame)
            case _:
                assert_never(frame)
        return None if frame.id is None else self._answer(frame.id, data)

    def _answer(self, frame_id: int, data: object) -> Payload:
        answer = reply(frame_id, data)
        check_size(answer, self._connection.link.queue_limits)
        return answer

    async def _join(self, frame: Join) -> None:
        joined = await self._hub.join(self._connection, frame.room, since=frame.since)
        if not joined.new:
            known = self._hub.joined(self._connection, frame.room) or joined
            joined = replace(joined, position=known.position)
            if frame.since is not None and known.position is not None and str(known.position) != frame.since:
                # The server has put it there, and nobody has sent what it missed.
                joined = replace(joined, recovered=False, reason="unavailable")
        await self._say_joined(joined, frame.id)

    async def _leave(self, frame: Leave) -> Payload:
        self._check_member(frame.room)
        self.leaving = frame.room
        try:
            await self._hub.leave(self._connection, frame.room)
        finally:
            self.leaving = None
        return LeftFrame(id=frame.id, room=frame.room).payload()

    async def _run(self, frame: Send) -> object:
        command = self._hub.commands.get(frame.command)
        if command is None:
            raise HubError("unknown_command", f"there is no command {frame.command!r}")
        room = None
        if frame.room is not None:
            self._check_member(frame.room)
            room = self._hub.room(frame.room)
        return await command.run(self._connection, room, frame.data, self._hub.auth)

    async def _publish(self, frame: Publish) -> Payload | None:
        room, event = frame.room, frame.event
        self._check_member(room)
        if not await self._hub.may_publish(self._connection, room, event):
            raise HubError("forbidden", "members may not publish in this room")
        await self._hub.broadcast(frame.data, room=room, event=event)
        return None if frame.id is None else self._answer(frame.id, None)

    async def _tell(self, frame: Tell) -> None:
        self._check_member(frame.room)
        await self._hub.update_presence(self._connection, frame.room, frame.metadata)

    async def _refresh(self, frame: Refresh) -> dict[str, float | None]:
        if self._hub.auth is None:
            raise HubError("invalid", "this hub asks for no tokens")
        user = await self._hub.auth.authenticate(frame.token)
        try:
            self._connection.refresh(user)
        except ConfigurationError:
            raise InvalidToken("the token is another user's") from None
        expires_at = expires_at_of(user)
        return {"expires_in": None if expires_at is None else round(expires_at - time.time(), 3)}

    def _check_member(self, room: str) -> None:
        if room not in (self._connection.memberships or ()):
            raise HubError("not_joined", "join the room first")

    async def _failed(self, name: str, error: Exception, frame_id: int | None) -> None:
        flaw = refusal_of(error, frame_id)
        if flaw is None:
            await self._hub.failed(self._connection, name, error)  # a WebSocketException ends the connection
            flaw = Flaw(code=INTERNAL, detail="this did not work; the server's log says why", id=frame_id)
        await self._answer_flaw(flaw)

    async def _say_joined(self, joined: Joined, frame_id: int | None) -> None:
        presence = joined.room not in self._told and self._hub.has_presence(joined.room)
        position = None if joined.position is None else str(joined.position)
        frame = JoinedFrame(
            id=frame_id,
            room=joined.room,
            position=position,
            recovered=joined.recovered,
            reason=joined.reason,
            presence=presence,
        )
        # On a stream that its page does not speak on, this is where it comes back to until the first message.
        await self._say(Payload(frame.payload().data, event_id=position if frame_id is None else None))
        if presence:
            self._told.add(joined.room)
            self._hub.tell_present(self._connection, joined.room)

    async def _answer_flaw(self, flaw: Flaw) -> None:
        if flaw.told:
            field = flaw.field or None
            await self._say(ErrorFrame(id=flaw.id, code=flaw.code, detail=flaw.detail, field=field).payload())

    async def _say(self, payload: Payload) -> None:
        link = self._connection.link
        if link.writer.accepting and not link.writer.offer_control(payload):
            await link.send(payload)  # the client's next frames wait, too: asking is no reason to be closed


async def _nothing() -> None:
    """What a pong asks for."""
