"""One story, told by two clients of one kind; whatever they are, and wherever: it should always be the same."""

import asyncio
from typing import Any

from benchmarks.gate import Gate

from .crowd import COMES_WITHIN
from .hub_app import PREFIX, token
from .stage import Actor, RefusedError

STATUSES = (400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 503)

SHORT = 18.0
"""Seconds that a token lives which is replaced. Clients ask for another at 80 %: what comes before takes less, and
they may be late by the rest."""

FROM_OUTSIDE = {"text": "from outside"}
"""Of who has left the room. One client knows by itself that this does not work, the other lets the hub say so."""

OPTIONS = {"minDelay": 0.05, "maxDelay": 0.2, "wire": True}


class Scene:
    """Ann and Bob, each with a gate of their own.

    Args:
        tag: What names have at their end here, so that several scenes may share servers.

    Attributes:
        answers: What became of each order, in the order of the script.
    """

    def __init__(self, tag: str, ann: Actor, bob: Actor, gates: tuple[Gate, Gate]) -> None:
        self.tag = tag
        self.ann = ann
        self.bob = bob
        self.answers: list[Any] = []
        self._gates = {ann: gates[0], bob: gates[1]}
        self._messages = {ann: 0, bob: 0}

    def name(self, name: str) -> str:
        return name + self.tag

    async def ask(self, actor: Actor, order: str, **details: Any) -> None:
        """Give an order, and write down what becomes of it."""
        place = len(self.answers)
        self.answers.append(None)
        try:
            answer = await self._order(actor, order, **details)
        except RefusedError as error:
            answer = {"error": error.told}
        self.answers[place] = {order: answer}

    async def until(self, actor: Actor, kind: str, count: int) -> None:
        await self._order(actor, "until", kind=kind, count=count)

    async def heard(self, *actors: Actor, more: int = 1) -> None:
        """Wait until these have heard so much more."""
        for actor in actors:
            self._messages[actor] += more
            await self.until(actor, "message", self._messages[actor])

    async def present(self, *actors: Actor, **users: Any) -> None:
        """Wait until these see these, each with such metadata."""
        seen = {self.name(user): metadata for user, metadata in users.items()}
        for actor in actors:
            await self._order(actor, "until_present", room="present lobby", users=seen)

    async def enter(self, actor: Actor) -> None:
        """Connect, and join."""
        how = {"url": f"http://127.0.0.1:{self._gates[actor].port}{PREFIX}", "transport": actor.kind.transport}
        await self.ask(actor, "open", **how, token=token(actor.name), **OPTIONS)
        await self.ask(actor, "join", room="present lobby")
        await self.ask(actor, "joined", room="present lobby")

    async def shut(self, actor: Actor) -> None:
        await self._gates[actor].shut(reset=True, refuse=True)

    async def open(self, actor: Actor) -> None:
        await self._gates[actor].open()

    async def _order(self, actor: Actor, order: str, **details: Any) -> Any:
        if "room" in details:
            details["room"] = self.name(details["room"])
        try:
            async with asyncio.timeout(COMES_WITHIN):
                return await actor.order(order, **details)
        except TimeoutError:
            raise AssertionError(f"{self.tag}: {order} {details} did not end: {self.answers[-5:]}") from None


async def play(scene: Scene) -> None:
    """The whole story."""
    ann, bob = scene.ann, scene.bob
    await scene.enter(ann)
    await scene.present(ann, ann={})
    await scene.enter(bob)
    await scene.present(ann, bob, ann={}, bob={})
    await _talk(scene)
    await _mistakes(scene)
    await _away(scene)
    await _lost(scene)
    await _comings_and_goings(scene)
    await _refresh(scene)
    await _ends(scene)


async def _talk(scene: Scene) -> None:
    ann, bob = scene.ann, scene.bob
    await scene.ask(ann, "send", room="present lobby", command="say", data={"text": "hello"})
    await scene.heard(ann, bob)
    await scene.ask(bob, "publish", room="present lobby", event="typing", data={"words": ["é", "漢", None, 1.5]})
    await scene.heard(ann, bob)
    await scene.ask(ann, "send", command="whisper", data={"text": "psst"})
    await scene.heard(ann)
    await scene.ask(bob, "send", command="tell", data=scene.name("ann"))
    await scene.heard(ann)
    await scene.ask(bob, "tell", room="present lobby", metadata={"typing": True})
    await scene.present(ann, bob, ann={}, bob={"typing": True})


async def _mistakes(scene: Scene) -> None:
    ann = scene.ann
    await scene.ask(ann, "send", room="present lobby", command="say", data={"text": "x" * 30})
    await scene.ask(ann, "send", room="present lobby", command="say")
    await scene.ask(ann, "send", command="say", data={"text": "where?"})
    await scene.ask(ann, "send", command="nothing of the kind")
    for status in STATUSES:
        await scene.ask(ann, "send", command="fail", data={"status": status})
    await scene.ask(ann, "send", command="fail", data={"code": "banned"})
    await scene.ask(ann, "send", command="fail", data={})
    await scene.ask(ann, "tell", room="present lobby", metadata={"long": "x" * 2000})
    await scene.ask(ann, "tell", room="present lobby", metadata={"fine": 1})
    await scene.present(ann, scene.bob, ann={"fine": 1}, bob={"typing": True})
    await scene.ask(ann, "join", room="secret")
    await scene.ask(ann, "joined", room="secret")
    await scene.ask(ann, "join", room="quiet")
    await scene.ask(ann, "joined", room="quiet")
    await scene.ask(ann, "publish", room="quiet", event="said", data=1)
    await scene.ask(ann, "tell", room="quiet", metadata={})


async def _away(scene: Scene) -> None:
    """Ann misses three messages, and gets them; what she says meanwhile waits."""
    ann, bob = scene.ann, scene.bob
    await scene.shut(ann)
    await scene.until(ann, "state waiting", 1)
    for text in ("one", "two", "three"):
        await scene.ask(bob, "send", room="present lobby", command="say", data={"text": text})
    await scene.heard(bob, more=3)
    async with asyncio.TaskGroup() as group:
        waiting = scene.ask(ann, "send", room="present lobby", command="say", data={"text": "waits"})
        group.create_task(waiting)
        await asyncio.sleep(0)  # it is ordered
        await scene.open(ann)
    await scene.heard(ann, more=4)
    await scene.heard(bob)
    await scene.present(ann, bob, ann={"fine": 1}, bob={"typing": True})


async def _lost(scene: Scene) -> None:
    """The connection breaks before the answer; she comes back with a token that does not live for long."""
    ann = scene.ann
    await scene.ask(ann, "take_token", token=token(ann.name, seconds=SHORT, serial=2))
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.ask(ann, "send", command="dawdle"))
        await scene.heard(ann)
        await scene.shut(ann)
    await scene.open(ann)
    await scene.until(ann, "state connected", 3)
    await scene.until(ann, "joined", 6)


async def _comings_and_goings(scene: Scene) -> None:
    ann, bob = scene.ann, scene.bob
    await scene.ask(ann, "leave", room="quiet")
    await scene.ask(ann, "send", room="quiet", command="say", data=FROM_OUTSIDE)
    since = await bob.order("position", room=scene.name("present lobby"))
    await scene.ask(bob, "leave", room="present lobby")
    await scene.present(ann, ann={"fine": 1})
    for text in ("four", "five"):
        await scene.ask(ann, "send", room="present lobby", command="say", data={"text": text})
    await scene.heard(ann, more=2)
    await scene.ask(bob, "join", room="present lobby", since=since)
    await scene.ask(bob, "joined", room="present lobby")
    await scene.heard(bob, more=2)
    await scene.present(ann, bob, ann={"fine": 1}, bob={})
    await scene.ask(bob, "join", room="elsewhere", since="7.AAAAAAAA.BBBBBBBB")
    await scene.ask(bob, "joined", room="elsewhere")
    await scene.ask(bob, "send", room="present lobby", command="remove")
    await scene.until(bob, "left", 2)
    await scene.present(ann, ann={"fine": 1})


async def _refresh(scene: Scene) -> None:
    """Ann's token is about to expire; and the hub asks now and then whether she is there."""
    ann = scene.ann
    await scene.ask(ann, "take_token", token=token(ann.name, serial=3))
    await scene.ask(ann, "send", command="who")
    await scene.until(ann, "up refresh", 1)
    await scene.ask(ann, "send", command="who")
    await scene.until(ann, "up pong", 1)


async def _ends(scene: Scene) -> None:
    ann, bob = scene.ann, scene.bob
    await scene.ask(ann, "send", command="hang up", data=4000)
    await scene.until(ann, "joined", 7)
    await scene.until(ann, "down presence", 4)
    await scene.ask(bob, "send", command="hang up", data=4507)
    await scene.until(bob, "closed", 1)
    await scene.ask(bob, "send", command="who")
    await scene.ask(ann, "close")
    await scene.until(ann, "closed", 1)
    await scene.ask(ann, "send", command="who")
