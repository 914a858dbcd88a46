"""Who is connected."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


def _no_claims() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An authenticated user, as the authentication dependencies return it.

    Attributes:
        subject: The user's stable id: the `sub` claim of a token. Rooms, limits per user and
            `send_to_user` go by it.
        scopes: What the user may do, such as `{"chat:write"}`.
        claims: Everything else that the token said; read-only.
        expires_at: Seconds since the epoch (wall clock) at which a live connection ends with 4001, unless
            refreshed. `None`: never.
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=_no_claims)
    expires_at: float | None = None

    def missing_scopes(self, required: Iterable[str]) -> tuple[str, ...]:
        """The scopes among `required` that this identity lacks, sorted; empty where it has them all."""
        return tuple(sorted(set(required) - self.scopes))


def user_id_of(user: object) -> str | None:
    """The id under which a user's connections are found.

    A `str` or `int` is its own id; otherwise the attribute `subject` (as on `Identity`), then `id`, as text.
    `None` where there is none of these: such a connection belongs to no user.
    """
    if user is None:
        return None
    if isinstance(user, (str, int)):
        return str(user)
    user_id = getattr(user, "subject", None)
    if user_id is None:
        user_id = getattr(user, "id", None)
    return None if user_id is None else str(user_id)


def expires_at_of(user: object) -> float | None:
    """When the user's right to be connected ends: the attribute `expires_at`, where it is a number."""
    value = getattr(user, "expires_at", None)
    return float(value) if isinstance(value, (int, float)) else None
