"""What presence asks of its manager's hooks and of its broker: contained, and addressed."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastapi_rooms.cluster.cluster import Cluster
from fastapi_rooms.cluster.peers import Peers
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import Header, Kind
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.options import Limits, Presence
from fastapi_rooms.presence import PresenceDiff
from fastapi_rooms.presence_host import ClusterWire, PresenceHost
from fastapi_rooms.presence_ports import presence_of
from fastapi_rooms.room_hooks import RoomHooks
from unit.fakes import SHORT, SOON

POLICY = Presence(metadata_bytes=20)
DIFF = PresenceDiff(version=1, count=0)


class Noting(RoomHooks[Any]):
    """Hooks that say what they are told to."""

    def __init__(self) -> None:
        self.metadata: Any = {"mood": "good"}
        self.told: list[tuple[str, PresenceDiff]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def present(self, connection: Connection[Any], room: str) -> Mapping[str, object] | None:
        if self.error is not None:
            raise self.error
        return cast("Mapping[str, object] | None", self.metadata)

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        self.told.append((room, diff))
        await self.gate.wait()
        if self.error is not None:
            raise self.error


class FakeCluster:
    """Notes what is posted."""

    process = "here"

    def __init__(self) -> None:
        self.peers = Peers(within=SOON, clock=lambda: 0.0)
        self.posted: list[tuple[Header, bytes]] = []

    def header(self, kind: Kind, *, room: str, user: str | None) -> Header:
        return Header(kind=kind, process=self.process, number=1, room=room, user=user)

    async def post(self, header: Header, body: bytes) -> None:
        self.posted.append((header, body))


def host_of(hooks: RoomHooks[Any], *, limits: Limits | None = None) -> PresenceHost:
    host = cast("ManagerHost[Any]", SimpleNamespace(limits=limits or Limits()))
    rooms = {"red": POLICY}
    return PresenceHost(hooks, host, rooms.get)


def connection_of(user_id: str | None = "ann") -> Connection[Any]:
    return cast("Connection[Any]", SimpleNamespace(id="1", user_id=user_id))


async def test_what_the_hook_says_is_told_as_a_copy() -> None:
    hooks = Noting()
    told = host_of(hooks).present(connection_of(), "red")
    assert told == {"mood": "good"}
    assert told is not hooks.metadata


async def test_by_default_nothing_is_told_but_that_somebody_is_there() -> None:
    assert host_of(RoomHooks()).present(connection_of(), "red") == {}


async def test_one_that_is_not_to_be_shown_is_not_nor_anybody_in_a_room_without_presence() -> None:
    hooks = Noting()
    assert host_of(hooks).present(connection_of(), "blue") is None
    hooks.metadata = None
    assert host_of(hooks).present(connection_of(), "red") is None


@pytest.mark.logged_errors
@pytest.mark.parametrize("metadata", [{"mood": "x" * 20}, {"mood": object()}, ["mood"]])
async def test_metadata_that_cannot_be_told_is_logged_and_the_connection_is_not_shown(
    metadata: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = Noting()
    hooks.metadata = metadata
    assert host_of(hooks).present(connection_of(), "red") is None
    assert caplog.messages == ["present failed: connection 1 is not shown in 'red'"]


@pytest.mark.logged_errors
async def test_a_user_who_cannot_be_named_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    host = host_of(Noting())
    assert host.present(connection_of("\ud800"), "red") is None
    assert len(caplog.messages) == 1
    assert host.present(connection_of(None), "red") == {"mood": "good"}


@pytest.mark.logged_errors
async def test_a_hook_that_raises_is_logged_and_the_connection_is_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hooks = Noting()
    hooks.error = RuntimeError("the user's")
    assert host_of(hooks).present(connection_of(), "red") is None
    assert "the user's" in caplog.text


async def test_diffs_are_told_to_the_hook() -> None:
    hooks = Noting()
    await host_of(hooks).on_presence("red", DIFF)
    assert hooks.told == [("red", DIFF)]


@pytest.mark.logged_errors
async def test_a_hook_for_diffs_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    hooks = Noting()
    hooks.error = RuntimeError("the user's")
    await host_of(hooks).on_presence("red", DIFF)
    assert caplog.messages == ["on_presence failed"]


@pytest.mark.logged_errors
async def test_a_hook_for_diffs_that_hangs_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    hooks = Noting()
    hooks.gate.clear()
    await host_of(hooks, limits=Limits(hook_timeout=SHORT)).on_presence("red", DIFF)
    assert caplog.messages == ["on_presence failed"]


async def test_a_manager_without_the_hook_is_not_bothered(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks: RoomHooks[Any] = RoomHooks()
    host = host_of(hooks)
    called: list[object] = []
    monkeypatch.setattr(hooks, "on_presence", called.append)
    await host.on_presence("red", DIFF)
    assert called == []


def test_one_presence_is_that_of_every_room_and_a_function_decides_for_each() -> None:
    assert [presence_of(POLICY)(room) for room in ("red", "blue")] == [POLICY, POLICY]
    rooms = {"red": POLICY}
    assert [presence_of(rooms.get)(room) for room in ("red", "blue")] == [POLICY, None]


async def test_what_is_said_goes_to_the_room_and_what_is_asked_and_told_to_whom_it_is_for() -> None:
    cluster = FakeCluster()
    wire = ClusterWire(lambda: cast("Cluster", cluster), answer_within=3.0)
    cluster.peers.saw("there")
    assert (wire.process, wire.answer_within, wire.others()) == ("here", 3.0, frozenset({"there"}))
    await wire.say("red", b"change")
    await wire.ask("red", None)
    await wire.ask("red", "there")
    await wire.tell("red", "there", b"all")
    assert [(header.kind, header.room, header.user, body) for header, body in cluster.posted] == [
        (Kind.PRESENCE, "red", None, b"change"),
        (Kind.PRESENCE_ASK, "red", None, b""),
        (Kind.PRESENCE_ASK, "red", "there", b""),
        (Kind.PRESENCE_ALL, "red", "there", b"all"),
    ]
