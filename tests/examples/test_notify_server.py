"""Notify's server, without a browser: who hears of alerts, who may raise them, and who was first."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples import notify
from fastapi_rooms.testing import Client
from hub.talk import Talk, talking

DISK = {"severity": "critical", "text": "The disk is full"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """The example as it runs alone; what it keeps stays from test to test."""
    async with Client(notify.app) as client:
        yield client


async def token_for(client: Client, name: str, *, on_call: bool = True) -> str:
    answer = await client.post("/token", json={"name": name, "on_call": on_call})
    assert answer.status == 200
    return str(answer.json()["token"])


async def bearer(client: Client, name: str = "Monitor", *, on_call: bool = True) -> dict[str, str]:
    return {"Authorization": f"Bearer {await token_for(client, name, on_call=on_call)}"}


async def raised(client: Client, **what: Any) -> dict[str, Any]:
    answer = await client.post("/alerts", json={**DISK, **what}, headers=await bearer(client))
    assert answer.status == 201
    alert: dict[str, Any] = answer.json()
    return alert


async def hear(talk: Talk, event: str) -> dict[str, Any]:
    data: dict[str, Any] = (await talk.until("message", event=event))["data"]
    return data


async def nothing_is_said(talk: Talk) -> None:
    """All that was said was heard; who is here may be told at any time."""
    before = len(talk.passed)
    await talk.say({"type": "ping"})
    await talk.until("pong")
    assert [frame for frame in talk.passed[before:] if frame["type"] == "message"] == []


async def test_who_is_on_call_hears_what_is_raised_by_http(client: Client) -> None:
    async with talking(client, await token_for(client, "Ada")) as ada:
        await ada.join("alerts")
        alert = await raised(client)
        assert await hear(ada, "alert") == alert
        assert alert.items() >= {**DISK, "source": "Monitor, by HTTP"}.items()


async def test_a_visitor_gets_into_no_room_and_hears_nothing(client: Client) -> None:
    async with talking(client, await token_for(client, "Eve", on_call=False)) as eve:
        assert (await eve.error("join", room="alerts"))["code"] == "refused"
        await raised(client)
        await nothing_is_said(eve)


async def test_other_rooms_are_closed_to_those_on_call_too(client: Client) -> None:
    async with talking(client, await token_for(client, "Ada")) as ada:
        assert (await ada.error("join", room="elsewhere"))["code"] == "refused"


@pytest.mark.parametrize(("path", "body"), [("/alerts", DISK), ("/backups", {})])
async def test_without_the_scope_nothing_is_raised(client: Client, path: str, body: dict[str, Any]) -> None:
    assert (await client.post(path, json=body)).status == 401
    visitor = await bearer(client, on_call=False)
    refused = await client.post(path, json=body, headers=visitor)
    assert refused.status == 403
    assert refused.json()["detail"] == "missing scope: alerts:raise"


async def test_the_same_id_again_is_raised_once(client: Client) -> None:
    async with talking(client, await token_for(client, "Ada")) as ada:
        await ada.join("alerts")
        for status in (201, 200):
            answer = await client.post("/alerts", json={**DISK, "id": "disk-7"}, headers=await bearer(client))
            assert answer.status == status
        assert (await hear(ada, "alert"))["id"] == "disk-7"
        await nothing_is_said(ada)


@pytest.mark.parametrize("wrong", [{"text": " "}, {"text": "x" * 301}, {"severity": "fatal"}, {"id": "a b"}])
async def test_an_alert_that_is_none_is_refused(client: Client, wrong: dict[str, str]) -> None:
    answer = await client.post("/alerts", json={**DISK, **wrong}, headers=await bearer(client))
    assert answer.status == 422


@pytest.mark.parametrize(
    ("fails", "severity", "text"),
    [(False, "info", "The backup is done, after 0 s"), (True, "critical", "The backup failed: the disk is full")],
)
async def test_a_background_task_says_how_it_went(client: Client, fails: bool, severity: str, text: str) -> None:
    async with talking(client, await token_for(client, "Ada")) as ada:
        await ada.join("alerts")
        answer = await client.post("/backups", json={"seconds": 0, "fails": fails}, headers=await bearer(client))
        assert answer.status == 202
        alert = await hear(ada, "alert")
        assert (alert["severity"], alert["text"], alert["source"]) == (severity, text, "background task")


async def test_the_first_to_acknowledge_wins_and_the_second_is_told_who_was_first(client: Client) -> None:
    alert = (await raised(client))["id"]
    async with (
        talking(client, await token_for(client, "Ada")) as ada,
        talking(client, await token_for(client, "Bob")) as bob,
    ):
        for talk in (ada, bob):
            await talk.join("alerts")
        mine = await ada.reply("acknowledge", alert, room="alerts")
        assert mine["by"] == "Ada"
        assert await hear(bob, "acknowledged") == mine
        late = await bob.error("send", command="acknowledge", data=alert, room="alerts")
        assert late == {"code": "taken", "detail": "Ada was first"}
        await nothing_is_said(bob)


async def test_of_several_who_acknowledge_at_once_one_wins(client: Client) -> None:
    alert = (await raised(client))["id"]
    async with (
        talking(client, await token_for(client, "Ada")) as ada,
        talking(client, await token_for(client, "Bob")) as bob,
    ):
        for talk in (ada, bob):
            await talk.join("alerts")
        asked = [talk.send("acknowledge", alert, room="alerts") for talk in (ada, bob)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer["type"] for answer in answers) == ["error", "reply"]
        winner = next(answer["data"]["by"] for answer in answers if answer["type"] == "reply")
        assert next(one["detail"] for one in answers if one["type"] == "error") == f"{winner} was first"


async def test_what_is_not_kept_cannot_be_acknowledged(client: Client) -> None:
    async with talking(client, await token_for(client, "Ada")) as ada:
        await ada.join("alerts")
        error = await ada.error("send", command="acknowledge", data="no-such", room="alerts")
        assert error == {"code": "not_found", "detail": "this alert is not kept any more"}


async def test_who_comes_back_with_a_position_gets_what_came_since(client: Client) -> None:
    async with talking(client, await token_for(client, "Ada")) as ada:
        await ada.join("alerts")
        seen = (await raised(client, text="seen"))["id"]
        position = (await ada.until("message", event="alert"))["position"]
    missed = (await raised(client, text="missed"))["id"]
    async with talking(client, await token_for(client, "Ada")) as ada:
        assert (await ada.join("alerts", since=position))["recovered"] is True
        assert [frame["data"]["id"] for frame in ada.passed if frame["type"] == "message"] == [missed]
    async with talking(client, await token_for(client, "Bob")) as bob:
        await bob.join("alerts")
        known = [frame["data"]["id"] for frame in bob.passed if frame["type"] == "message"]
        assert known[-2:] == [seen, missed]


@pytest.mark.parametrize(
    ("said", "severity", "text"),
    [
        ("critical: db-1 is down", "critical", "db-1 is down"),
        ("The queue grows", "info", "The queue grows"),
        ("note: this is no severity", "info", "note: this is no severity"),
    ],
)
async def test_what_several_pages_bring_from_the_command_line_is_one_alert(
    client: Client, said: str, severity: str, text: str
) -> None:
    async with (
        talking(client, await token_for(client, "Ada")) as ada,
        talking(client, await token_for(client, "Bob")) as bob,
    ):
        for talk in (ada, bob):
            await talk.join("alerts")
        await ada.reply("relay", said, room="alerts")
        alert = await hear(bob, "alert")
        await bob.reply("relay", said, room="alerts")
        assert (alert["severity"], alert["text"], alert["source"]) == (severity, text, "command line")
        await nothing_is_said(bob)


async def test_it_serves_its_page_and_the_client_when_it_runs_alone(client: Client) -> None:
    for path, text in (("/", "Who is on call?"), ("/live/rooms.js", "export class Rooms")):
        answer = await client.get(path)
        assert answer.status == 200
        assert text in answer.text
