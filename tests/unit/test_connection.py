import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import (
    ConfigurationError,
    ConnectionClosed,
    DisconnectReason,
    InvalidMessage,
    MessageTooLarge,
    NotConnected,
    UnencodableMessage,
    WrongEventLoop,
)
from fastapi_rooms.identity import Identity
from fastapi_rooms.options import Overflow, QueueLimits
from fastapi_rooms.statistics import Drops
from fastapi_rooms.testing import eventually
from unit.fakes import SHORT, SOON, FakeTransport, ending, finished, http_connection, make_connection, make_link

QUEUE = QueueLimits(messages=2, bytes=100, send_timeout=SOON, close_timeout=SHORT)


class Message(BaseModel):
    text: str


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
async def connection(transport: FakeTransport) -> AsyncIterator[Connection[object]]:
    connection = make_connection(make_link(transport, queue=QUEUE), user="ann", user_id="ann")
    yield connection
    await finished(connection.link)


async def test_each_has_an_id_of_its_own(connection: Connection[object]) -> None:
    other = make_connection(make_link(FakeTransport(), is_open=False))
    assert len(connection.id) == 16
    assert connection.id != other.id


async def test_it_shows_who_it_is(connection: Connection[object]) -> None:
    assert repr(connection) == f"<Connection {connection.id} connected user_id='ann'>"
    assert (connection.user, connection.user_id, connection.http.headers["x-test"]) == ("ann", "ann", "yes")
    assert (connection.rooms, connection.disconnect) == (frozenset(), None)


async def test_its_state_is_a_bag_of_its_own(connection: Connection[object]) -> None:
    connection.state.colour = "red"
    assert connection.state.colour == "red"
    with pytest.raises(AttributeError):
        _ = connection.state.nothing


async def test_sending_takes_text_and_binary_and_models_and_json(
    connection: Connection[object], transport: FakeTransport
) -> None:
    await connection.send("text")
    await connection.send(b"\x00")
    await connection.send(Message(text="model"))
    await connection.send_text("plain")
    await connection.send_bytes(b"ab")
    await connection.send_json("quoted")
    assert connection.send_nowait([1])
    assert transport.taken == ["text", b"\x00", '{"text":"model"}', "plain", b"ab", '"quoted"', "[1]"]


@pytest.mark.parametrize(
    ("method", "message"), [("send_text", b"x"), ("send_text", 1), ("send_bytes", "x"), ("send_bytes", 5)]
)
async def test_text_and_binary_are_not_mixed_up(
    connection: Connection[object], transport: FakeTransport, method: str, message: object
) -> None:
    with pytest.raises(UnencodableMessage, match=f"{method} takes"):
        await getattr(connection, method)(message)
    assert transport.taken == []


async def test_before_it_is_accepted_nothing_can_be_sent(transport: FakeTransport) -> None:
    connection = make_connection(make_link(transport, is_open=False))
    with pytest.raises(NotConnected, match="its handshake is still going on"):
        await connection.send("early")
    assert (connection.send_nowait("early"), transport.taken) == (False, [])


@pytest.mark.parametrize("method", ["send", "send_text", "send_json"])
async def test_a_message_that_no_queue_can_hold_raises_and_harms_nothing(
    connection: Connection[object], transport: FakeTransport, method: str
) -> None:
    with pytest.raises(MessageTooLarge):
        await getattr(connection, method)("x" * 101)
    with pytest.raises(MessageTooLarge):
        connection.send_nowait("x" * 101)
    with pytest.raises(UnencodableMessage):
        await connection.send(object())
    assert (connection.status, transport.taken) == ("connected", [])


async def test_an_awaited_send_waits_for_space(connection: Connection[object], transport: FakeTransport) -> None:
    transport.stall()
    await connection.send("a")
    await connection.send("b")
    waiting = asyncio.create_task(connection.send("c"))
    await asyncio.sleep(0)
    assert not waiting.done()
    transport.resume()
    await waiting
    await connection.link.writer.join()
    assert transport.taken == ["a", "b", "c"]


async def test_an_awaited_send_that_finds_no_space_in_time_raises_with_4008(transport: FakeTransport) -> None:
    queue = QueueLimits(messages=1, send_timeout=SHORT, close_timeout=SHORT)
    connection = make_connection(make_link(transport, queue=queue))
    transport.stall()
    await connection.send("a")
    with pytest.raises(ConnectionClosed) as caught:
        await connection.send("b")
    assert (caught.value.code, caught.value.connection_id) == (4008, connection.id)
    await finished(connection.link)


async def test_send_nowait_says_what_the_policy_did(transport: FakeTransport) -> None:
    connection = make_connection(make_link(transport, queue=QUEUE, overflow=Overflow.DROP_NEWEST))
    transport.stall()
    assert [connection.send_nowait(text) for text in "abc"] == [True, True, False]
    await finished(connection.link)
    assert connection.send_nowait("late") is False


async def test_send_nowait_conflates_by_key(transport: FakeTransport) -> None:
    connection = make_connection(make_link(transport, queue=QUEUE, overflow=Overflow.CONFLATE))
    transport.stall()
    assert all(connection.send_nowait(text, key="k") for text in "abcd")
    transport.resume()
    await connection.link.writer.join()
    assert transport.taken == ["a", "d"]
    await finished(connection.link)


async def test_send_nowait_from_a_thread_says_what_to_use_instead(connection: Connection[object]) -> None:
    with pytest.raises(WrongEventLoop, match="broadcast_from_thread"):
        await asyncio.to_thread(connection.send_nowait, "a")


async def test_messages_are_received_as_they_came(
    connection: Connection[object], transport: FakeTransport
) -> None:
    transport.client_sends("a", b"b", "c", b"d", '{"text":"e"}', "[1]")
    assert await connection.receive() == "a"
    assert await connection.receive() == b"b"
    assert await connection.receive_text() == "c"
    assert await connection.receive_bytes() == b"d"
    assert await connection.receive_json(Message) == Message(text="e")
    assert await connection.receive_json() == [1]


@pytest.mark.parametrize(
    ("method", "sent", "text"),
    [
        ("receive_text", b"x", "text expected, binary received"),
        ("receive_bytes", "x", "binary expected, text received"),
    ],
)
async def test_the_wrong_kind_closes_with_1003(
    connection: Connection[object], transport: FakeTransport, method: str, sent: str | bytes, text: str
) -> None:
    transport.client_sends(sent)
    with pytest.raises(ConnectionClosed):
        await getattr(connection, method)()
    await connection.link.closed()
    assert ending(connection.link) == (DisconnectReason.UNSUPPORTED_DATA, 1003)
    assert transport.closed_with == [(1003, text)]


async def test_what_came_before_the_client_left_is_received_then_the_end(
    connection: Connection[object], transport: FakeTransport
) -> None:
    transport.client_sends("a", "b")
    transport.client_leaves(1001, "bye")
    await eventually(lambda: connection.status == "disconnected")
    assert [await connection.receive(), await connection.receive()] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(ConnectionClosed) as caught:
            await connection.receive()
        assert (caught.value.code, caught.value.reason) == (1001, "bye")
    with pytest.raises(ConnectionClosed):
        await connection.send("late")


async def test_after_a_failed_write_sends_say_that_it_is_closed(
    connection: Connection[object], transport: FakeTransport
) -> None:
    transport.write_error = OSError("reset")
    with pytest.raises(ConnectionClosed) as caught:
        await connection.send("a")
    assert (caught.value.code, connection.disconnect) == (1006, None)


async def test_iterating_ends_quietly(connection: Connection[object], transport: FakeTransport) -> None:
    transport.client_sends("a", b"b")
    transport.client_leaves()
    assert [message async for message in connection] == ["a", b"b"]


@pytest.mark.parametrize(
    ("iterate", "sent", "expected"),
    [
        (lambda one: one.iter_text(), ["a", "b"], ["a", "b"]),
        (lambda one: one.iter_bytes(), [b"a"], [b"a"]),
        (lambda one: one.iter_json(), ["1", "[2]"], [1, [2]]),
        (lambda one: one.iter_json(Message), ['{"text":"a"}'], [Message(text="a")]),
        (lambda one: one.iter_text(), ["a", b"b", "c"], ["a"]),
        (lambda one: one.iter_bytes(), [b"a", "b", b"c"], [b"a"]),
        (lambda one: one.iter_json(), ["1", "{", "2"], [1]),
        (lambda one: one.iter_json(), ["1", b"{}", "2"], [1]),
    ],
)
async def test_every_iterator_ends_quietly_at_the_end_and_at_the_wrong_kind(
    connection: Connection[object],
    transport: FakeTransport,
    iterate: Callable[[Connection[object]], AsyncIterator[Any]],
    sent: list[str | bytes],
    expected: list[Any],
) -> None:
    transport.client_sends(*sent)
    transport.client_leaves()
    async with asyncio.timeout(SOON):
        assert [message async for message in iterate(connection)] == expected


async def test_a_loop_may_be_left_and_another_started(
    connection: Connection[object], transport: FakeTransport
) -> None:
    transport.client_sends("a", "b")
    async for message in connection:
        assert message == "a"
        break
    assert await connection.receive() == "b"


async def test_an_invalid_message_that_the_app_forgives_is_skipped(transport: FakeTransport) -> None:
    errors: list[InvalidMessage] = []

    async def forgive(connection: Connection[object], error: InvalidMessage) -> None:
        errors.append(error)

    connection: Connection[object] = Connection(
        http_connection(), make_link(transport), user=None, user_id=None, on_invalid=forgive
    )
    transport.client_sends("{", b"1", "2")
    assert await connection.receive_json() == 2
    assert len(errors) == 2
    await finished(connection.link)


async def test_closing_writes_the_queue_first_and_twice_is_harmless(
    connection: Connection[object], transport: FakeTransport
) -> None:
    transport.stall()
    await connection.send("a")
    closing = asyncio.create_task(connection.close(4000, "ü" * 200))
    await asyncio.sleep(0)
    assert connection.status == "disconnected"
    transport.resume()
    await closing
    await connection.close()
    assert (transport.taken, transport.closed_with) == (["a"], [(4000, "ü" * 61)])


async def test_closing_with_a_code_that_may_not_be_sent_raises_and_closes_nothing(
    connection: Connection[object],
) -> None:
    with pytest.raises(ConfigurationError, match="1006"):
        await connection.close(1006)
    assert connection.status == "connected"


async def test_it_ends_when_its_time_is_over(connection: Connection[object]) -> None:
    connection.expire(time.time() + SHORT)
    await eventually(lambda: connection.disconnect is not None)
    assert ending(connection.link) == (DisconnectReason.TOKEN_EXPIRED, 4001)


async def test_a_refresh_brings_a_new_user_and_a_new_time(connection: Connection[object]) -> None:
    connection.expire(time.time() + SHORT)
    fresh = Identity(subject="ann", expires_at=time.time() + 60)
    connection.refresh(fresh)
    await asyncio.sleep(SHORT * 2)
    assert (connection.user, connection.disconnect) == (fresh, None)
    connection.refresh(fresh, expires_at=time.time() + SHORT)
    await eventually(lambda: connection.disconnect is not None)


async def test_a_refresh_that_never_expires_takes_the_time_away(connection: Connection[object]) -> None:
    connection.expire(time.time() + SHORT)
    connection.refresh("ann")
    await asyncio.sleep(SHORT * 2)
    assert connection.disconnect is None


@pytest.mark.parametrize("other", ["bob", None, Identity(subject="bob")])
async def test_a_refresh_cannot_make_another_user_of_it(connection: Connection[object], other: object) -> None:
    with pytest.raises(ConfigurationError, match="for a connection of 'ann'"):
        connection.refresh(other)
    assert connection.user == "ann"


async def test_statistics_of_a_connection_that_has_done_nothing(connection: Connection[object]) -> None:
    figures = connection.statistics()
    assert (figures.queued, figures.sent, figures.received, figures.oldest_queued_age) == (0, 0, 0, 0.0)


async def test_statistics_count_everything(transport: FakeTransport) -> None:
    connection = make_connection(make_link(transport, queue=QUEUE, overflow=Overflow.DROP_OLDEST))
    await connection.send("sent")
    transport.stall()
    for text in ("one", "two", "three"):
        connection.send_nowait(text)
    transport.client_sends("hi", b"\x00")
    await eventually(lambda: connection.statistics().received == 2)
    figures = connection.statistics()
    assert (figures.queued, figures.queued_bytes, figures.high_water, figures.high_water_bytes) == (2, 8, 2, 8)
    assert (figures.sent, figures.sent_bytes) == (1, 4)
    assert (figures.received, figures.received_bytes, figures.inbox) == (2, 3, 2)
    assert figures.dropped == Drops(oldest=1)
    assert figures.oldest_queued_age > 0
    await finished(connection.link)
    assert connection.statistics().dropped == Drops(oldest=1, discarded=2)


async def test_receiving_in_two_tasks_raises_an_error_of_ours(connection: Connection[object]) -> None:
    waiting = asyncio.create_task(connection.receive())
    await asyncio.sleep(0)
    with pytest.raises(Exception, match="two tasks receive"):
        await connection.receive()
    await connection.close()
    with pytest.raises(ConnectionClosed):
        await waiting
