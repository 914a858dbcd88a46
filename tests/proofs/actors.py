"""Clients that do what they are told: see `stage`. A line of JSON comes in for each order, and one goes out."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any

from fastapi_rooms.client import (
    ClientClosed,
    ClientRoom,
    Joined,
    Message,
    RoomsClient,
    RoomsClientError,
    State,
)
from fastapi_rooms.client.sse import EventStreamWire
from fastapi_rooms.client.websocket import WebSocketWire
from fastapi_rooms.presence import Present

_LONGEST_LINE = 1 << 20

_OPTIONS = {"minDelay": "min_delay", "maxDelay": "max_delay", "connectTimeout": "connect_timeout"}

_WIRED: ContextVar["Actor | None"] = ContextVar("_WIRED", default=None)
"""Whose wire it is, in the tasks of a client; `None`: it is not written down."""


class Actor:
    """One client, and a journal of all that it is told, in order."""

    client: RoomsClient
    _token: str

    def __init__(self) -> None:
        self._journal: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._waiters: list[Callable[[], bool]] = []
        self._rooms: dict[str, ClientRoom] = {}
        self._closing: asyncio.Task[None] | None = None

    def note(self, kind: str, **details: Any) -> None:
        self._journal.append({"kind": kind, "at": time.time(), **details})
        self._counts[kind] += 1
        self._waiters = [enough for enough in self._waiters if not enough()]

    async def open(self, *, url: str, transport: Any, token: str, wire: bool = False, **options: Any) -> None:
        self._token = token
        self.client = RoomsClient(
            url,
            transport=transport,
            token=lambda: self._token,
            **{_OPTIONS[name]: value for name, value in options.items()},
        )
        self.client.on_state(self._state)
        self.client.on_error(lambda error: self.note("error", code=getattr(error, "code", repr(error))))
        self.client.on_dropped(lambda messages, size: self.note("dropped", messages=messages, bytes=size))
        self.client.on("*", lambda message: self.note("message", event=message.event, data=message.data))
        _WIRED.set(self if wire else None)
        await self.client.__aenter__()

    async def take_token(self, *, token: str) -> None:
        """This one from now on."""
        self._token = token

    async def join(self, *, room: str, since: str | None = None) -> None:
        joined = self._rooms[room] = self.client.join(room, since=since)

        def entered(told: Joined) -> None:
            self.note("joined", room=room, **asdict(told))

        def heard(message: Message) -> None:
            self.note("message", room=room, event=message.event, data=message.data, position=message.position)

        def changed(kind: str) -> Callable[[str, Sequence[Present]], None]:
            return lambda user, tabs: self.note(f"presence {kind}", room=room, user=user, tabs=_metadata(tabs))

        joined.on_joined(entered)
        joined.on_left(lambda error: self.note("left", room=room, code=None if error is None else error.code))
        joined.on("*", heard)
        joined.presence.on("join", changed("join"))
        joined.presence.on("leave", changed("leave"))
        joined.presence.on("update", changed("update"))
        joined.presence.on("change", lambda _: self.note("presence"))

    async def joined(self, *, room: str) -> dict[str, Any]:
        return asdict(await self._rooms[room].joined())

    async def send(self, *, command: str, data: object = None, room: str | None = None) -> Any:
        return await (self.client if room is None else self._rooms[room]).send(command, data)

    async def publish(self, *, room: str, event: str, data: object = None) -> None:
        await self._rooms[room].publish(event, data)

    async def tell(self, *, room: str, metadata: object) -> None:
        await self._rooms[room].presence.update(metadata)

    async def position(self, *, room: str) -> str | None:
        return self._rooms[room].position

    async def leave(self, *, room: str) -> None:
        await self._rooms[room].leave()

    async def until(self, *, kind: str, count: int) -> int:
        await self._until(lambda: self._counts[kind] >= count)
        return self._counts[kind]

    async def until_present(self, *, room: str, users: dict[str, Any]) -> None:
        """Until these are, each with the metadata of their last connection: the one before may still be listed."""
        presence = self._rooms[room].presence
        await self._until(lambda: {user: tabs[-1].metadata for user, tabs in presence.users.items()} == users)

    async def connection(self) -> str | None:
        return self.client.connection

    async def journal(self) -> list[dict[str, Any]]:
        return self._journal

    async def close(self) -> None:
        await self.client.close()

    async def _until(self, met: Callable[[], bool]) -> None:
        """Wait until this is so; asked anew with each entry."""
        news = asyncio.Event()

        def enough() -> bool:
            if met():
                news.set()
            return news.is_set()

        if not enough():
            self._waiters.append(enough)
        await news.wait()

    def _state(self, state: State) -> None:
        self.note(f"state {state}")
        if state == "closed":
            self._closing = asyncio.create_task(self._note_end())

    async def _note_end(self) -> None:
        try:
            await self.client.connected()
        except ClientClosed as error:
            self.note("closed", code=1000 if error.close_code is None else error.close_code)


def _metadata(tabs: Sequence[Present]) -> list[Mapping[str, object]]:
    return [tab.metadata for tab in tabs]


def _write_down(wire: type[WebSocketWire] | type[EventStreamWire]) -> None:
    """What goes over such a wire, as it goes, for those who want it."""
    receive, send = wire.receive, wire.send

    def note(direction: str, text: str | bytes) -> None:
        actor = _WIRED.get()
        if actor is not None:
            read = json.loads(text)
            for frame in read if isinstance(read, list) else [read]:
                actor.note(f"{direction} {frame.get('type', 'message')}", frame=frame)

    async def received(self: Any) -> str | bytes:
        message = await receive(self)
        note("down", message)
        return message

    async def sent(self: Any, frames: str) -> None:
        note("up", frames)
        await send(self, frames)

    wire.receive, wire.send = received, sent  # type: ignore[method-assign]


async def _play(actor: Actor, number: int, order: str, details: dict[str, Any]) -> None:
    try:
        answer: dict[str, Any] = {"value": await getattr(actor, order)(**details)}
    except RoomsClientError as error:
        answer = {"error": {"code": error.code, "detail": error.detail, "field": error.field or None}}
    except Exception as error:
        answer = {"error": {"code": repr(error), "detail": None, "field": None}}
    print(json.dumps({"id": number, **answer}), flush=True)


async def main() -> None:
    for wire in (WebSocketWire, EventStreamWire):
        _write_down(wire)
    actors: dict[str, Actor] = {}
    orders = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with asyncio.TaskGroup() as group:
        playing = []
        async for line in orders:
            told = json.loads(line)
            number, name, order = (told.pop(key) for key in ("id", "actor", "order"))
            playing.append(group.create_task(_play(actors.setdefault(name, Actor()), number, order, told)))
        for task in playing:
            task.cancel()
    await asyncio.gather(*(actor.client.close() for actor in actors.values() if hasattr(actor, "client")))


if __name__ == "__main__":
    asyncio.run(main())
