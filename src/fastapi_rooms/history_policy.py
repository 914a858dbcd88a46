"""Which rooms have a history. Pure."""

from collections.abc import Callable
from functools import partial

from fastapi_rooms.errors import NoHistory
from fastapi_rooms.options import History

PolicyOf = Callable[[str], History | None]
"""What is kept of a room, a function of its name; `None`: nothing."""


def check_history(
    history: History | None, room: str | None, idempotency_key: str | None, version: int | None
) -> None:
    """Refuse what needs a history where there is none.

    Raises:
        NoHistory: There is none.
        TypeError: A key that is no text, or a version that is no number.
    """
    if history is None and (idempotency_key is not None or version is not None):
        raise NoHistory(room)
    if idempotency_key is not None and not isinstance(idempotency_key, str):
        raise TypeError(f"idempotency_key={idempotency_key!r} must be a str")
    if version is not None and not isinstance(version, int):
        raise TypeError(f"version={version!r} must be an int")


def policy_of(history: "History | PolicyOf") -> PolicyOf:
    """The same for every room, or the function itself."""
    return partial(_always, history) if isinstance(history, History) else history


def _always(history: History, room: str) -> History:
    return history
