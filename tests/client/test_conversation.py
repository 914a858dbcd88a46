"""What a client says, and what becomes of its requests."""

import json

import pytest

from fastapi_rooms.client.composing import Raw
from fastapi_rooms.client.conversation import Line
from fastapi_rooms.client.failures import ClientClosed, ConnectionLost, HubRefused, NotJoined, Offline
from fastapi_rooms.client.happenings import (
    Answered,
    Complained,
    Failed,
    HungUp,
    Out,
    PresenceTold,
    Welcomed,
)

from .talking import LIVES, Talk, ask


def test_connect_is_said_first_and_the_joins_with_it() -> None:
    talk = Talk()
    talk.conversation.join("lobby", "7.x")
    ask(talk)
    connect, join = talk.open("secret")
    assert (connect["type"], connect["token"]) == ("connect", "secret")
    assert (join["type"], join["room"], join["since"]) == ("join", "lobby", "7.x")


def test_requests_wait_until_the_hub_has_said_connected() -> None:
    talk = Talk()
    first, second = ask(talk), ask(talk)
    connect, *others = talk.open()
    assert others == []
    talk.hear({"type": "connected", "id": connect["id"], "connection": "c1", "user": None, "heartbeat": None})
    assert [frame["id"] for frame in talk.said()] == [first, second]
    assert talk.of(Welcomed) == [Welcomed("c1", None)]


def test_without_a_token_the_frame_has_none() -> None:
    (connect,) = Talk().open()
    assert connect == {"type": "connect", "id": 1}


def test_a_hub_that_does_not_say_connected_in_time_is_given_up() -> None:
    talk = Talk()
    talk.open()
    talk.wait(9.9)
    assert talk.happened() == []
    talk.wait(0.2)
    (hung_up,) = talk.of(HungUp)
    assert hung_up.code == 1006


def test_no_id_is_used_twice_even_on_another_connection() -> None:
    talk = Talk()
    ids = [frame["id"] for _ in range(3) for frame in (*talk.connect(), *talk.said(), *_broken(talk))]
    assert len(ids) == len(set(ids))


def _broken(talk: Talk) -> list[dict[str, int]]:
    talk.break_off()
    return []


def test_an_answer_goes_to_its_request() -> None:
    talk = Talk()
    talk.connect()
    first, second = ask(talk), ask(talk)
    talk.said()
    talk.happened()
    error = {"type": "error", "id": second, "code": "invalid", "detail": "text: too long", "field": "text"}
    talk.hear({"type": "reply", "id": first, "data": [1]}, error, {"type": "reply", "id": first, "data": [2]})
    answered, failed = talk.happened()
    assert answered == Answered(first, [1])
    assert isinstance(failed, Failed)
    assert failed.id == second
    assert isinstance(failed.error, HubRefused)
    assert (failed.error.code, failed.error.detail, failed.error.field) == ("invalid", "text: too long", "text")


def test_what_was_sent_and_not_answered_is_lost_and_what_was_not_sent_waits() -> None:
    talk = Talk()
    talk.connect()
    sent = ask(talk)
    talk.said()
    talk.happened()
    talk.break_off()
    waiting = ask(talk)
    (failed,) = talk.of(Failed)
    assert failed.id == sent
    assert isinstance(failed.error, ConnectionLost)
    talk.connect()
    assert [frame["id"] for frame in talk.said()] == [waiting]


def test_only_so_many_wait_for_a_connection() -> None:
    talk = Talk(queue=2)
    assert [ask(talk) for _ in range(2)]
    with pytest.raises(Offline):
        ask(talk)
    talk.open()
    with pytest.raises(Offline):
        ask(talk)
    talk.connect()
    assert [ask(talk) for _ in range(5)]


def test_what_is_forgotten_before_it_is_sent_is_not_sent() -> None:
    talk = Talk()
    first, second = ask(talk), ask(talk)
    assert not talk.conversation.outbox.forget(first)
    talk.connect()
    assert [frame["id"] for frame in talk.said()] == [second]
    assert talk.conversation.outbox.forget(second)
    talk.happened()
    talk.hear({"type": "reply", "id": second, "data": None})
    assert talk.happened() == []


def test_a_message_has_64_frames_at_most_and_is_short_unless_one_frame_is_long() -> None:
    talk = Talk()
    talk.connect()
    for _ in range(100):
        ask(talk)
    assert [len(part) for part in _messages(talk)] == [64, 36]
    long = Raw('"' + "x" * 10_000 + '"')
    for data in (long, long, Raw("1"), Raw('"' + "x" * 20_000 + '"')):
        talk.conversation.request("send", "say", data, None)
    assert [len(part) for part in _messages(talk)] == [1, 2, 1]


def _messages(talk: Talk) -> list[list[object]]:
    return [json.loads(part) for part in iter(talk.conversation.take, None)]


def test_an_error_that_nobody_waits_for_is_told() -> None:
    talk = Talk()
    talk.connect()
    talk.happened()
    talk.hear({"type": "error", "id": 99, "code": "internal", "detail": "x"})
    (complained,) = talk.of(Complained)
    assert complained.error.code == "internal"


def test_closed_nothing_is_sent_and_everything_is_over() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.join()
    sent = ask(talk)
    talk.said()
    waiting = ask(talk)
    talk.happened()
    closed = ClientClosed()
    talk.conversation.close(closed, rooms=None)
    lost, failed, out = talk.happened()
    assert isinstance(lost, Failed)
    assert (lost.id, type(lost.error)) == (sent, ConnectionLost)
    assert (failed, out) == (Failed(waiting, closed), Out(membership, None))
    talk.conversation.ended()
    assert talk.conversation.line is Line.CLOSED
    assert talk.said() == []


def test_metadata_is_told_after_each_join() -> None:
    talk = Talk()
    membership = talk.conversation.join("lobby", None)
    assert talk.conversation.tell_presence(membership, Raw('{"a":1}')) is None
    talk.connect()
    told = talk.conversation.tell_presence(membership, Raw('{"a":2}'))
    assert told is not None
    (frame,) = talk.said()
    assert frame == {"type": "presence", "id": told, "room": "lobby", "metadata": {"a": 2}}
    talk.happened()
    talk.break_off()
    assert talk.happened() == [Answered(told, None)], "it is told again, so it is not lost"
    _, _, frame = talk.open()
    assert frame == {"type": "presence", "room": "lobby", "metadata": {"a": 2}}


def test_metadata_that_is_refused_is_not_told_again() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.join()
    told = talk.conversation.tell_presence(membership, Raw('{"a":1}'))
    talk.said()
    talk.hear({"type": "error", "id": told, "code": "too_large", "detail": ""})
    (failed,) = talk.of(Failed)
    assert failed.id == told
    talk.break_off()
    assert [frame["type"] for frame in talk.open()] == ["connect", "join"]


def test_presence_cannot_be_told_where_the_client_is_not_any_more() -> None:
    talk = Talk()
    membership = talk.conversation.join("lobby", None)
    talk.conversation.leave(membership)
    with pytest.raises(NotJoined):
        talk.conversation.tell_presence(membership, LIVES)


def test_presence_is_told_of_rooms_that_the_client_is_in() -> None:
    talk = Talk()
    talk.connect()
    snapshot = {"type": "presence", "room": "lobby", "version": 1, "count": 0, "listed": True, "users": {}}
    talk.hear(snapshot)
    membership = talk.join()
    talk.happened()
    talk.hear(snapshot, {**snapshot, "type": "presence-diff", "joins": {}, "updates": {}, "leaves": {}})
    assert talk.happened() == [PresenceTold(membership, [])], "the diff is as old as the snapshot"
