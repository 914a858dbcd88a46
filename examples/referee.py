"""The loop of one arena of the game, in whichever process it runs.

In each process with somebody in the arena stands a referee; one of them owns the world, and tells its state 25
times a second. The others hear it as pages do, and if it says nothing for a while, the one with the arena's first
member goes on from what was told last. Two that own it at once hear each other, and the younger world is given up.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

from fastapi_rooms import Heard, Hub

from .arena import AWAY, PLAYERS, Arena
from .told import players, resumed, state

TICK: Final = 0.04
LOOK: Final = 0.5
SILENT: Final = 0.6
LISTENS: Final = 0.3
"""Seconds: between two states, between two looks at who is here, without a state until another takes over, and at
first."""

WANTS: Final[dict[str | None, Callable[..., object]]] = {
    "play": Arena.enter,
    "watch": Arena.leave,
    "steer": Arena.steer,
    "dash": Arena.dash,
}
"""What players may want, as `game.py` has checked it."""

logger = logging.getLogger(__name__)


class Referee:
    """One arena, in this process.

    Args:
        hub: Where players and watchers are: in the room `arena-NAME`; what players want is said in `inputs-NAME`.
        name: The arena's.
    """

    def __init__(self, hub: Hub[Any], name: str) -> None:
        self.arena: Arena | None = None
        self._hub, self._name, self._room = hub, name, f"arena-{name}"
        self._me = secrets.token_hex(4)
        self._began = 0.0
        self._heard_at = self._left_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, Any] = {}
        self._players: list[list[Any]] = []
        self._watching = 0

    @property
    def forgotten(self) -> bool:
        """Whether nobody has been here for so long that nobody will come back."""
        return self._task is None and time.monotonic() - self._left_at > AWAY

    def start(self) -> None:
        """Somebody is here. First of all it listens whether another process owns the world."""
        self._heard_at = time.monotonic() - SILENT + LISTENS
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Nobody is: time stands still, for those who come back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.arena is not None:
            self._told, self._players = self._now(self.arena), players(self.arena)
        self.arena = self._task = None
        self._left_at = time.monotonic()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(f"inputs-{self._name}"))
                tasks.create_task(self._hear(self._room))
                tasks.create_task(self._look())
                tasks.create_task(self._tick())
        except* Exception:
            logger.exception("the arena %s has stopped", self._name)

    async def _hear(self, room: str) -> None:
        async with self._hub.listen(room) as messages:
            async for message in messages:
                if room == self._room:
                    self._follow(message)
                elif self.arena is not None and message.event in WANTS:
                    WANTS[message.event](self.arena, *message.data)

    def _follow(self, message: Heard) -> None:
        told = message.data
        if told["by"] == self._me:
            return
        self._heard_at = time.monotonic()
        if message.event == "players":
            self._players = told["players"]
        else:
            self._told = told
            if (told["began"], told["by"]) < (self._began, self._me):
                self.arena = None

    async def _look(self) -> None:
        """See who is here; and whether somebody must take over."""
        while True:
            members = await self._hub.members(self._room)
            users = {member.user_id for member in members if member.user_id is not None}
            if self.arena is None and time.monotonic() - self._heard_at > SILENT:
                first = min((member.connection_id for member in members), default=None)
                if any(one.id == first for one in self._hub.members_here(self._room)):
                    self._take_over()
            if self.arena is not None and not members.missing:
                self.arena.here(users)
                self._watching = len(users - self.arena.beetles.keys())
                await self._tell_players(self.arena)
            await asyncio.sleep(LOOK)

    def _take_over(self) -> None:
        chance = Random(secrets.randbits(64))
        self.arena = resumed(chance, self._told, self._players) if self._told else Arena(chance)
        self._began = self._told["began"] if self._told else time.time()

    async def _tick(self) -> None:
        stepped = due = time.monotonic()
        while True:
            now = time.monotonic()
            due = max(due + TICK, now)  # if it is late, what is lost is lost: it would pile up
            await asyncio.sleep(due - now)
            now = time.monotonic()
            if (arena := self.arena) is not None:
                arena.step(now - stepped)
                await self._hub.broadcast(self._now(arena), room=self._room, event="state", key="state")
            stepped = now

    def _now(self, arena: Arena) -> dict[str, Any]:
        return {**state(arena), "at": time.time(), "by": self._me, "began": self._began}

    async def _tell_players(self, arena: Arena) -> None:
        """To those in the arena who is who; to those in the lobby that there is something to see."""
        told = {"by": self._me, "players": players(arena), "watching": self._watching, "places": PLAYERS}
        await self._hub.broadcast(told, room=self._room, event="players", key="players")
        names = [one.name for one in arena.beetles.values()]
        told = {"arena": self._name, "players": names, "watching": self._watching, "left": round(arena.left)}
        await self._hub.broadcast(told, room="lobby", event="arena", key=self._name)
