"""Rooms: joining, coming back, leaving; and what is delivered."""

import pytest

from fastapi_rooms.client.failures import HubRefused, NotJoined, Removed
from fastapi_rooms.client.happenings import (
    Answered,
    Complained,
    Entered,
    Failed,
    Out,
    Said,
)
from fastapi_rooms.client.membership import Phase
from fastapi_rooms.client.values import Joined, Message

from .talking import Talk, ask, message


def test_what_comes_before_joined_is_delivered_after_it_in_order() -> None:
    talk = Talk()
    talk.connect()
    talk.happened()
    membership = talk.conversation.join("lobby", "3.x")
    (join,) = talk.said()
    talk.hear(message("a", "4.x"), message("b", "5.x"))
    assert talk.messages() == []
    assert membership.position == "3.x"
    talk.hear(
        {"type": "joined", "id": join["id"], "room": "lobby", "position": "4.x", "recovered": True}, message("c")
    )
    entered, *said = talk.happened()
    assert entered == Entered(membership, Joined(position="4.x", recovered=True), waiting=True)
    assert [one.message for one in said if isinstance(one, Said)] == [
        Message("said", "a", "4.x", "lobby"),
        Message("said", "b", "5.x", "lobby"),
        Message("said", "c", None, "lobby"),
    ]
    assert membership.position == "5.x"


def test_what_was_held_back_when_the_connection_broke_is_asked_for_again() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.conversation.join("lobby", "3.x")
    talk.said()
    talk.hear(message("a", "4.x"))
    talk.break_off()
    assert membership.position == "3.x"
    _, join = talk.connect()
    assert join["since"] == "3.x"
    talk.happened()
    talk.hear(message("a", "4.x"), {"type": "joined", "id": join["id"], "room": "lobby", "position": "4.x"})
    assert talk.messages() == ["joined", "a"]


def test_a_room_is_joined_again_from_where_it_was() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.join(position="3.x")
    talk.hear(message("a", "4.x"), message("live"))
    talk.break_off()
    assert membership.phase is Phase.AWAY
    _, join = talk.connect()
    assert join["since"] == "4.x"
    talk.happened()
    talk.hear({"type": "joined", "id": join["id"], "room": "lobby", "recovered": False, "reason": "expired"})
    (entered,) = talk.of(Entered)
    assert entered.joined == Joined(recovered=False, reason="expired", again=True)
    assert membership.position is None


def test_a_room_has_one_membership_until_it_is_left() -> None:
    talk = Talk()
    talk.connect()
    first = talk.join()
    assert talk.conversation.join("lobby", "9.x") is first
    assert talk.said() == []
    talk.conversation.leave(first)
    assert talk.conversation.join("lobby", None) is not first
    assert [frame["type"] for frame in talk.said()] == ["leave", "join"]


def test_messages_of_the_membership_before_do_not_reach_the_next() -> None:
    talk = Talk()
    talk.connect()
    talk.conversation.leave(talk.join())
    talk.conversation.join("lobby", None)
    leave, join = talk.said()
    talk.happened()
    talk.hear(message("old"), {"type": "left", "id": leave["id"], "room": "lobby"}, message("new"))
    talk.hear({"type": "joined", "id": join["id"], "room": "lobby"})
    assert talk.messages() == ["joined", "new"]


@pytest.mark.parametrize(
    "answer", [{"type": "joined", "position": "1.x"}, {"type": "error", "code": "refused", "detail": "full"}]
)
def test_the_answer_to_a_join_that_was_left_is_of_no_account(answer: dict[str, str]) -> None:
    talk = Talk()
    talk.connect()
    talk.conversation.leave(talk.conversation.join("lobby", None))
    again = talk.conversation.join("lobby", None)
    first, _, second = talk.said()
    talk.happened()
    answer.setdefault("room", "lobby")
    talk.hear({**answer, "id": first["id"]})
    assert talk.happened() == []
    talk.hear({"type": "error", "id": second["id"], "code": "refused", "detail": "no"})
    assert [one.membership for one in talk.of(Out)] == [again]


def test_leaving_is_answered_by_left_and_by_an_error_too() -> None:
    talk = Talk()
    talk.connect()
    for answer in ({"type": "left", "room": "lobby"}, {"type": "error", "code": "not_joined", "detail": ""}):
        membership = talk.join()
        talk.happened()
        leaving = talk.conversation.leave(membership)
        assert leaving is not None
        assert talk.happened() == [Out(membership, None)]
        assert talk.said() == [{"type": "leave", "id": leaving, "room": "lobby"}]
        talk.hear({**answer, "id": leaving})
        assert talk.happened() == [Answered(leaving, None)]


def test_leaving_without_a_connection_needs_no_answer_and_twice_does_nothing() -> None:
    talk = Talk()
    membership = talk.conversation.join("lobby", None)
    waiting = ask(talk, membership=membership)
    assert talk.conversation.leave(membership) is None
    assert talk.conversation.leave(membership) is None
    failed, out = talk.happened()
    assert isinstance(failed, Failed)
    assert (failed.id, type(failed.error), out) == (waiting, NotJoined, Out(membership, None))
    assert [frame["type"] for frame in talk.open()] == ["connect"]


def test_a_room_that_the_hub_refuses_is_over_and_so_are_its_requests() -> None:
    talk = Talk()
    membership = talk.conversation.join("lobby", None)
    waiting = ask(talk, membership=membership)
    _, join = talk.open()
    talk.hear({"type": "error", "id": join["id"], "code": "refused", "detail": "full"})
    failed, out = talk.happened()
    assert isinstance(failed, Failed)
    assert isinstance(out, Out)
    assert failed.id == waiting
    assert isinstance(out.error, HubRefused)
    assert (failed.error, out.error.code, out.error.detail) == (out.error, "refused", "full")
    with pytest.raises(NotJoined):
        ask(talk, membership=membership)
    talk.break_off()
    assert [frame["type"] for frame in talk.open()] == ["connect"]


def test_a_room_that_cannot_be_joined_just_now_is_asked_for_again_later_and_later() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.conversation.join("lobby", "3.x")
    (join,) = talk.said()
    pauses = []
    for _ in range(6):
        talk.hear({"type": "error", "id": join["id"], "code": "unavailable", "detail": "later"})
        assert talk.said() == []
        due = talk.conversation.due(talk.now)
        assert due is not None
        pauses.append(due - talk.now)
        talk.wait(pauses[-1])
        frames = talk.said()
        join = next(frame for frame in frames if frame["type"] == "join")
        assert join["since"] == "3.x"
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert [type(one) for one in talk.happened()[1:]] == [Complained] * 6
    talk.hear({"type": "joined", "id": join["id"], "room": "lobby"})
    assert membership.phase is Phase.IN


def test_requests_of_a_room_that_is_tried_again_wait_and_others_do_not() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.conversation.join("lobby", None)
    (join,) = talk.said()
    talk.hear({"type": "error", "id": join["id"], "code": "unavailable", "detail": "later"})
    waiting, other = ask(talk, membership=membership), ask(talk)
    assert [frame["id"] for frame in talk.said()] == [other]
    talk.wait(0.5)
    assert [(frame["type"], frame["id"]) for frame in talk.said()] == [("send", waiting), ("join", join["id"] + 3)]


def test_the_hub_may_end_a_membership() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.join()
    talk.happened()
    talk.hear({"type": "left", "room": "lobby"}, message("late"))
    (out,) = talk.happened()
    assert isinstance(out, Out)
    assert out.membership is membership
    assert isinstance(out.error, Removed)
    talk.hear({"type": "left", "room": "lobby"}, {"type": "left", "room": "elsewhere"})
    assert talk.happened() == []


def test_a_left_without_an_id_before_joined_is_about_the_time_before() -> None:
    talk = Talk()
    talk.connect()
    membership = talk.conversation.join("lobby", None)
    (join,) = talk.said()
    talk.happened()
    talk.hear(message("old"), {"type": "left", "room": "lobby"}, message("new"))
    talk.hear({"type": "joined", "id": join["id"], "room": "lobby"})
    assert talk.messages() == ["joined", "new"]
    assert membership.phase is Phase.IN


def test_a_message_of_no_room_is_delivered_and_one_of_a_strange_room_is_not() -> None:
    talk = Talk()
    talk.connect()
    talk.happened()
    talk.hear({"type": "message", "event": "hello", "data": 1}, message("x", room="strange"))
    assert talk.happened() == [Said(None, Message("hello", 1))]


def test_a_frame_without_a_type_is_a_message_and_its_event_is_one_by_that_name_if_it_has_none() -> None:
    talk = Talk()
    talk.connect()
    talk.happened()
    talk.hear({"data": 1}, {"event": "hello", "data": None})
    assert talk.happened() == [Said(None, Message("message", 1)), Said(None, Message("hello", None))]
