"""What the clients of event streams say: by requests, which any process may get."""

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

from pydantic import BaseModel, Field, StrictStr

from fastapi_rooms.across import Across
from fastapi_rooms.errors import MessageTooLarge
from fastapi_rooms.protocol.client_frames import MOST_ID
from fastapi_rooms.protocol.reading import MOST_FRAMES, parse

TAKEN: Final = 204
ANOTHER_USER: Final = 403
NO_SESSION: Final = 404
OUT_OF_ORDER: Final = 409
TOO_LONG: Final = 413
FULL: Final = 429
OUT_OF_REACH: Final = 503

SPACE_WITHIN: Final = 2.0
"""Seconds that a request waits for space in its connection's inbox."""


class Up(BaseModel):
    """A request of a client.

    Attributes:
        session: The stream that it speaks for.
        number: Its own count of them, from 1.
        frames: What it says.
    """

    session: Annotated[StrictStr, Field(max_length=200)]
    number: Annotated[int, Field(strict=True, ge=1, le=MOST_ID)]
    frames: Annotated[list[Any], Field(min_length=1, max_length=MOST_FRAMES)]

    def message(self) -> str:
        """What it says, as a message on a WebSocket."""
        return json.dumps(self.frames, separators=(",", ":"))  # which has no trouble with half of a character


class _Passed(BaseModel):
    """The same, from one process to another, with whose it is: "" nobody's."""

    session: StrictStr
    number: int
    frames: list[Any]
    user: str


class Inlet(Protocol):
    """Where what a client says goes in."""

    async def push(self, message: str) -> bool:
        """Hand over a message, once there is space; False: the stream has ended."""
        ...


class Whose(Protocol):
    """Whose stream it is."""

    user_id: str | None


@dataclass(slots=True)
class _Uplink:
    """What one stream's client has said so far."""

    inlet: Inlet
    busy: asyncio.Lock
    user_id: str | None
    connection: Whose | None = None
    number: int = 0

    def is_anothers(self, user: str | None) -> bool:
        """Whether this user is not the one who may speak here; `None`: who has the secret may."""
        known = self.user_id if self.connection is None else self.connection.user_id
        return user is not None and known not in (None, user)


class Uplinks:
    """The event streams of this process, by their secrets.

    Args:
        across: The other processes.
        most: `Limits.message_bytes`.
    """

    def __init__(self, across: Across, *, most: int | None) -> None:
        self._across = across
        self._most = most
        self._uplinks: dict[str, _Uplink] = {}

    def __len__(self) -> int:
        return len(self._uplinks)

    def open(self, inlet: Inlet, user_id: str | None) -> str:
        """A new stream's session, for the client alone; and whose it is, as far as its request says."""
        secret = secrets.token_urlsafe(24)
        self._uplinks[secret] = _Uplink(inlet, asyncio.Lock(), user_id)
        return f"{self._across.process}.{secret}"

    def belongs(self, session: str, connection: Whose) -> None:
        """Whose stream it is, from now on."""
        self._uplinks[_secret_of(session)].connection = connection

    def close(self, session: str) -> None:
        """The stream has ended."""
        self._uplinks.pop(_secret_of(session), None)

    async def take(self, up: Up, user: str | None) -> int:
        """What a client says, wherever its stream is; the status of the answer."""
        process, _, _ = up.session.partition(".")
        if process == self._across.process:
            return await self._take_here(up, user)
        if not self._across.knows(process):
            return NO_SESSION  # it has gone, and its streams with it; or it is invented
        passed = json.dumps({**up.model_dump(), "user": user or ""}).encode()
        try:
            answer = await self._across.request(process, passed, within=SPACE_WITHIN + 1)
        except MessageTooLarge:
            return TOO_LONG
        return int(answer) if answer is not None and answer.isdigit() else OUT_OF_REACH

    async def requested(self, body: bytes) -> bytes:
        """Another process got a request for a stream of this one."""
        try:
            passed = _Passed.model_validate(json.loads(body))
        except ValueError:
            return b"%d" % NO_SESSION
        up = Up.model_construct(session=passed.session, number=passed.number, frames=passed.frames)
        return b"%d" % await self._take_here(up, passed.user or None)

    async def _take_here(self, up: Up, user: str | None) -> int:
        uplink = self._uplinks.get(_secret_of(up.session))
        if uplink is None:
            return NO_SESSION
        if uplink.is_anothers(user):
            return ANOTHER_USER
        try:
            async with asyncio.timeout(SPACE_WITHIN), uplink.busy:
                return await _push(uplink, up, most=self._most)
        except TimeoutError:
            return FULL


async def _push(uplink: _Uplink, up: Up, *, most: int | None) -> int:
    if up.number == uplink.number:
        return TAKEN  # it was taken, and the answer was lost
    if up.number != uplink.number + 1:
        return OUT_OF_ORDER
    message = up.message()
    if most is not None and len(message) > most:
        return TOO_LONG
    if not await uplink.inlet.push(message):
        return NO_SESSION
    uplink.number = up.number
    return TAKEN


def _secret_of(session: str) -> str:
    return session.partition(".")[2]


def read_up(body: bytes) -> Up | None:
    """A request's body; `None`: it is none."""
    try:
        return Up.model_validate(parse(body)[0])
    except ValueError:
        return None
