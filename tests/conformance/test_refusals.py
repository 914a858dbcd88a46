"""Case 5: who may not connect is refused before accept, with the right status, and never registered."""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

from .auth_endpoints import ORIGIN, token
from .servers import UVICORN_ON_DENIALS, ServerKind
from .watch import Watch
from .wire import Client, Closed, RefusedError, connected


class Wrong(NamedTuple):
    """A handshake that must fail: its headers, the status, and the code with `reject="close"`."""

    headers: list[tuple[str, str]]
    status: int
    code: int


def _bearer(value: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {value}")


def _wrong() -> dict[str, Wrong]:
    return {
        "no token": Wrong([], 401, 4500),
        "bad token": Wrong([_bearer("nonsense")], 401, 4500),
        "forged token": Wrong([_bearer(token(key="another key that is long enough for HS256!"))], 401, 4500),
        "expired token": Wrong([_bearer(token(expires_in=-60))], 401, 4001),
        "wrong scope": Wrong([_bearer(token(scope="chat:read"))], 403, 4507),
        "wrong origin": Wrong([_bearer(token()), ("Origin", "https://evil.example")], 403, 4507),
    }


async def _status(watch: Watch, path: str, headers: list[tuple[str, str]]) -> int:
    try:
        client = await Client.connect(watch.port, path, headers=headers)
    except RefusedError as refusal:
        return refusal.status
    client.socket.close()
    return 101


async def _code(watch: Watch, headers: list[tuple[str, str]]) -> int | None:
    async with connected(watch.port, "/secret/close", headers=headers) as client:
        closed = await client.receive()
        assert isinstance(closed, Closed), closed
        return closed.code


def _seen(kind: ServerKind, status: int) -> int:
    return status if kind.real_refusals else 403


async def test_who_may_not_connect_is_refused_before_accept_with_the_right_status(watch: Watch) -> None:
    watch.expect_logged(UVICORN_ON_DENIALS)
    wrong = _wrong()
    statuses = await asyncio.gather(*(_status(watch, "/secret/http", case.headers) for case in wrong.values()))
    expected = {name: _seen(watch.kind, case.status) for name, case in wrong.items()}
    assert dict(zip(wrong, statuses, strict=True)) == expected
    assert "auth" not in (await watch.state())["events"]


async def test_reject_close_accepts_and_closes_at_once_with_the_code(watch: Watch) -> None:
    wrong = _wrong()
    codes = await asyncio.gather(*(_code(watch, case.headers) for case in wrong.values()))
    assert dict(zip(wrong, codes, strict=True)) == {name: case.code for name, case in wrong.items()}
    assert "auth" not in (await watch.state())["events"]


async def test_a_good_token_is_let_in_in_whichever_way_others_are_refused(watch: Watch) -> None:
    good = [_bearer(token()), ("Origin", ORIGIN)]
    for path in ("/secret/http", "/secret/close"):
        async with connected(watch.port, path, headers=good) as client:
            assert await client.receive() == "hello ada"
            await client.close()


async def test_one_connection_too_many_is_refused_before_accept(watch: Watch) -> None:
    watch.expect_logged(UVICORN_ON_DENIALS)
    async with AsyncExitStack() as stack:
        for user in ("ada", "bob"):
            if user == "bob":
                assert await _status(watch, "/few?user=ada", []) == _seen(watch.kind, 429)
            client = await stack.enter_async_context(connected(watch.port, f"/few?user={user}"))
            assert await client.receive() == "hello"
        assert await _status(watch, "/few?user=eve", []) == _seen(watch.kind, 503)
        assert (await watch.state())["connections"]["few"] == 2


async def test_the_first_message_authenticates_or_ends_the_connection(watch: Watch) -> None:
    async def answer(message: str | None) -> str | bytes | Closed:
        label = "first-silent" if message is None else "first"
        async with connected(watch.port, f"/authenticate/{label}") as client:
            if message is not None:
                await client.send(message)
            received = await client.receive()
            if not isinstance(received, Closed):
                await client.close()
            return received

    good, bad, expired, silent = await asyncio.gather(
        answer(token()), answer("nonsense"), answer(token(expires_in=-60)), answer(None)
    )
    assert good == "hello ada"
    codes = [end.code for end in (bad, expired, silent) if isinstance(end, Closed)]
    assert codes == [4500, 4001, 4502]
