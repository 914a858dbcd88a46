"""How many members a room has in other processes, and who they are: asked, with a deadline."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pydantic import NonNegativeInt, TypeAdapter

from fastapi_rooms.cluster.cluster import Cluster
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import Header
from fastapi_rooms.registry import Registry

_T = TypeVar("_T")
_COUNT: Final = TypeAdapter(NonNegativeInt)
_MEMBERS: Final = TypeAdapter(list[tuple[str, str | None]])


class Census:
    """Asks other processes, and answers them.

    Args:
        cluster: What is between start and stop.
        registry: Who is connected here.
    """

    def __init__(self, cluster: Callable[[], Cluster], registry: Registry[Any]) -> None:
        self._cluster = cluster
        self._registry = registry

    async def count(self, room: str) -> tuple[int, frozenset[str]]:
        """Members in other processes, and the processes that did not say."""
        question = await self._cluster().ask(room, "count")
        counts = (_read(body, _COUNT, 0) for body in question.answers.values())
        return sum(counts), frozenset(question.missing)

    async def members(self, room: str) -> tuple[list[tuple[str, str | None]], frozenset[str]]:
        """Connection ids and users of members in other processes, and the processes that did not say."""
        question = await self._cluster().ask(room, "members")
        lists = (_read(body, _MEMBERS, []) for body in question.answers.values())
        return [one for members in lists for one in members], frozenset(question.missing)

    def answer(self, header: Header) -> bytes:
        """What this process says to a question."""
        room = header.room or ""
        if header.key == "count":
            return json.dumps(self._registry.count_in_room(room)).encode()
        members: tuple[Connection[Any], ...] = self._registry.in_room(room)
        return json.dumps([(one.id, one.user_id) for one in members]).encode()


def _read(body: bytes, kind: TypeAdapter[_T], otherwise: _T) -> _T:
    """An answer, where it makes sense."""
    try:
        return kind.validate_json(body)
    except ValueError:
        return otherwise
