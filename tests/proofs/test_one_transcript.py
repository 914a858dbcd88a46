"""The differential test: one script in both languages, over both ways, on one worker and two: one transcript."""

import asyncio
import difflib
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.gate import gates

from .hub_app import HEARTBEAT
from .script import Scene, play
from .servers import Server, serving
from .stage import KINDS, LANGUAGES, Actor, Cast, Kind, cast
from .transcript import transcript

ERRORS = [
    *["invalid", "invalid", "invalid", "unknown_command"],
    *["invalid", "unauthorized", "forbidden", "not_found", "conflict", "too_large", "status_418", "invalid"],
    *[
        "too_many",
        "internal",
        "unavailable",
        "banned",
        "internal",
        "too_large",
        "refused",
        "forbidden",
        "not_found",
    ],
    *["lost", "not_joined", "lost", "lost", "closed", "closed"],
]
"""The codes of all that goes wrong in the script, in order."""


async def test_every_client_on_every_way_to_one_worker_or_two_tells_the_same_story() -> None:
    async with AsyncExitStack() as stack:
        casts = {language: await stack.enter_async_context(cast(language)) for language in LANGUAGES}
        houses = [await stack.enter_async_context(serving(count, **{HEARTBEAT: "2"})) for count in (1, 2)]
        async with asyncio.TaskGroup() as group:
            plays = {
                f"{kind}, {len(house)} worker(s)": group.create_task(_tell(casts[kind.language], kind, house))
                for house in houses
                for kind in KINDS
            }
    transcripts = {name: task.result() for name, task in plays.items()}
    (name, first), *others = transcripts.items()
    print(f"\n{len(transcripts)} transcripts of {len(first.splitlines())} lines")
    differences = [_difference(name, first, other, text) for other, text in others if text != first]
    assert not differences, "\n\n".join(differences)
    _check(json.loads(first))


async def _tell(cast: Cast, kind: Kind, house: list[Server]) -> str:
    """The script, by these clients; what came of it, as text."""
    tag = f"@{kind.language}-{kind.transport}-{len(house)}"
    ports = [server.port for server in house]
    ann, bob = (Actor(cast, name + tag, kind) for name in ("ann", "bob"))
    async with gates(1, ports) as (hers,), gates(1, ports[::-1]) as (his,):
        scene = Scene(tag, ann, bob, (hers, his))
        await play(scene)
        journals = {actor.name.removesuffix(tag): await actor.order("journal") for actor in (ann, bob)}
    return json.dumps(transcript(journals, scene.answers, tag), indent=1, sort_keys=True, ensure_ascii=False)


def _difference(name: str, text: str, other: str, other_text: str) -> str:
    lines = difflib.unified_diff(text.splitlines(), other_text.splitlines(), name, other, lineterm="", n=4)
    return "\n".join(lines)


def _check(told: Mapping[str, Any]) -> None:
    """The story is the one that it should be."""
    results = [result for answer in told["answers"] for result in answer.values() if result is not None]
    assert [result["error"]["code"] for result in results if "error" in result] == ERRORS
    lobby = told["ann"]["is told"]["rooms"]["present lobby"]
    texts = [entry["data"].get("text") for entry in lobby if entry["kind"] == "message"]
    assert texts == ["hello", None, "one", "two", "three", "waits", "four", "five"]
    joins = [entry for entry in lobby if entry["kind"] == "joined"]
    assert [(entry.get("recovered"), entry["again"]) for entry in joins] == [(None, False), *[(True, True)] * 3]
    assert [entry["kind"] for entry in told["ann"]["is told"]["presence"]] == [
        "presence join",
        "presence update",
        *["presence leave", "presence join", "presence leave"],
    ]
    assert [result["serial"] for result in results if "serial" in result] == [2, 3]
    assert told["bob"]["is told"]["others"] == [{"kind": "closed", "code": 4507}]
