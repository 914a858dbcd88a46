"""The examples' servers, without a browser: what they promise to any client."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from examples import chat, dashboard, echo, gallery
from fastapi_rooms import BrokerUnavailable
from fastapi_rooms.testing import Client, Refused, SocketClosed, WebSocketSession

EXAMPLES = Path(gallery.__file__).parent
SERVERS = sorted(path.name for path in EXAMPLES.glob("*.py"))
PAGES = sorted(path.name for path in (EXAMPLES / "static").iterdir())


async def token_for(client: Client, name: str) -> str:
    answer = await client.post("/token", json={"name": name})
    assert answer.status == 200
    return str(answer.json()["token"])


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """Another one for each test, since rooms remember."""
    return "r-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]


@asynccontextmanager
async def signed_in(
    client: Client, name: str, *, room: str, since: str | None = None
) -> AsyncIterator[WebSocketSession]:
    token = await token_for(client, name)
    path = f"/{room}" if since is None else f"/{room}?since={since}"
    async with client.websocket(path, subprotocols=["access_token", token]) as session:
        yield session


async def heard(session: WebSocketSession, kind: str) -> dict[str, Any]:
    """The next message of this type; others before it are passed over."""
    while (message := await session.receive_json(timeout=20))["type"] != kind:
        pass
    assert isinstance(message, dict)
    return message


async def until_welcome(session: WebSocketSession) -> tuple[list[str], dict[str, Any]]:
    """What was said before, and the welcome after it."""
    said = []
    while (message := await session.receive_json(timeout=20))["type"] != "welcome":
        said += [message["text"]] if message["type"] == "say" else []
    return said, message


async def people(session: WebSocketSession, *names: str) -> None:
    """Whom the welcome lists."""
    assert sorted((await heard(session, "welcome"))["present"]["users"]) == list(names)


async def tell(session: WebSocketSession, *texts: str) -> str:
    """Say something, wait until it is heard, and return the position of the last of it."""
    said: dict[str, Any] = {}
    for text in texts:
        await session.send_json({"type": "say", "text": text})
        said = await heard(session, "say")
        assert said["text"] == text
    return str(said["position"])


async def test_echo_returns_text_and_bytes_as_they_came() -> None:
    async with Client(echo.app) as client, client.websocket("/ws") as session:
        for message in ("text", '{"json": [1, 2]}', b"\x00\xff", ""):
            await session.send(message)
            assert await session.receive(timeout=20) == message


async def test_the_sign_in_refuses_names_that_are_empty_blank_or_too_long() -> None:
    async with Client(chat.app) as client:
        for name in ("", "   ", "x" * 33):
            assert (await client.post("/token", json={"name": name})).status == 422


async def test_a_chat_without_a_valid_token_ends_with_a_close_code_that_a_page_can_see() -> None:
    async with Client(chat.app) as client:
        for subprotocols in ((), ("access_token", "not.a.token")):
            async with client.websocket("/lobby", subprotocols=subprotocols) as session:
                with pytest.raises(SocketClosed) as closed:
                    await session.receive(timeout=20)
                assert closed.value.code == 4500
        assert len(chat.chat) == 0


async def test_a_room_name_that_is_none_is_refused_before_accept() -> None:
    async with Client(chat.app) as client:
        token = await token_for(client, "Ada")
        with pytest.raises(Refused):
            async with client.websocket("/No_Room", subprotocols=["access_token", token]):
                pass
        assert (await client.get("/No_Room")).status == 422


async def test_an_invalid_message_is_refused_in_words_and_the_chat_goes_on(room: str) -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        invalid: list[Any] = [
            {"type": "say", "text": "   "},
            {"type": "say", "text": "x" * 4001},
            {"type": "shout"},
            [1],
        ]
        for message in invalid:
            await ada.send_json(message)
            assert (await heard(ada, "refused"))["reason"]
        await ada.send_json({"type": "say", "text": " hello "})
        said = await heard(ada, "say")
        assert (said["text"], said["from"]) == ("hello", "Ada")


async def test_a_message_that_could_not_be_kept_goes_back_to_who_wrote_it(
    room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object, **__: object) -> None:
        raise BrokerUnavailable("out of reach")

    monkeypatch.setattr(chat.chat, "broadcast", unavailable)
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        await ada.send_json({"type": "say", "text": "hello"})
        assert (await heard(ada, "refused"))["text"] == "hello"


async def test_nobody_speaks_in_the_name_of_another(room: str) -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        await ada.send_json({"type": "say", "text": "I am Grace", "from": "Grace"})
        assert (await heard(ada, "say"))["from"] == "Ada"


async def test_the_list_of_people_names_each_user_of_this_room_once(room: str) -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        await people(ada, "Ada")
        async with (
            signed_in(client, "Ada", room=room) as second_tab,
            signed_in(client, "Grace", room=f"{room}-2") as elsewhere,
            signed_in(client, "Grace", room=room) as grace,
        ):
            await people(second_tab, "Ada")
            await people(elsewhere, "Grace")
            await people(grace, "Ada", "Grace")
            while "Grace" not in (diff := (await heard(ada, "presence"))["diff"])["joins"]:
                assert diff["count"] == 1
            assert diff["count"] == 2


async def test_who_is_back_within_the_grace_had_never_left(room: str) -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        async with signed_in(client, "Grace", room=room) as grace:
            await until_welcome(grace)
        async with signed_in(client, "Grace", room=room) as grace:
            await people(grace, "Ada", "Grace")
            await grace.send_json({"type": "typing"})
            while "Grace" not in (diff := (await heard(ada, "presence"))["diff"])["updates"]:
                assert diff["leaves"] == {}


async def test_who_types_is_a_state_of_theirs_until_they_have_said_it(room: str) -> None:
    async with (
        Client(chat.app) as client,
        signed_in(client, "Ada", room=room) as ada,
        signed_in(client, "Grace", room=room) as grace,
    ):
        await until_welcome(grace)
        for message, expected in (({"type": "typing"}, ["typing"]), ({"type": "say", "text": "hm"}, [])):
            await grace.send_json(message)
            while (update := (await heard(ada, "presence"))["diff"]["updates"]) == {}:
                pass
            assert list(update["Grace"][0]["metadata"]) == expected
        async with signed_in(client, "Alan", room=room) as alan:
            assert (await until_welcome(alan))[0] == ["hm"]


async def test_who_comes_in_gets_the_last_fifty_messages_and_then_the_welcome(room: str) -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        await until_welcome(ada)
        for number in range(60):
            await chat.chat.say(chat.chat.connections[0], room, f"message {number}")
        async with signed_in(client, "Grace", room=room) as grace:
            said, welcome = await until_welcome(grace)
    assert said == [f"message {number}" for number in range(10, 60)]
    assert welcome["recovered"] is None


async def test_who_comes_back_gets_what_was_said_meanwhile_and_that_this_was_all(room: str) -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        position = await tell(ada, "one", "two")
        end = await tell(ada, "three", "four")
        async with signed_in(client, "Grace", room=room, since=position) as grace:
            said, welcome = await until_welcome(grace)
        assert said == ["three", "four"]
        assert (welcome["recovered"], welcome["position"]) == (True, end)


async def test_a_position_that_is_none_of_the_room_is_told_and_the_last_messages_come(room: str) -> None:
    async with Client(chat.app) as client, signed_in(client, "Ada", room=room) as ada:
        position = await tell(ada, "one")
        async with signed_in(client, "Grace", room=f"{room}-2", since=position) as grace:
            assert (await until_welcome(grace))[1]["recovered"] is False
        async with signed_in(client, "Grace", room=room, since="nonsense") as grace:
            said, welcome = await until_welcome(grace)
        assert (said, welcome["recovered"]) == (["one"], False)


async def test_the_producer_of_the_dashboard_runs_while_somebody_looks_and_not_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dashboard, "INTERVAL", 0.01)
    async with Client(dashboard.app) as client:
        assert (await client.get("/state")).json() == {"viewers": 0, "producing": False}
        async with client.websocket("/ws") as first, client.websocket("/ws") as second:
            for viewer in (first, second):
                assert (await viewer.receive_json(timeout=20))["type"] == "figures"
            assert (await client.get("/state")).json() == {"viewers": 2, "producing": True}
        async with asyncio.timeout(20):
            while (await client.get("/state")).json() != {"viewers": 0, "producing": False}:
                pass


async def test_the_first_viewer_gets_figures_at_once_and_who_follows_gets_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dashboard, "INTERVAL", 3600.0)
    monkeypatch.setattr(dashboard.dashboard, "machine", machine := dashboard.Machine())
    machine.read_at -= dashboard.INTERVAL
    began = time.time()
    async with Client(dashboard.app) as client, client.websocket("/ws") as first:
        while (figures := await first.receive_json(timeout=20))["at"] < began:
            pass  # of the minute before, in another test
        async with client.websocket("/ws") as second:
            while await second.receive_json(timeout=20) != figures:
                pass


async def test_who_comes_gets_the_last_minute_in_order_and_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "INTERVAL", 0.001)
    async with Client(dashboard.app) as client, client.websocket("/ws") as first:
        latest: dict[str, Any] = {}
        for _ in range(80):
            latest = await first.receive_json(timeout=20)
        monkeypatch.setattr(dashboard, "INTERVAL", 3600.0)
        async with client.websocket("/ws") as second:
            minute = [(await second.receive_json(timeout=20))["at"] for _ in range(dashboard.MINUTE)]
        assert minute == sorted(set(minute))
        assert latest["at"] in minute


async def test_a_ping_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Client(dashboard.app) as client, client.websocket("/ws") as session:
        ping = json.dumps({"type": "ping", "sent": 1.5})
        await session.send_text(ping)
        while (answer := await session.receive(timeout=20)) != ping:
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
            assert await session.receive_text(timeout=20) == "mounted"


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
