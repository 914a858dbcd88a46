"""Tokens: for each connection, and fresh ones on it."""

import asyncio
import base64
import json
import time
from typing import Any

import pytest

from fastapi_rooms.client import (
    ClientClosed,
    RoomsClient,
)
from unit.fakes import SOON

from .scripted import AT_ONCE, connected, scripted, talking
from .serving import within


async def test_a_text_token_that_has_expired_is_the_end_too() -> None:
    async with talking(token="old") as (client, hub):
        line = await hub.line()
        assert (await line.hear("connect"))["token"] == "old"
        await line.close(4001)
        with pytest.raises(ClientClosed):
            await client.connected()


async def test_a_token_function_is_asked_for_each_connection() -> None:
    tokens = iter(["one", "two"])

    async def token() -> str:
        await asyncio.sleep(0)
        return next(tokens)

    async with talking(token=token) as (_, hub):
        line = await hub.line()
        assert (await line.welcome())["token"] == "one"
        await line.close(4001)
        assert (await (await hub.line()).welcome())["token"] == "two"


@pytest.mark.parametrize("wrong", [ZeroDivisionError("x"), 3])
async def test_a_token_function_that_fails_is_told_and_asked_again(wrong: object) -> None:
    answers = iter([wrong, "good"])
    problems: list[str] = []

    def token() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with talking(token=token) as (client, hub):
        client.on_error(lambda error: problems.append(type(error).__name__))
        assert (await (await hub.line()).welcome())["token"] == "good"
    assert problems == ["TokenUnavailable"]


async def test_a_fresh_token_that_cannot_be_had_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.tokens._SHORTEST", 0.0)
    answers = iter([_jwt(60), ZeroDivisionError(), None, "fresh"])
    monkeypatch.setattr("fastapi_rooms.client.tokens._SHARE", 0.0002)
    problems: list[str] = []

    def token() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with talking(token=token) as (client, hub):
        client.on_error(lambda error: problems.append(type(error).__name__))
        line = await connected(hub)
        assert (await line.hear("refresh"))["token"] == "fresh"
        assert problems == ["TokenUnavailable"]
        line.drop()


def _jwt(seconds: float) -> str:
    claims = json.dumps({"exp": time.time() + seconds}).encode()
    return f"x.{base64.urlsafe_b64encode(claims).decode()}.x"


async def test_a_token_function_may_close_the_client() -> None:
    async with scripted() as hub:

        async def token() -> str:
            await client.close()
            return "unused"

        async with RoomsClient(hub.url, transport="websocket", token=token, **AT_ONCE) as client:
            with pytest.raises(ClientClosed):
                await within(client.connected())
        assert hub.opened == 0


async def test_a_fresh_token_is_shown_before_the_old_one_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.tokens._SHORTEST", 0.0)
    monkeypatch.setattr("fastapi_rooms.client.tokens._SHARE", 0.002)
    tokens: list[str] = []

    def token() -> str:
        tokens.append(_jwt(60))
        return tokens[-1]

    async with talking(token=token) as (_, hub):
        line = await connected(hub)
        refresh = await line.hear("refresh")
        assert refresh["token"] == tokens[1]
        await line.say({"type": "reply", "id": refresh["id"], "data": {"expires_in": 60}})
        assert (await line.hear("refresh"))["token"] == tokens[2]
        assert hub.opened == 1


async def test_a_token_function_that_hangs_is_cancelled_with_the_client() -> None:
    asked = asyncio.Event()

    async def token() -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async with talking(token=token):
        await asyncio.wait_for(asked.wait(), SOON)


async def test_a_token_function_that_hangs_is_given_up() -> None:
    calls: list[int] = []

    async def token() -> str:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "good"

    async with talking(token=token, connect_timeout=0.5) as (client, hub):
        client.on_error(lambda _: None)
        _, connect = await hub.asked()
        assert connect["token"] == "good"
