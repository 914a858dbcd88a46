"""A token that is exchanged for a fresh one on the live connection."""

import time
from typing import Any

import pytest

from fastapi_rooms.auth import TokenAuth
from fastapi_rooms.hub import Hub
from hub.talk import auth_of_names, served, talking, user


def hub_of() -> Hub[Any]:
    return Hub(auth=auth_of_names())


async def test_a_fresh_token_of_the_same_user_keeps_the_connection() -> None:
    ends = {"short": time.time() + 60, "long": time.time() + 600}
    hub: Hub[Any] = Hub(auth=TokenAuth(lambda token: user("ann", expires_at=ends[token])))
    async with served(hub) as client, talking(client, "short") as talk:
        (connection,) = hub.connections
        assert connection.user.expires_at == ends["short"]
        answer = await talk.ask("refresh", token="long")
        assert answer["type"] == "reply"
        assert 590 < answer["data"]["expires_in"] <= 600
        assert connection.user.expires_at == ends["long"]


async def test_a_token_that_never_ends_says_so() -> None:
    async with served(hub_of()) as client, talking(client, "ann") as talk:
        assert (await talk.ask("refresh", token="ann"))["data"] == {"expires_in": None}


@pytest.mark.usefixtures("time_by_turns")
async def test_without_a_fresh_token_the_connection_ends_with_4001() -> None:
    now = time.time()
    hub: Hub[Any] = Hub(auth=TokenAuth(lambda token: user("ann", expires_at=now + float(token))))
    async with served(hub) as client, talking(client, "0.2") as ends, talking(client, "0.2") as stays:
        assert (await stays.ask("refresh", token="60"))["type"] == "reply"
        assert (await ends.ws.wait_closed()).code == 4001
        await stays.nothing_more()


@pytest.mark.parametrize(
    ("token", "code", "detail"),
    [
        ("bob", "unauthorized", "the token is another user's"),
        ("bad", "unauthorized", "the token is not valid"),
        ("old", "unauthorized", "the token has expired"),
        ("", "unauthorized", "no token was given"),
    ],
)
async def test_a_fresh_token_that_is_no_good_is_an_error_and_changes_nothing(
    token: str, code: str, detail: str
) -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client, "ann") as talk:
        assert await talk.error("refresh", token=token) == {"code": code, "detail": detail}
        assert hub.users == {"ann"}
        await talk.nothing_more()


async def test_a_refresh_without_an_id_is_not_answered() -> None:
    async with served(hub_of()) as client, talking(client, "ann") as talk:
        await talk.say({"type": "refresh", "token": "ann"})
        await talk.say({"type": "refresh", "token": "bad"})
        await talk.nothing_more()
