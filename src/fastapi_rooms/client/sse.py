"""The way to a hub where WebSockets do not pass: an event stream down, and numbered requests up."""

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Final

from fastapi_rooms.client.composing import as_json
from fastapi_rooms.client.events import Events, EventTooLong
from fastapi_rooms.client.reading import BrokenMessage, Frame, given, needed, read
from fastapi_rooms.client.returning import BROKEN, End
from fastapi_rooms.client.wire import CannotOpen, WireEnded
from fastapi_rooms.errors import CloseCode, MissingExtra

try:
    import httpx
except ImportError as error:
    raise MissingExtra(extra="client", feature="RoomsClient") from error

_STREAM: Final = "text/event-stream"
_CODES: Final = {401: CloseCode.BAD_TOKEN, 403: CloseCode.FORBIDDEN}
"""What a stream that is refused is taken for."""

_MOST_PAUSE: Final = 20.0
"""Seconds between two attempts at the same request, unless the server asks for more."""


class EventStreamOpener:
    """Opens event streams.

    Args:
        url: Of the hub's stream.
        headers: Sent with each request.
        tls: For `https://`; `None`: as httpx does by default.
        timeout: Seconds for the answer to one request.
        least: Seconds: the longest random time between the first and the second attempt at a request; it doubles.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        tls: ssl.SSLContext | None,
        timeout: float,
        least: float,
    ) -> None:
        self._url = url
        self._headers = headers
        self._tls = tls
        self._timeout = timeout
        self._least = least

    async def open(self) -> "EventStreamWire":
        """See `Opener`."""
        http = httpx.AsyncClient(
            headers=dict(self._headers),
            timeout=httpx.Timeout(self._timeout),
            verify=_trusted() if self._tls is None else self._tls,
        )
        try:
            wire = EventStreamWire(http, await self._stream(http), self._url, least=self._least)
            await _meet(wire)
        except BaseException:
            await http.aclose()
            raise
        return wire

    async def _stream(self, http: httpx.AsyncClient) -> httpx.Response:
        request = http.build_request("GET", self._url, headers={"accept": _STREAM, "cache-control": "no-store"})
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": None}
        try:
            stream = await http.send(request, stream=True)
        except httpx.ConnectError as error:
            raise CannotOpen(End(reason=_why(error)), answered=False) from error
        except httpx.HTTPError as error:
            raise CannotOpen(End(reason=_why(error)), answered=True) from error
        try:
            _check(stream)
        except CannotOpen:
            await stream.aclose()
            raise
        return stream


class EventStreamWire:
    """An open event stream; see `Wire`.

    Args:
        http: Its own: closed with it.
        stream: The answer that does not end.
        url: Of the hub's stream.
        least: See `EventStreamOpener`.
    """

    def __init__(self, http: httpx.AsyncClient, stream: httpx.Response, url: str, *, least: float) -> None:
        self._http = http
        self._stream = stream
        self._pieces = stream.aiter_bytes()
        self._url = url
        self._least = least
        self._events = Events()
        self._waiting: deque[str] = deque()
        self._session = ""
        self._number = 0

    def meet(self, session: str, rest: str | None) -> None:
        """Take the session, by whose secret requests are known, and what came with it."""
        self._session = session
        if rest is not None:
            self._waiting.appendleft(rest)

    async def receive(self) -> str | bytes:
        """See `Wire`."""
        while not self._waiting:
            self._waiting += await self._more()
        return self._waiting.popleft()

    async def send(self, frames: str) -> None:
        """See `Wire`. A request that is not answered, or answered with "not now", is sent again as it was."""
        self._number += 1
        body = f'{{"session":{as_json(self._session)},"number":{self._number},"frames":{frames}}}'
        tries = 0
        while (again := await self._post(body)) is not None:
            longest = min(_MOST_PAUSE, self._least * float(2 ** min(tries, 30)))
            await asyncio.sleep(max(again, random.random() * longest))  # noqa: S311 - no secret
            tries += 1

    async def close(self, *, politely: bool) -> None:
        """See `Wire`. There is nothing to say goodbye with: the server sees the stream end."""
        with suppress(httpx.HTTPError):
            await self._stream.aclose()
            await self._http.aclose()

    async def _more(self) -> list[str]:
        try:
            return self._events.feed(await anext(self._pieces))
        except (StopAsyncIteration, httpx.HTTPError, httpx.StreamError, EventTooLong) as error:
            raise WireEnded(End(reason=_why(error) or "the stream has ended")) from None

    async def _post(self, body: str) -> float | None:
        """One attempt; `None`: it is taken. Else seconds to wait at least until the next."""
        try:
            headers = {"content-type": "application/json"}
            answer = await self._http.post(self._url, content=body.encode(), headers=headers)
        except httpx.HTTPError:
            return 0.0
        if answer.is_success:
            return None
        status = answer.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return _retry_after(answer)
        code = CloseCode.MESSAGE_TOO_BIG if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE else BROKEN
        raise WireEnded(End(code, f"the server answered {status}"))


@cache
def _trusted() -> ssl.SSLContext:
    """What httpx trusts by default; it takes some 40 ms to read, and one does for all connections."""
    return httpx.create_ssl_context()


async def _meet(wire: EventStreamWire) -> None:
    """Wait until the stream says by which session it is known."""
    try:
        frames = read(await wire.receive())
        session, end = _session_in(frames)
    except WireEnded as error:
        raise CannotOpen(error.end, answered=True) from None
    except BrokenMessage as error:
        raise CannotOpen(End(reason=str(error)), answered=True) from None
    if session is None:
        raise CannotOpen(end, answered=True)
    wire.meet(session, as_json(frames[1:]) if len(frames) > 1 else None)


def _session_in(frames: list[Frame]) -> tuple[str | None, End]:
    """The session that the first message has; `None`: it has none, and how that is an end."""
    first = frames[0] if frames else {}
    if first.get("type") == "session":
        return needed(first, "session", str), End()
    if first.get("type") == "close":
        return None, End(needed(first, "code", int), given(first, "reason", str) or "")
    return None, End(reason="the stream does not begin with its session")


def _check(stream: httpx.Response) -> None:
    status = stream.status_code
    if not stream.is_success:
        end = End(_CODES.get(status, BROKEN), f"the server answered {status}", least=_retry_after(stream))
        raise CannotOpen(end, answered=True)
    if not stream.headers.get("content-type", "").startswith(_STREAM):
        raise CannotOpen(End(reason="the server answered with what is no event stream"), answered=True)


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 0.0


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
