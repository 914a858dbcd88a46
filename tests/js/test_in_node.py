"""The client in node, with a real hub: one story, over WebSockets and over streams."""

import itertools
import json
from collections.abc import Iterator

import pytest

from .hub_process import HubProcess
from .javascript import HERE, node, run, sockets

ROOMS = (f"node-{number}" for number in itertools.count())
BACK = [["state", "waiting"], ["state", "connecting"], ["state", "connected"], ["joined", True, True]]
SAID = [
    ["typing", "ann"],
    *(["said", f"{cut}.{number}"] for cut in range(3) for number in range(20)),
    *(["said", f"many {number}"] for number in range(150)),
    ["said", "the end"],
]
STORY = [
    ["state", "connected"],
    ["joined", None, False],
    ["reply", {"user": "ann", "text": "before there is a connection"}],
    ["here", ["ann"], "ann"],
    ["whispered", "hub", "psst"],
    ["reply", None],
    ["RoomsError", "invalid", "text"],
    ["RoomsError", "banned", "you may not speak here"],
    ["unknown_command"],
    ["error", "refused"],
    ["refused", "refused"],
    *BACK * 3,
    ["told", {"mood": "good"}, True],
    ["in order", True],
    ["read", SAID],
    ["left", None],
    ["not_joined"],
    ["state", "closed"],
    ["close", 1000],
    ["closed"],
]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubProcess]:
    with HubProcess() as process:
        yield process
    assert "Traceback" not in process.log, process.log


@pytest.mark.parametrize("way", ["websocket", "sse"])
def test_a_process_tells_the_same_story_over_both_ways_and_ends(hub: HubProcess, way: str) -> None:
    path = node()
    flags = sockets(path) if way == "websocket" else ()
    printed = run(path, "--no-warnings", *flags, str(HERE / "story.mjs"), hub.url, next(ROOMS), way)
    assert [json.loads(line) for line in printed.splitlines()] == STORY
