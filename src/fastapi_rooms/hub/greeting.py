"""The first exchange with a client: it says `connect`, and who it is."""

import json
from typing import Any, Final

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import AuthenticationError, CloseCode, ConfigurationError, InvalidToken, MissingToken
from fastapi_rooms.identity import user_id_of
from fastapi_rooms.options import Heartbeat
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Authenticator
from fastapi_rooms.protocol.client_frames import ClientFrame, Connect
from fastapi_rooms.protocol.reading import BadMessage, Flaw, read
from fastapi_rooms.protocol.server_frames import PONG, Connected

_PINGS: Final = frozenset(('{"type":"ping"}', '[{"type":"ping"}]'))


class NotAGreeting(AuthenticationError):
    """The first frame is not `connect`."""

    code = CloseCode.BAD_FRAME


class Greeting:
    """A `Greeter` for one connection.

    Args:
        auth: What tokens are shown to. `None`: none are asked for, nor looked at.
        known: The user, if the handshake has told. `None`: it has not.
        heartbeat: The hub's.
        knows: Whether what the handshake has told is all, and no `connect` comes, nor anything else.
        refused: What is wrong with the handshake's credential; `None`: nothing.

    Attributes:
        knows: See above.
        first: The client's `connect`, once it is there.
        rest: What else came with it.
    """

    def __init__(
        self,
        auth: Authenticator | None,
        known: object,
        heartbeat: Heartbeat | None,
        *,
        knows: bool = False,
        refused: AuthenticationError | None = None,
    ) -> None:
        self._auth = auth
        self._known = known
        self._heartbeat = heartbeat
        self.knows = knows
        self._refused = refused
        self.first: Connect | None = None
        self.rest: list[ClientFrame | Flaw] = []

    async def greet(self, connection: Connection[Any]) -> object:
        """The user; see `Greeter`.

        Raises:
            NotAGreeting: Something else came first.
            AuthenticationError: The token is refused, or there is none.
        """
        if self._refused is not None:
            raise self._refused
        if self.knows:
            return self._known
        message = await connection.receive_text()
        try:
            first, *self.rest = read(message)
        except BadMessage as error:
            raise NotAGreeting(str(error)) from None
        if isinstance(first, Flaw):
            raise NotAGreeting(f"connect: {first.field}: {first.detail}" if first.field else first.detail)
        if not isinstance(first, Connect):
            raise NotAGreeting("the first frame must be connect")
        self.first = first
        return await self._user_of(first.token)

    def welcome(self, connection: Connection[Any]) -> None:
        """Say that it is connected; see `Greeter`."""
        heartbeat = self._heartbeat
        silence = None
        if heartbeat is not None and heartbeat.message is not None and not self.knows:
            silence = heartbeat.interval + heartbeat.timeout
        connected = Connected(
            id=None if self.first is None else self.first.id,
            connection=connection.id,
            user=connection.user_id,
            heartbeat=silence,
        )
        connection.link.control(connected.payload())

        def answer_at_once(message: str | bytes) -> bool:
            """Answer a ping while a handler is busy with what came before it; whether it was one, alone."""
            return message in _PINGS and connection.link.control(PONG)

        connection.link.reader.intercept = answer_at_once

    async def _user_of(self, token: str | None) -> object:
        if self._auth is None:
            return self._known
        if token is None:
            if self._known is None:
                raise MissingToken("no token was given")
            return self._known
        user = await self._auth.authenticate(token)
        if self._known is not None and user_id_of(user) != user_id_of(self._known):
            raise InvalidToken("the token is another user's than the handshake's")
        return user


def check_heartbeat(heartbeat: Heartbeat | None) -> None:
    """Refuse a heartbeat that clients cannot read.

    Raises:
        ConfigurationError: Its message is no frame.
    """
    if heartbeat is None or heartbeat.message is None:
        return
    try:
        frame = json.loads(Payload.of(heartbeat.message).data)
    except ValueError:
        frame = None
    if not (isinstance(frame, dict) and isinstance(frame.get("type"), str)):
        raise ConfigurationError(
            f"Heartbeat(message={heartbeat.message!r}): a hub's is a frame with a type, such as the default"
        )
