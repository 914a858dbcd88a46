"""What a server says, good or broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.client.happenings import (
    Entered,
    HungUp,
    Missed,
    SentAway,
)
from fastapi_rooms.client.hearing import hear
from fastapi_rooms.client.values import Joined

from .talking import Talk, ask, message


def test_notices_are_told() -> None:
    talk = Talk()
    talk.connect()
    talk.happened()
    talk.hear(
        {"type": "dropped", "messages": 120, "bytes": 15360},
        {"type": "going-away", "delay": 2.7},
        {"type": "close", "code": 1012, "reason": "restart"},
    )
    assert talk.happened() == [Missed(120, 15360), SentAway(2.7), HungUp(1012, "restart")]


def test_types_fields_and_answers_that_are_not_known_are_let_be() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.conversation.join("lobby", None)
    (join,) = talk.said()
    talk.happened()
    talk.hear(
        {"type": "news", "room": 3},
        {"type": "pong", "more": 1},
        {"type": "joined", "id": 77, "room": "lobby"},
        {"type": "reply", "data": 1},
        {
            "type": "joined",
            "id": join["id"],
            "room": "lobby",
            "recovered": False,
            "reason": "a new one",
            "more": {},
        },
    )
    (entered,) = talk.happened()
    assert entered == Entered(membership, Joined(recovered=False, reason="a new one"), waiting=False)


BROKEN = [
    "no JSON",
    "3",
    '[{"type":"message"}, 3]',
    "{}",
    '{"type":3}',
    '{"event":"x"}',
    '{"event":null,"data":1}',
    '{"type":"message","event":"x","room":3}',
    '{"type":"message","event":"x","position":3}',
    '{"type":"error","id":1}',
    '{"type":"left"}',
    '{"type":"dropped","messages":true,"bytes":1}',
    '{"type":"going-away","delay":"soon"}',
    '{"type":"going-away","delay":-1}',
    '{"type":"close"}',
    '{"type":"presence"}',
    '{"type":"\\ud800"}',
    "[" * 10_000,
]


@pytest.mark.parametrize("text", [*BROKEN, b"{}"])
def test_a_broken_message_ends_the_connection_and_the_client_comes_back(text: str | bytes) -> None:
    talk = Talk()
    talk.connect()
    talk.happened()
    hear(talk.conversation, text, now=talk.now)
    (hung_up,) = talk.of(HungUp)
    assert hung_up.code == 1006
    assert talk.said() == []


@pytest.mark.parametrize("kind", ["reply", "joined"])
def test_an_answer_of_the_wrong_kind_is_broken(kind: str) -> None:
    talk = Talk()
    (connect,) = talk.open()
    talk.hear({"type": kind, "id": connect["id"], "room": "lobby"})
    assert len(talk.of(HungUp)) == 1


def test_a_hub_that_refuses_connect_by_an_error_is_given_up() -> None:
    talk = Talk()
    (connect,) = talk.open()
    talk.hear({"type": "error", "id": connect["id"], "code": "invalid", "detail": "no"})
    assert len(talk.of(HungUp)) == 1


def test_a_presence_that_is_broken_ends_the_connection() -> None:
    talk = Talk()
    talk.connect()
    talk.join()
    talk.happened()
    talk.hear(
        {
            "type": "presence",
            "room": "lobby",
            "version": 1,
            "count": 1,
            "listed": True,
            "users": {"ann": [{"id": 1}]},
        }
    )
    assert len(talk.of(HungUp)) == 1


def test_messages_without_end_before_joined_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.membership._MOST_HELD", 3)
    talk = Talk()
    talk.connect()
    talk.conversation.join("lobby", None)
    talk.said()
    talk.happened()
    talk.hear(*[message(number) for number in range(3)])
    assert talk.happened() == []
    talk.hear(message(3))
    assert len(talk.of(HungUp)) == 1


NAMES = st.sampled_from(
    "id room event data position connection heartbeat code detail field version count listed "  # noqa: SIM905 - shorter
    "users joins leaves updates messages bytes delay reason recovered expires_in metadata".split()
)
TYPES = st.sampled_from(
    "connected joined left message reply error presence presence-diff "  # noqa: SIM905 - shorter
    "dropped going-away ping pong close".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
FRAMES = st.builds(lambda kind, rest: {**rest, "type": kind}, TYPES, st.dictionaries(NAMES, JSON, max_size=6))


@given(messages=st.lists(st.text() | st.lists(FRAMES, max_size=3), max_size=6))
def test_nothing_that_a_server_says_raises(messages: list[object]) -> None:
    talk = Talk()
    talk.connect(heartbeat=1.0)
    talk.join()
    talk.conversation.leave(talk.conversation.join("other", None))
    ask(talk)
    talk.said()
    for one in messages:
        hear(talk.conversation, one if isinstance(one, str) else json.dumps(one), now=talk.now)
        talk.wait(0.1)
        talk.said()
    talk.break_off()
    talk.connect()
