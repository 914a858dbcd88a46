"""Who is in a room, as clients are told: a snapshot, then what changes."""

from collections.abc import Mapping
from typing import Any

import pytest

from fastapi_rooms import Connection, Limits, Presence, QueueLimits
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.hub import Hub
from fastapi_rooms.presence import PresenceDiff
from fastapi_rooms.testing import Buffer, eventually
from hub.talk import Frame, Talk, auth_of_names, served, talking

AT_ONCE = Presence(grace=0.0, interval=0.0)


def hub_of(presence: Any = AT_ONCE, **options: Any) -> Hub[Any]:
    return Hub(auth=auth_of_names(), presence=presence, **options)


class Page:
    """Applies what a client hears, by the rules of the protocol's page.

    Attributes:
        users: Who is there: their connections, each with its metadata.
        version: Of the last that counted.
    """

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.users: dict[str, dict[str, Any]] = {}
        self.version = -1
        self.count = 0

    def take(self, frame: Frame) -> None:
        if frame["type"] == "presence":
            self.users = {name: _connections(its) for name, its in frame["users"].items()}
        elif frame["type"] == "presence-diff" and frame["version"] > self.version >= 0:
            for name in frame["leaves"]:
                self.users.pop(name, None)
            for name, its in (frame["joins"] | frame["updates"]).items():
                self.users[name] = _connections(its)
        else:
            return
        self.version, self.count = frame["version"], frame["count"]

    async def shows(self, users: Mapping[str, list[Any]]) -> None:
        """Take frames until it shows these users, with the metadata of each of their connections."""
        while {name: list(its.values()) for name, its in self.users.items()} != users:
            self.take(await self.talk.hear())
        assert self.count == len(users)


def _connections(told: list[Frame]) -> dict[str, Any]:
    return {one["id"]: one["metadata"] for one in told}


async def join(talk: Talk, room: str = "red") -> Page:
    """Join, and take the snapshot that must follow."""
    joined = await talk.join(room)
    assert joined["presence"] is True
    page = Page(talk)
    page.take(await talk.until("presence", room=room))
    return page


async def test_who_joins_is_told_who_is_there_and_then_what_changes() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as ann:
        page = await join(ann)
        await page.shows({"ann": [{}]})
        assert ann.connected["connection"] in page.users["ann"]
        async with talking(client, "bob") as bob:
            its = await join(bob)
            await its.shows({"ann": [{}], "bob": [{}]})
            await page.shows({"ann": [{}], "bob": [{}]})
            async with talking(client, "bob") as again:
                await join(again)
                await page.shows({"ann": [{}], "bob": [{}, {}]})
            await page.shows({"ann": [{}], "bob": [{}]})
        await page.shows({"ann": [{}]})


async def test_leaving_a_room_is_told_and_nothing_of_it_comes_any_more() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as ann, talking(client, "bob") as bob:
        page = await join(ann)
        await join(bob)
        await page.shows({"ann": [{}], "bob": [{}]})
        await bob.ask("leave", room="red")
        await page.shows({"ann": [{}]})
        await ann.ask("leave", room="red")
        await ann.nothing_more()
        await bob.nothing_more()


async def test_a_client_tells_more_of_itself() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as ann, talking(client, "bob") as bob:
        pages = [await join(ann), await join(bob)]
        answer = await ann.ask("presence", room="red", metadata={"typing": True})
        for frame in ann.passed:
            pages[0].take(frame)
        assert answer == {"type": "reply", "id": answer["id"], "data": None}
        for page in pages:
            await page.shows({"ann": [{"typing": True}], "bob": [{}]})
        await ann.say({"type": "presence", "room": "red", "metadata": {}})
        for page in pages:
            await page.shows({"ann": [{}], "bob": [{}]})


class Named(Hub[Any]):
    """Says more of its clients, and does not show all."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.diffs: list[PresenceDiff] = []

    def present(self, connection: Connection[Any], room: str) -> Mapping[str, object] | None:
        return None if connection.user_id == "ghost" else {"name": str(connection.user_id).title()}

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        self.diffs.append(diff)
        await self.broadcast_here(sorted(diff.joins), room=room, event="came")


async def test_the_hub_says_what_is_told_and_its_own_hook_comes_after_that() -> None:
    hub = Named(auth=auth_of_names(), presence=AT_ONCE)
    async with served(hub) as client, talking(client, "ann") as ann:
        page = await join(ann)
        await page.shows({"ann": [{"name": "Ann"}]})
        async with talking(client, "ghost") as ghost:
            assert (await ghost.join("red"))["presence"] is True
            async with talking(client, "bob") as bob:
                await join(bob)
                diff = await ann.until("presence-diff", count=2)
                assert list(diff["joins"]) == ["bob"]
                assert (await ann.hear())["data"] == ["bob"]


async def test_without_a_user_nobody_is_shown_and_cannot_be() -> None:
    hub: Hub[Any] = Hub(presence=AT_ONCE)
    async with served(hub) as client, talking(client) as talk:
        page = await join(talk)
        assert (page.users, page.count) == ({}, 0)
        told = await talk.error("presence", room="red", metadata={})
        assert told["code"] == "invalid"
        assert "no user" in told["detail"]


async def test_rooms_without_presence_say_so() -> None:
    hub = hub_of(lambda room: AT_ONCE if room == "red" else None)
    async with served(hub) as client, talking(client, "ann") as talk:
        await join(talk)
        assert (await talk.join("blue"))["presence"] is False
        told = await talk.error("presence", room="blue", metadata={})
        assert told == {"code": "not_found", "detail": "this room has no presence"}
        assert (await talk.ask("presence", room="red", metadata={}))["type"] == "reply"


async def test_metadata_that_is_too_large_is_an_error_and_is_told_nobody() -> None:
    hub = hub_of(Presence(grace=0.0, interval=0.0, metadata_bytes=20))
    async with served(hub) as client, talking(client, "ann") as talk:
        page = await join(talk)
        told = await talk.error("presence", room="red", metadata={"a": "x" * 20})
        for frame in talk.passed:
            page.take(frame)
        assert told == {"code": "too_large", "detail": "28 bytes; at most 20 are taken"}
        await page.shows({"ann": [{}]})


async def test_joining_again_without_having_left_brings_no_snapshot_again() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as talk:
        await join(talk)
        assert (await talk.join("red"))["presence"] is False
        await talk.ask("leave", room="red")
        page = await join(talk)
        await page.shows({"ann": [{}]})


async def test_where_there_are_too_many_their_number_is_told() -> None:
    hub = hub_of(Presence(grace=0.0, interval=0.0, listed=2))
    async with served(hub) as client, talking(client, "ann") as ann, talking(client, "bob") as bob:
        for talk in (ann, bob):
            await join(talk)
        async with talking(client, "cid") as cid:
            await cid.join("red")
            diff = await ann.until("presence-diff", count=3)
            assert (diff["listed"], diff["joins"]) == (False, {})
            async with talking(client, "ann") as late:
                await late.join("red")
                view = await late.until("presence")
                assert (view["listed"], view["count"], view["users"]) == (False, 3, {})
        await bob.ask("leave", room="red")
        diff = await ann.until("presence-diff", count=1)
        assert (diff["listed"], list(diff["joins"])) == (True, ["ann"])


async def test_who_is_at_another_process_is_there_too() -> None:
    broker = MemoryBroker()
    here, there = hub_of(broker=broker), hub_of(broker=broker)
    async with (
        served(here) as one,
        served(there) as other,
        talking(one, "ann") as ann,
        talking(other, "bob") as bob,
    ):
        pages = [await join(ann), await join(bob)]
        for page in pages:
            await page.shows({"ann": [{}], "bob": [{}]})
        await bob.ask("presence", room="red", metadata={"seat": 4})
        for frame in bob.passed:
            pages[1].take(frame)
        for page in pages:
            await page.shows({"ann": [{}], "bob": [{"seat": 4}]})


async def test_who_is_taken_out_is_told_so_and_the_others_that_it_has_gone() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as ann, talking(client, "bob") as bob:
        page = await join(ann)
        await join(bob)
        await page.shows({"ann": [{}], "bob": [{}]})
        (connection,) = [one for one in hub.connections if one.user_id == "bob"]
        await hub.leave(connection, "red")
        assert await bob.until("left") == {"type": "left", "room": "red"}
        await page.shows({"ann": [{}]})
        await bob.nothing_more()


async def test_names_of_any_kind_are_told() -> None:
    names = ["", '"', "\x00\x1f", "\U0001f600", "__proto__", "constructor", "1"]
    hub: Hub[Any] = Hub(presence=AT_ONCE)
    hub.auth = auth_of_names()
    async with served(hub) as client, talking(client, "watcher") as talk:
        page = await join(talk)
        for name in names[1:]:
            async with talking(client, name) as one:
                await join(one)
                await page.shows({"watcher": [{}], name: [{}]})
            await page.shows({"watcher": [{}]})


@pytest.mark.logged_errors
async def test_a_presence_function_that_fails_is_no_reason_to_end_anything() -> None:
    def presence(room: str) -> Presence | None:
        return AT_ONCE if room != "bad" else Presence(grace=1 // 0)

    hub = hub_of(presence)
    async with served(hub) as client, talking(client, "ann") as talk:
        assert (await talk.error("join", room="bad"))["code"] == "internal"
        await join(talk)


async def test_a_snapshot_that_comes_late_is_for_members_alone() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as talk:
        frames = [{"type": kind, "id": n, "room": "red"} for n, kind in enumerate(["join", "leave"] * 5)]
        await talk.say(*frames)
        left = 0
        while left < 5:
            frame = await talk.hear()
            left += frame["type"] == "left"
        await talk.nothing_more()


async def test_diffs_reach_a_client_whose_queue_is_full_of_other_things() -> None:
    hub = hub_of(queue=QueueLimits(messages=4, bytes=20_000), limits=Limits(inbox_messages=100))
    buffer = Buffer(messages=1)
    async with (
        served(hub) as client,
        talking(client, "ann", buffer=buffer) as slow,
        talking(client, "bob") as bob,
    ):
        page = await join(slow)
        await page.shows({"ann": [{}]})
        slow.ws.stall()
        while slow.ws.blocked_sends == 0:
            await hub.broadcast("x" * 4000, room="red")
        (connection,) = [one for one in hub.connections if one.user_id == "ann"]
        while connection.statistics().queued < 4:
            await hub.broadcast("x", room="red")
        await join(bob)
        await eventually(lambda: connection.statistics().queued > 4, awaited="the diff in the control space")
        slow.ws.resume()
        await page.shows({"ann": [{}], "bob": [{}]})
