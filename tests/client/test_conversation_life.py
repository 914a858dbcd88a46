"""Pings, tokens, and what a server tells."""

import pytest

from fastapi_rooms.client.conversation import PATIENCE
from fastapi_rooms.client.happenings import (
    Complained,
    HungUp,
    TokenDue,
)

from .talking import Talk, message


def test_a_ping_is_answered() -> None:
    talk = Talk()
    talk.connect()
    talk.hear({"type": "ping"})
    assert talk.said() == [{"type": "pong"}]


def test_a_silent_server_is_asked_and_then_given_up() -> None:
    talk = Talk()
    talk.connect(heartbeat=35.0)
    talk.wait(34)
    talk.hear({"type": "pong"})
    talk.wait(34)
    assert talk.said() == []
    talk.wait(1)
    assert talk.said() == [{"type": "ping"}]
    talk.happened()
    talk.wait(PATIENCE - 1)
    assert talk.happened() == []
    talk.wait(1)
    assert talk.of(HungUp) == [HungUp(1006, "the server is silent")]
    talk.hear(message("too late"))
    assert talk.happened() == []


@pytest.mark.parametrize("heartbeat", [None, 0])
def test_without_a_heartbeat_nobody_is_asked(heartbeat: float | None) -> None:
    talk = Talk()
    talk.connect(heartbeat=heartbeat)
    assert talk.conversation.due(talk.now) is None
    talk.wait(1e6)
    assert talk.said() == []


def test_a_token_is_replaced_at_80_percent_of_its_life_and_then_as_the_hub_says() -> None:
    talk = Talk()
    talk.connect(life=100.0)
    talk.happened()
    talk.wait(79)
    assert talk.happened() == []
    talk.wait(1)
    assert talk.happened() == [TokenDue()]
    talk.conversation.refresh("fresh")
    (refresh,) = talk.said()
    assert (refresh["type"], refresh["token"]) == ("refresh", "fresh")
    talk.hear({"type": "reply", "id": refresh["id"], "data": {"expires_in": 10.0}})
    assert talk.happened() == []
    talk.wait(8)
    assert talk.happened() == [TokenDue()]


def test_a_token_that_is_refused_is_replaced_at_80_percent_of_the_rest() -> None:
    talk = Talk()
    talk.connect(life=100.0)
    talk.wait(80)
    talk.conversation.refresh("fresh")
    (refresh,) = talk.said()
    talk.happened()
    talk.hear({"type": "error", "id": refresh["id"], "code": "unauthorized", "detail": "no"})
    assert [type(one) for one in talk.happened()] == [Complained]
    talk.wait(15.9)
    assert talk.happened() == []
    talk.wait(0.2)
    assert talk.happened() == [TokenDue()]


@pytest.mark.parametrize("data", [None, {}, {"expires_in": None}, 3])
def test_a_hub_that_does_not_say_how_long_a_token_lives_gets_no_other(data: object) -> None:
    talk = Talk()
    talk.connect(life=100.0)
    talk.wait(80)
    talk.conversation.refresh("fresh")
    (refresh,) = talk.said()
    talk.hear({"type": "reply", "id": refresh["id"], "data": data})
    assert talk.conversation.due(talk.now) is None


def test_without_a_connection_no_token_is_shown() -> None:
    talk = Talk()
    talk.conversation.refresh("fresh")
    assert [frame["type"] for frame in talk.open()] == ["connect"]
