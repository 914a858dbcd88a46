from dataclasses import dataclass
from uuid import UUID

import pytest

from fastapi_rooms.identity import Identity, expires_at_of, user_id_of


@dataclass
class Account:
    id: object


@dataclass
class Token:
    subject: object
    expires_at: object = None


def test_an_identity_needs_only_a_subject() -> None:
    identity = Identity(subject="ann")
    assert (identity.scopes, dict(identity.claims), identity.expires_at) == (frozenset(), {}, None)


def test_missing_scopes_are_sorted_and_empty_if_there_are_none() -> None:
    identity = Identity(subject="ann", scopes=frozenset({"a", "b"}))
    assert identity.missing_scopes(["c", "a", "B"]) == ("B", "c")
    assert identity.missing_scopes(["b"]) == ()


@pytest.mark.parametrize(
    ("user", "user_id"),
    [
        (None, None),
        ("ann", "ann"),
        (7, "7"),
        (Identity(subject="ann"), "ann"),
        (Token(subject=7), "7"),
        (Account(id=7), "7"),
        (Account(id="ann"), "ann"),
        (Account(id=UUID(int=1)), str(UUID(int=1))),
        (Account(id=None), None),
        (object(), None),
    ],
)
def test_a_users_id_is_found(user: object, user_id: str | None) -> None:
    assert user_id_of(user) == user_id


@pytest.mark.parametrize(
    ("user", "expires_at"),
    [
        (None, None),
        (Identity(subject="ann"), None),
        (Identity(subject="ann", expires_at=5), 5.0),
        (Token(subject="ann", expires_at=2.5), 2.5),
        (Token(subject="ann", expires_at="tomorrow"), None),
    ],
)
def test_only_a_number_says_when_a_user_expires(user: object, expires_at: float | None) -> None:
    assert expires_at_of(user) == expires_at
