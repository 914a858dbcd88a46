"""What pages say about their code, besides that it runs: the apps that they define are used."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import itsdangerous
import pytest

from fastapi_rooms import Overflow
from fastapi_rooms.auth import JWTAuth
from fastapi_rooms.testing import Client, Refused, eventually

from .snippets import Page

OpenPage = Callable[[str], Page]
AUTHENTICATE = "docs/how-to/authenticate.md"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def refused_with(client: Client, path: str, **options: Any) -> int:
    with pytest.raises(Refused) as caught:
        async with client.websocket(path, **options):
            pass
    return caught.value.status


async def test_readme_the_class_authorizes_rooms_and_announces_who_joins(page: OpenPage) -> None:
    code = page("README.md").run()
    auth: JWTAuth = code["auth"]
    ada, bob = (bearer(auth.issue(name, expires_in=60)) for name in ("ada", "bob"))
    async with Client(code["app"]) as client:
        assert await refused_with(client, "/chat/lobby") == 401
        assert await refused_with(client, "/chat/staff", headers=ada) == 403
        async with (
            client.websocket("/chat/lobby", headers=ada) as one,
            client.websocket("/chat/lobby", headers=bob) as other,
        ):
            assert await one.receive_json() == {"joined": "bob"}
            await other.send_json("hello")
            assert await one.receive_json() == {"from": "bob", "said": "hello"}


async def test_index_a_text_reaches_the_room(page: OpenPage) -> None:
    async with (
        Client(page("docs/index.md").run()["app"]) as client,
        client.websocket("/rooms/a") as one,
        client.websocket("/rooms/a") as two,
    ):
        await one.send("hello")
        assert await two.receive() == "hello"


async def test_quickstart_1_echoes_text_and_bytes(page: OpenPage) -> None:
    async with (
        Client(page("docs/quickstart.md").run(until="1. One connection")["app"]) as client,
        client.websocket("/echo") as ws,
    ):
        for message in ("text", b"\x00binary"):
            await ws.send(message)
            assert await ws.receive() == message


async def test_quickstart_2_validates_and_publishes_from_http_and_from_a_thread(page: OpenPage) -> None:
    async with (
        Client(page("docs/quickstart.md").run(until="2. Rooms and models")["app"]) as client,
        client.websocket("/rooms/a?name=ada") as ada,
        client.websocket("/rooms/a") as bob,
    ):
        await ada.send_json({"text": "hello"})
        assert await bob.receive_json() == {"from": "ada", "text": "hello"}
        for path in ("/rooms/a", "/rooms/a/from-a-thread"):
            answer = await client.post(path, json={"text": "from HTTP"})
            here = {"queued": 2, "dropped": 0, "closed": 0, "scope": "local"}
            assert answer.json() == {**here, "offset": None, "published": True}
            assert await bob.receive_json() == {"text": "from HTTP"}
        await bob.send_json({"txet": "hello"})
        closed = await bob.wait_closed()
        assert closed.code == 1007
        assert closed.reason.startswith("text:")


async def test_quickstart_3_refuses_with_403_and_runs_the_hooks(
    page: OpenPage, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Client(page("docs/quickstart.md").run(until="3. A class with hooks")["app"]) as client:
        assert await refused_with(client, "/rooms/staff?name=bob") == 403
        async with client.websocket("/rooms/staff?name=alice") as alice:
            async with client.websocket("/rooms/staff?name=alice"):
                assert await alice.receive_json() == {"joined": "alice"}
            assert await alice.receive_json() == {"left": "alice"}
    assert capsys.readouterr().out == "alice is gone: client\n" * 2


async def test_quickstart_4_one_dependency_guards_the_route_and_the_websocket(page: OpenPage) -> None:
    code = page("docs/quickstart.md").run(until="4. Who is it?")
    headers = bearer(code["auth"].issue("ada", expires_in=60))
    async with Client(code["app"]) as client:
        assert await refused_with(client, "/rooms/a") == 401
        assert (await client.get("/me")).status == 401
        assert (await client.get("/me", headers=headers)).json() == "ada"
        async with client.websocket("/rooms/a", headers=headers) as ada:
            await ada.send("hello")
            assert await ada.receive_json() == {"from": "ada", "text": "hello"}


async def test_quickstart_6_shows_the_figures(page: OpenPage) -> None:
    code = page("docs/quickstart.md").run()
    headers = bearer(code["auth"].issue("ada", expires_in=60))
    async with Client(code["app"]) as client, client.websocket("/rooms/a", headers=headers):
        figures = (await client.get("/statistics")).json()
        assert (figures["connections"], figures["users"], figures["rooms"]) == (1, 1, 1)


async def test_authenticate_the_sign_in_issues_tokens_that_are_accepted(page: OpenPage) -> None:
    code = page(AUTHENTICATE).run()
    async with Client(code["app"]) as client:
        wrong = {"name": "ada", "password": "guessed"}
        assert (await client.post("/token", json=wrong)).status == 401
        right = {"name": "ada", "password": "ada's password"}
        token = (await client.post("/token", json=right)).json()["token"]
        assert (await client.get("/me", headers=bearer(token))).json() == "ada"


async def test_authenticate_own_tokens_give_own_users(page: OpenPage) -> None:
    async with Client(page(AUTHENTICATE).run()["app"]) as client:
        assert await refused_with(client, "/accounts/a", headers=bearer("nonsense")) == 401
        async with client.websocket("/accounts/a", headers=bearer("token-of-ada")) as ada:
            assert await ada.receive() == "hello Ada, user 1"


async def test_authenticate_the_subprotocol_marker_is_echoed_and_refusals_have_a_close_code(
    page: OpenPage,
) -> None:
    code = page(AUTHENTICATE).run()
    auth: JWTAuth = code["page_auth"]
    expected = {"nonsense": 4500, auth.issue("ada", expires_in=-60): 4001}
    async with Client(code["app"]) as client:
        for token, close_code in expected.items():
            async with client.websocket("/page/a", subprotocols=["access_token", token]) as ws:
                assert (await ws.wait_closed()).code == close_code
        good = auth.issue("ada", expires_in=60)
        async with client.websocket("/page/a", subprotocols=["access_token", good]) as ws:
            assert ws.accepted_subprotocol == "access_token"


async def test_authenticate_a_session_cookie_needs_a_page_of_an_allowed_origin(page: OpenPage) -> None:
    async with Client(page(AUTHENTICATE).run()["app"]) as client:
        content = b64encode(json.dumps({"user_id": "1"}).encode())
        cookies = {"session": itsdangerous.TimestampSigner("another secret, for tests").sign(content).decode()}
        for origin in ("https://app.example.com", "https://any.example.org"):
            async with client.websocket("/session", cookies=cookies, headers={"Origin": origin}) as ws:
                assert await ws.receive() == "hello Ada"
        foreign = {"Origin": "https://evil.example"}
        assert await refused_with(client, "/session", cookies=cookies, headers=foreign) == 403
        assert await refused_with(client, "/session") == 401
        assert await refused_with(client, "/public", headers=foreign) == 403


async def test_authenticate_a_ticket_is_good_for_one_connection(page: OpenPage) -> None:
    code = page(AUTHENTICATE).run()
    async with Client(code["app"]) as client:
        assert (await client.post("/tickets")).status == 401
        answer = await client.post("/tickets", headers=bearer(code["auth"].issue("ada", expires_in=60)))
        ticket = answer.json()["ticket"]
        assert answer.json()["expires_in"] == 30
        async with client.websocket(f"/by-ticket/lobby?ticket={ticket}") as ada:
            assert await ada.receive() == "hello ada"
        assert await refused_with(client, f"/by-ticket/lobby?ticket={ticket}") == 401


async def test_authenticate_the_first_message_may_be_the_token_plain_or_as_json(page: OpenPage) -> None:
    code = page(AUTHENTICATE).run()
    token = code["auth"].issue("ada", expires_in=60)
    async with Client(code["app"]) as client:
        for message in (token, json.dumps({"token": token})):
            async with client.websocket("/first-message") as ada:
                await ada.send(message)
                assert await ada.receive() == "hello ada"
        async with client.websocket("/first-message") as nobody:
            await nobody.send("nonsense")
            assert (await nobody.wait_closed()).code == 4500


async def test_authenticate_scopes_are_required_and_rooms_authorized(page: OpenPage) -> None:
    code = page(AUTHENTICATE).run()
    auth: JWTAuth = code["auth"]
    reader, writer, staff = (
        bearer(auth.issue("ada", expires_in=60, scopes=[scope])) for scope in ("chat:read", "chat:write", "staff")
    )
    async with Client(code["app"]) as client:
        assert await refused_with(client, "/write/a", headers=reader) == 403
        assert (await client.post("/write/a?text=hello", headers=reader)).status == 403
        async with client.websocket("/write/a", headers=writer) as ada:
            assert (await client.post("/write/a?text=hello", headers=writer)).status == 200
            assert await ada.receive_json() == {"from": "ada", "text": "hello"}
        assert await refused_with(client, "/staffed/staff-1", headers=writer) == 403
        async with client.websocket("/staffed/staff-1", headers=staff):
            pass


async def test_authenticate_a_live_connection_takes_a_fresh_token_of_the_same_user_only(page: OpenPage) -> None:
    code = page(AUTHENTICATE).run()
    auth: JWTAuth = code["auth"]
    refreshed = code["refreshed"]
    async with Client(code["app"]) as client:
        soon = bearer(auth.issue("ada", expires_in=30))
        async with client.websocket("/refreshed", headers=soon) as ada:
            await ada.send_json({"type": "say", "text": "hello"})
            assert (await ada.receive_json())["text"] == "hello"
            before = refreshed.connections[0].user.expires_at
            await ada.send_json({"type": "refresh", "token": auth.issue("ada", expires_in=900)})
            await eventually(lambda: refreshed.connections[0].user.expires_at > before)
            await ada.send_json({"type": "refresh", "token": auth.issue("eve", expires_in=900)})
            assert (await ada.wait_closed()).code == 4500
        async with client.websocket("/refreshed", headers=soon) as ada:
            await ada.send_json({"type": "refresh", "token": auth.issue("ada", expires_in=-1)})
            assert (await ada.wait_closed()).code == 4001


async def test_authenticate_signing_out_closes_every_tab_with_4507(page: OpenPage) -> None:
    code = page(AUTHENTICATE).run()
    auth: JWTAuth = code["auth"]
    ada = bearer(auth.issue("ada", expires_in=60))
    admin = bearer(auth.issue("root", expires_in=60, scopes=["admin"]))
    async with Client(code["app"]) as client:
        tabs = (client.websocket("/rooms/a", headers=ada), client.websocket("/rooms/b", headers=ada))
        async with tabs[0] as one, tabs[1] as two:
            assert (await client.post("/users/ada/sign-out", headers=ada)).status == 403
            assert (await client.post("/users/ada/sign-out", headers=admin)).json() == 2
            assert [(await tab.wait_closed()).code for tab in (one, two)] == [4507, 4507]


async def test_overflow_conflate_keeps_the_newest_of_each_key(page: OpenPage) -> None:
    code = page("docs/how-to/choose-an-overflow-policy.md").run(until="CONFLATE")
    async with (
        Client(code["app"]) as client,
        client.websocket("/cursors/ada") as ada,
        client.websocket("/cursors/bob") as bob,
    ):
        bob.stall()
        for position in range(100):
            await ada.send_json(position)
            await ada.receive()
        bob.resume()
        await ada.send_json("end")
        received = [(await bob.receive_json())["at"]]
        while received[-1] != "end":
            received.append((await bob.receive_json())["at"])
        assert received[-2] == 99
        assert len(received) < 20


async def test_overflow_a_room_may_differ_from_its_manager(page: OpenPage) -> None:
    site = page("docs/how-to/choose-an-overflow-policy.md").run(until="A policy for one room")["site"]
    assert site.room_policy("ticker-1").overflow is Overflow.DROP_OLDEST
    assert site.room_policy("lobby") is None


async def test_overflow_is_reported_once_for_an_episode(
    page: OpenPage, capsys: pytest.CaptureFixture[str]
) -> None:
    code = page("docs/how-to/choose-an-overflow-policy.md").run()
    async with Client(code["app"]) as client, client.websocket("/watched") as slow:
        slow.stall()
        for number in range(40):
            await code["watched"].broadcast(f"{number:02}")
        slow.resume()
        while await slow.receive() != "39":
            pass
        # 8 in the client's buffer, 8 in the queue: 24 of 40 are missing.
        assert (await client.get("/dropped")).json() == {
            "oldest": 24, "newest": 0, "conflated": 0, "discarded": 0,
        }  # fmt: skip
    assert capsys.readouterr().out == "None missed 24 messages, 48 bytes\n"


async def test_deploy_draining_needs_its_key_and_sends_everyone_away(page: OpenPage) -> None:
    code = page("docs/how-to/deploy.md").run()
    async with Client(code["app"], timeout=40) as client:
        assert (await client.post("/drain", headers={"key": "guessed"})).status == 404
        async with client.websocket("/rooms/a") as ws:
            assert (await client.get("/statistics")).json()["connections"] == 1
            await ws.close()
            await ws.wait_app_done()
        assert (await client.post("/drain", headers={"key": "a third one"})).json() is True
        assert await refused_with(client, "/rooms/a") == 503


async def test_lifecycle_the_hooks_run_in_the_order_of_the_page(page: OpenPage) -> None:
    code = page("docs/topics/lifecycle.md").run()
    async with Client(code["app"]) as client, client.websocket("/ws") as ada:
        assert await ada.receive() == "welcome"
        await ada.send_json("hello")
    assert code["order"] == [
        "authorize",
        "on_active",
        "on_connect",
        "on_room_active",
        "on_join",
        "on_message",
        "on_leave",
        "on_room_idle",
        "on_disconnect: client",
        "on_idle",
    ]


async def test_lifecycle_the_plain_style_works(page: OpenPage) -> None:
    code = page("docs/topics/lifecycle.md").run()
    async with Client(code["app"]) as client:
        async with client.websocket("/plain") as one, client.websocket("/plain") as two:
            await one.send("hello")
            assert await two.receive() == "hello"
        assert len(code["manager"]) == 0


async def test_security_what_is_not_the_model_is_closed_with_the_name_of_the_field(page: OpenPage) -> None:
    async with (
        Client(page("docs/topics/security.md").run()["app"]) as client,
        client.websocket("/rooms/a") as ada,
    ):
        await ada.send_json({"text": ""})
        closed = await ada.wait_closed()
        assert closed.code == 1007
        assert closed.reason.startswith("text:")


async def test_options_a_subclass_may_set_them_as_attributes(page: OpenPage) -> None:
    chat = page("docs/reference/options.md").run()["chat"]
    assert chat.queue.messages == 256
    assert chat.limits.connections_per_user == 8
    assert chat.overflow is Overflow.DROP_OLDEST
