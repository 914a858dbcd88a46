"""Whatever clients say in whatever order: each frame is answered once, in order, as a simple model says."""

import asyncio
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.scale import examples
from fastapi_rooms import Connection, Limits, Room
from fastapi_rooms.hub import Hub, HubError
from fastapi_rooms.protocol.client_frames import CLIENT_FRAMES, MOST_ID
from fastapi_rooms.protocol.reading import BadMessage, Flaw, read
from hub.talk import Frame, Talk, served, talking

ROOMS = ("a", "b", "c", "secret")
MOST_ROOMS = 2

rooms = st.sampled_from(ROOMS)
commands = st.sampled_from(["echo", "deny", "here", "none"])
ids = st.none() | st.integers(0, 3) | st.just(MOST_ID)


def told(kind: str, **fields: Any) -> st.SearchStrategy[Frame]:
    fields.setdefault("id", ids)
    made = st.fixed_dictionaries({"type": st.just(kind), **fields})
    return made.map(lambda frame: {name: value for name, value in frame.items() if value is not None})


FRAMES = st.one_of(
    told("join", room=rooms, id=st.integers(0, 3)),
    told("leave", room=rooms, id=st.integers(0, 3)),
    told(
        "send",
        command=st.sampled_from(["echo", "deny", "here", "none"]),
        room=st.none() | rooms,
        data=st.integers(),
    ),
    told("publish", room=rooms, event=st.just("said"), data=st.integers()),
    told("presence", room=rooms, metadata=st.just({})),
    told("refresh", token=st.just("t")),
    told("connect"),
    told("join"),
    told("what"),
    told("ping", id=st.none()),
    told("pong", id=st.none()),
)
MESSAGES = st.lists(st.lists(FRAMES, min_size=1, max_size=8), max_size=8)


class Small(Hub[Any]):
    """Few rooms, and members who publish."""

    limits = Limits(rooms_per_connection=MOST_ROOMS)
    publish_by_members = True
    rate_limit = None

    def __init__(self) -> None:
        super().__init__()
        for handler in (self.echo, self.deny, self.here):
            self.on(handler.__name__)(handler)

    async def authorize(self, connection: Connection[Any], room: str) -> bool:
        return room != "secret"

    async def echo(self, data: int) -> int:
        return data

    async def deny(self) -> None:
        raise HubError("denied")

    async def here(self, room: Room[Any]) -> str:
        return room.name


class Model:
    """What the answers should be."""

    def __init__(self) -> None:
        self.rooms: set[str] = set()
        self.heard: list[Any] = []

    def answer(self, frame: Frame) -> str | None:
        """The type of the answer, or the code of the error; `None`: there is none."""
        if frame["type"] == "ping":
            return "pong"
        flaw = read(json.dumps(frame))[0]
        if isinstance(flaw, Flaw) and flaw.told:
            return flaw.code
        if frame["type"] == "pong" or (outcome := self._do(frame)) is None:
            return None
        return None if frame.get("id") is None else outcome

    def _do(self, frame: Frame) -> str | None:
        kind, room = frame["type"], frame.get("room")
        if isinstance(read(json.dumps(frame))[0], Flaw):
            return "unknown_type" if kind not in CLIENT_FRAMES else "invalid"
        if kind in ("connect", "refresh"):
            return "invalid"
        if kind == "join":
            return self._join(str(room))
        if kind == "send" and frame["command"] == "none":
            return "unknown_command"
        if room is not None and room not in self.rooms:
            return "not_joined"
        if kind == "leave":
            self.rooms.remove(str(room))
            return "left"
        if kind == "publish":
            self.heard.append(frame["data"])
            return "reply"
        if kind == "presence":
            return "not_found"
        return {"echo": "reply", "deny": "denied", "here": "invalid" if room is None else "reply"}[
            frame["command"]
        ]

    def _join(self, room: str) -> str:
        if room not in self.rooms:
            if room == "secret" or len(self.rooms) == MOST_ROOMS:
                return "refused"
            self.rooms.add(room)
        return "joined"


def answered(frame: Frame) -> tuple[str, Any]:
    return frame["code"] if frame["type"] == "error" else frame["type"], frame.get("id")


async def _hear(talk: Talk, count: int) -> tuple[list[Frame], list[Any]]:
    """So many frames: answers, and the data of messages among them."""
    answers: list[Frame] = []
    said: list[Any] = []
    for _ in range(count):
        frame = await talk.hear()
        if frame["type"] == "message":
            said.append(frame["data"])
        else:
            answers.append(frame)
    return answers, said


@settings(max_examples=examples(400), deadline=None)
@given(MESSAGES)
def test_every_frame_is_answered_once_and_in_order_as_the_model_says(messages: list[list[Frame]]) -> None:
    asyncio.run(_compare(messages))


async def _compare(messages: list[list[Frame]]) -> None:
    hub, model = Small(), Model()
    async with served(hub) as client, talking(client) as talk:
        expected: list[tuple[str, Any]] = []
        for frames in messages:
            await talk.say(*frames)
            outcomes = ((model.answer(frame), frame) for frame in frames)
            expected += [
                (outcome, None if outcome == "pong" else frame.get("id")) for outcome, frame in outcomes if outcome
            ]
        answers, said = await _hear(talk, len(expected) + len(model.heard))
        await talk.nothing_more()
        assert [answered(frame) for frame in answers] == expected
        assert said == model.heard
        assert set(hub.rooms) == model.rooms


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
FIELDS = ("id", "room", "since", "token", "command", "event", "data", "metadata")
WILD = st.fixed_dictionaries(
    {"type": st.sampled_from([*CLIENT_FRAMES, "what"])},
    optional={field: st.sampled_from(["a", "echo", 1, 0, {}, -1, True, MOST_ID + 1]) | JSON for field in FIELDS},
)
TEXTS = st.one_of(
    st.text(), JSON.map(json.dumps), WILD.map(json.dumps), st.lists(WILD, max_size=3).map(json.dumps)
)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=10))
def test_whatever_text_comes_the_connection_goes_on_or_ends_with_4501_and_nobody_else_is_harmed(
    texts: list[str],
) -> None:
    asyncio.run(_shout(texts))


async def _shout(texts: list[str]) -> None:
    hub = Small()
    async with served(hub) as client, talking(client) as neighbour, talking(client) as talk:
        await neighbour.join("a")
        bad = len(list(_until_bad(texts))) < len(texts)
        for text in _sendable(texts):
            if talk.ws.closed is None:
                await talk.ws.send_text(text)
        if bad:
            assert (await talk.ws.wait_closed()).code == 4501
        else:
            await talk.say({"type": "ping"}, {"type": "what", "id": 77})
            await talk.until("error", id=77)
        await neighbour.say({"type": "publish", "room": "a", "event": "e", "data": "alive"})
        await neighbour.until("message", data="alive")


def _sendable(texts: Iterable[str]) -> list[str]:
    """What a WebSocket can carry as text."""
    return [text.encode(errors="replace").decode() for text in texts]


def _until_bad(texts: list[str]) -> Iterable[str]:
    for text in islice(_sendable(texts), len(texts)):
        try:
            read(text)
        except BadMessage:
            return
        yield text
