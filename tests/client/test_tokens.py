"""How long a token lives."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.client.tokens import Renewal, life_of

NOW = 1_000_000.0


def jwt(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{body}.signature"


def test_a_jwt_lives_until_it_expires() -> None:
    assert life_of(jwt(exp=NOW + 900), now=NOW) == 900


def test_a_clock_that_is_behind_does_not_make_it_live_longer_than_it_was_made_for() -> None:
    assert life_of(jwt(exp=NOW + 900, iat=NOW), now=NOW - 10_000) == 900


def test_a_clock_that_is_ahead_does_not_make_it_dead() -> None:
    assert life_of(jwt(exp=NOW + 900, iat=NOW), now=NOW + 10_000) == 10


@pytest.mark.parametrize(
    "token",
    [None, "", "opaque", "a.b", "a.b.c", jwt(), jwt(exp="soon"), jwt(exp=None), jwt(exp=[1]), jwt(exp=1e999)],
)
def test_of_other_tokens_nobody_knows(token: str | None) -> None:
    assert life_of(token, now=NOW) is None


@given(st.text() | st.text().map(lambda text: f"a.{text}.c"))
def test_any_text_has_an_answer(token: str) -> None:
    life_of(token, now=NOW)


def test_another_is_due_at_80_percent_and_after_a_failure_at_80_percent_of_the_rest() -> None:
    renewal = Renewal()
    renewal.begin(100.0, now=0.0)
    assert renewal.due == 80.0
    renewal.take()
    assert renewal.due is None
    renewal.fail(now=80.0)
    assert renewal.due == pytest.approx(96.0)
    renewal.fail(now=96.0)
    assert renewal.due == pytest.approx(99.2)
    renewal.fail(now=99.2)
    assert renewal.due is None, "the hub ends it, and the client comes back with another"


@pytest.mark.parametrize("life", [None, 0.0, 1.0])
def test_none_is_due_where_nobody_knows_or_it_is_too_late(life: float | None) -> None:
    renewal = Renewal()
    renewal.begin(life, now=0.0)
    assert renewal.due is None
    renewal.fail(now=0.0)
    assert renewal.due is None
