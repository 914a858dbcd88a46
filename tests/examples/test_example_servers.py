"""The examples' servers, without a browser: what they promise to any client."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from examples import chat, dashboard, echo, gallery
from fastapi_rooms.testing import Client, Refused, SocketClosed, WebSocketSession

EXAMPLES = Path(gallery.__file__).parent
SERVERS = sorted(path.name for path in EXAMPLES.glob("*.py"))
PAGES = sorted(path.name for path in (EXAMPLES / "static").iterdir())


async def token_for(client: Client, name: str) -> str:
    answer = await client.post("/token", json={"name": name})
    assert answer.status == 200
    return str(answer.json()["token"])


@asynccontextmanager
async def signed_in(client: Client, name: str, *, room: str = "lobby") -> AsyncIterator[WebSocketSession]:
    token = await token_for(client, name)
    async with client.websocket(f"/{room}", subprotocols=["access_token", token]) as session:
        yield session


async def people(session: WebSocketSession, *names: str) -> None:
    message = await session.receive_json(timeout=5)
    assert (message["type"], message["names"]) == ("people", list(names))


async def test_echo_returns_text_and_bytes_as_they_came() -> None:
    async with Client(echo.app) as client, client.websocket("/ws") as session:
        for message in ("text", '{"json": [1, 2]}', b"\x00\xff", ""):
            await session.send(message)
            assert await session.receive(timeout=5) == message


async def test_the_sign_in_refuses_names_that_are_empty_blank_or_too_long() -> None:
    async with Client(chat.app) as client:
        for name in ("", "   ", "x" * 33):
            assert (await client.post("/token", json={"name": name})).status == 422


async def test_a_chat_without_a_valid_token_ends_with_a_close_code_that_a_page_can_see() -> None:
    async with Client(chat.app) as client:
        for subprotocols in ((), ("access_token", "not.a.token")):
            async with client.websocket("/lobby", subprotocols=subprotocols) as session:
                with pytest.raises(SocketClosed) as closed:
                    await session.receive(timeout=5)
                assert closed.value.code == 4500
        assert len(chat.chat) == 0


async def test_a_room_name_that_is_none_is_refused_before_accept() -> None:
    async with Client(chat.app) as client:
        token = await token_for(client, "Ada")
        with pytest.raises(Refused):
            async with client.websocket("/No_Room", subprotocols=["access_token", token]):
                pass
        assert (await client.get("/No_Room")).status == 422


async def test_an_invalid_message_is_refused_in_words_and_the_chat_goes_on() -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada") as ada:
        await people(ada, "Ada")
        invalid: list[Any] = [
            {"type": "say", "text": "   "},
            {"type": "say", "text": "x" * 4001},
            {"type": "shout"},
            [1],
        ]
        for message in invalid:
            await ada.send_json(message)
            answer = await ada.receive_json(timeout=5)
            assert answer["type"] == "refused"
            assert answer["reason"]
        await ada.send_json({"type": "say", "text": " hello "})
        said = await ada.receive_json(timeout=5)
        assert (said["type"], said["text"], said["from"]) == ("say", "hello", "Ada")


async def test_nobody_speaks_in_the_name_of_another() -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada") as ada:
        await people(ada, "Ada")
        await ada.send_json({"type": "say", "text": "I am Grace", "from": "Grace"})
        assert (await ada.receive_json(timeout=5))["from"] == "Ada"


async def test_the_list_of_people_names_each_user_of_this_room_once() -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada") as ada:
        await people(ada, "Ada")
        async with signed_in(client, "Ada") as second_tab, signed_in(client, "Grace", room="kitchen") as grace:
            await people(ada, "Ada")
            await people(second_tab, "Ada")
            await people(grace, "Grace")
        await people(ada, "Ada")


async def test_the_producer_of_the_dashboard_runs_while_somebody_looks_and_not_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dashboard, "INTERVAL", 0.01)
    async with Client(dashboard.app) as client:
        assert (await client.get("/state")).json() == {"viewers": 0, "producing": False}
        async with client.websocket("/ws") as first, client.websocket("/ws") as second:
            assert await first.receive_json(timeout=5) == {"type": "history", "figures": []}
            assert (await first.receive_json(timeout=5))["type"] == "figures"
            assert (await second.receive_json(timeout=5))["type"] == "history"
            assert (await client.get("/state")).json() == {"viewers": 2, "producing": True}
        async with asyncio.timeout(5):
            while (await client.get("/state")).json() != {"viewers": 0, "producing": False}:
                pass


async def test_a_viewer_who_reads_late_gets_the_newest_figures_and_few_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dashboard, "INTERVAL", 0.001)
    async with Client(dashboard.app) as client, client.websocket("/ws") as quick, client.websocket("/ws") as slow:
        slow.stall()
        await slow.wait_blocked(timeout=5)
        latest: dict[str, Any] = {}
        for _ in range(200):
            latest = await quick.receive_json(timeout=5)
        slow.resume()
        received = [await slow.receive_json(timeout=5)]
        while received[-1].get("at", 0) < latest["at"]:
            received.append(await slow.receive_json(timeout=5))
        assert len(received) < 100


async def test_a_ping_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Client(dashboard.app) as client, client.websocket("/ws") as session:
        ping = json.dumps({"type": "ping", "sent": 1.5})
        await session.send_text(ping)
        while (answer := await session.receive(timeout=5)) != ping:
            assert answer


async def test_the_gallery_serves_all_three_and_their_sources() -> None:
    async with Client(gallery.app) as client:
        for path in ("/", "/echo/", "/chat/lobby", "/dashboard/", "/source/echo.py", "/chat/static/theme.css"):
            assert (await client.get(path)).status == 200, path
        for name in ("echo", "chat", "dashboard", "gallery"):
            text = (await client.get(f"/source/{name}.py/text")).text
            assert text == (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        for path in ("/source/secrets.py", "/source/__init__.py/text", "/source/..%2f__init__.py"):
            assert (await client.get(path)).status in {404, 422}, path
        async with client.websocket("/echo/ws") as session:
            await session.send_text("mounted")
            assert await session.receive_text(timeout=5) == "mounted"


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_file_stays_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("name", PAGES)
def test_a_page_takes_nothing_from_elsewhere_and_trusts_no_markup(name: str) -> None:
    text = (EXAMPLES / "static" / name).read_text(encoding="utf-8")
    urls = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"'`]*", text)) - {
        "http://www.w3.org/2000/svg"
    }
    assert urls == set()
    assert not re.search(r"""(?:src|href|action)=["']/""", text), "absolute paths break where the app is mounted"
    if name.endswith(".html"):
        assert "Content-Security-Policy" in text
        assert not re.search(r"<style|<script(?![^>]*src=)|\son[a-z]+=|\sstyle=", text)


@pytest.mark.parametrize("name", [page for page in PAGES if page.startswith("chat") and page.endswith(".js")])
def test_the_chat_page_never_makes_markup_of_what_others_wrote(name: str) -> None:
    text = (EXAMPLES / "static" / name).read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text)
