"""Several messages in one: one client in the standard way, the server played by the test."""

import asyncio
import json

import pytest

from fastapi_rooms.batch import FULL
from fastapi_rooms.errors import RoomsError
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Gone
from fastapi_rooms.testing import eventually
from fastapi_rooms.transports.joined import JoinedTransport
from unit.fakes import SHORT, SOON
from unit.frame_fakes import turns
from unit.joined_fakes import PipeWatcher, StandardServer, accepted, joined


def gather(transport: JoinedTransport, *messages: str | bytes) -> None:
    for message in messages:
        assert transport.write(Payload(message)) is None


def ends(server: StandardServer) -> list[tuple[int, str]]:
    return [(one["code"], one["reason"]) for one in server.taken if one["type"] == "websocket.close"]


async def test_before_accept_no_messages_are_taken() -> None:
    transport = joined(StandardServer())
    assert (transport.ready, transport.unsent()) == (False, 0)
    with pytest.raises(ConnectionResetError):
        transport.write(Payload("early"))
    with pytest.raises(ConnectionError, match="from accept on"):
        transport.write_frames(())


async def test_accept_passes_on_subprotocol_and_headers_and_tells_that_it_is_ready() -> None:
    server = StandardServer()
    transport = joined(server)
    owner = PipeWatcher(transport)
    await transport.accept(subprotocol="chat", headers=[(b"x-a", b"b")])
    assert server.taken == [{"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-a", b"b")]}]
    assert (transport.ready, owner.ready, transport.pipe, transport.direct) == (True, [True], transport, None)


async def test_a_message_that_is_alone_goes_out_as_it_is() -> None:
    server = StandardServer()
    transport = await accepted(server)
    only = Payload("no JSON")
    transport.write(only)
    assert server.texts == []
    await turns(1)
    assert server.taken[1] is only.event


async def test_the_messages_of_a_turn_are_one_array() -> None:
    server = StandardServer()
    transport = await accepted(server)
    gather(transport, '{"a":1}', "[2]", '"ü"')
    await turns(1)
    assert [json.loads(str(text)) for text in server.texts] == [[{"a": 1}, [2], "ü"]]


async def test_the_next_turn_is_another_message() -> None:
    server = StandardServer()
    transport = await accepted(server)
    for text in "12":
        gather(transport, text)
        await turns(1)
    assert server.texts == ["1", "2"]


async def test_what_is_binary_goes_by_itself_in_its_place() -> None:
    server = StandardServer()
    transport = await accepted(server)
    gather(transport, "1", "2", b"3", "4", b"5", "6", "7")
    await turns(1)
    assert server.texts == ["[1,2]", b"3", "4", b"5", "[6,7]"]


async def test_all_who_got_the_same_are_sent_the_very_same_event() -> None:
    servers = [StandardServer() for _ in range(3)]
    gatherer = Gatherer(asyncio.get_running_loop())
    transports = [await accepted(server, gatherer) for server in servers]
    for text in "123":
        payload = Payload(text)
        for transport in transports:
            transport.write(payload)
    await turns(1)
    assert servers[0].texts == ["[1,2,3]"]
    assert len({id(server.taken[1]) for server in servers}) == 1


async def test_what_is_gathered_counts_as_taken_at_once_and_as_unsent_until_the_server_has_it() -> None:
    server = StandardServer()
    transport = await accepted(server)
    gather(transport, "1", "22")
    assert (transport.sent, transport.sent_bytes, transport.unsent()) == (2, 3, 3)
    server.stall()
    await turns(1)
    assert (transport.sent, transport.sent_bytes, transport.unsent()) == (2, 3, 3)
    server.resume()
    await turns()
    assert (transport.sent, transport.sent_bytes, transport.unsent()) == (2, 3, 0)


@pytest.mark.parametrize(("queue_bytes", "size"), [(None, FULL), (4000, 1000), (3, 1)])
async def test_much_is_sent_at_once(queue_bytes: int | None, size: int) -> None:
    server = StandardServer()
    transport = await accepted(server, queue_bytes=queue_bytes)
    gather(transport, "x" * size)
    assert (len(server.texts), transport.batch, transport.unsent()) == (1, None, 0)
    gather(transport, "")
    await turns(1)
    assert len(server.texts) == 2


async def test_a_send_that_waits_makes_the_next_message_wait_and_they_keep_their_order() -> None:
    server = StandardServer()
    transport = await accepted(server)
    owner = PipeWatcher(transport)
    server.stall()
    gather(transport, "1", "2")
    await turns(1)
    assert (transport.ready, owner.ready, server.waiting) == (False, [False], 1)
    pending = transport.write(Payload("3"))
    assert pending is not None
    waiting = asyncio.ensure_future(pending)
    await turns()
    assert not waiting.done()
    server.resume()
    await waiting
    await turns()
    assert (server.texts, owner.ready, transport.sent) == (["[1,2]", "3"], [False, True], 3)


async def test_a_write_that_is_never_awaited_leaves_no_coroutine() -> None:
    server = StandardServer()
    transport = await accepted(server)
    server.stall()
    gather(transport, "1")
    await turns(1)
    assert transport.write(Payload("2")) is not None
    server.resume()
    await turns()
    assert (server.texts, transport.sent) == (["1"], 1)


async def test_what_comes_after_a_part_that_waited_may_wait_again() -> None:
    server = StandardServer()
    transport = await accepted(server)
    first = True
    real = server.send

    async def send(message: object) -> None:
        nonlocal first
        await real(message)  # type: ignore[arg-type]  # a message
        if first:
            first = False
            server.stall()

    transport._websocket.direct = send
    server.stall()
    gather(transport, "1", b"2", "3")
    await turns()
    server.resume()
    await turns()
    assert (server.texts, server.waiting, transport.ready) == (["1"], 1, False)
    server.resume()
    await turns()
    assert (server.texts, transport.ready) == (["1", b"2", "3"], True)


async def test_a_server_whose_sends_cannot_be_stepped_is_sent_to_by_a_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StandardServer, "__module__", "unknown")
    server = StandardServer()
    transport = await accepted(server)
    gather(transport, "1", "2")
    await turns(1)
    assert (server.texts, transport.ready) == ([], False)
    await turns()
    assert (server.texts, transport.ready) == (["[1,2]"], True)


async def test_a_send_that_raises_is_told_to_the_owner_and_ends_it() -> None:
    server = StandardServer()
    transport = await accepted(server)
    owner = PipeWatcher(transport)
    server.error = OSError("reset")
    gather(transport, "1")
    await turns(1)
    assert (owner.errors, owner.ready, transport.unsent()) == ([server.error], [False], 0)
    with pytest.raises(ConnectionResetError, match="takes no messages any more"):
        transport.write(Payload("2"))


async def test_a_send_that_raises_after_it_waited_is_told_to_the_owner_and_ends_it() -> None:
    server = StandardServer()
    transport = await accepted(server)
    owner = PipeWatcher(transport)
    server.stall()
    gather(transport, "1")
    await turns()
    pending = transport.write(Payload("2"))
    assert pending is not None
    waiting = asyncio.ensure_future(pending)
    await turns()
    server.error = OSError("reset")
    server.resume()
    with pytest.raises(ConnectionResetError):
        await waiting
    assert (owner.errors, transport.ready, transport.sent) == ([server.error], False, 1)


async def test_without_an_owner_a_failure_ends_it_as_well() -> None:
    server = StandardServer()
    transport = await accepted(server)
    server.error = OSError("reset")
    gather(transport, "1")
    await turns(1)
    assert not transport.ready


async def test_a_send_that_the_server_cancels_has_failed() -> None:
    server = StandardServer()
    transport = await accepted(server)
    owner = PipeWatcher(transport)
    server.stall()
    gather(transport, "1")
    await turns()
    server.cancel_sends()
    await turns()
    assert ([type(error) for error in owner.errors], transport.ready) == ([ConnectionAbortedError], False)


async def test_a_send_that_takes_too_long_is_told_to_the_owner_though_nothing_else_is_sent() -> None:
    server = StandardServer()
    transport = await accepted(server, send_timeout=SHORT)
    owner = PipeWatcher(transport)
    server.stall()
    gather(transport, "1")
    await eventually(lambda: owner.stuck == 1)
    transport.abort()


@pytest.mark.usefixtures("time_by_turns")
async def test_sends_that_end_in_time_are_not_stuck() -> None:
    server = StandardServer()
    transport = await accepted(server, send_timeout=SHORT)
    owner = PipeWatcher(transport)
    server.stall()
    gather(transport, "1")
    await turns()
    server.resume()
    await turns()
    await asyncio.sleep(SHORT * 2)
    assert (owner.stuck, transport.ready) == (0, True)


@pytest.mark.parametrize("send_timeout", [None, SOON])
async def test_a_slow_send_may_take_as_long_as_it_is_given(send_timeout: float | None) -> None:
    server = StandardServer()
    transport = await accepted(server, send_timeout=send_timeout)
    owner = PipeWatcher(transport)
    server.stall()
    gather(transport, "1")
    await asyncio.sleep(SHORT * 2)
    assert owner.stuck == 0
    transport.abort()


async def test_closing_sends_what_was_gathered_first() -> None:
    server = StandardServer()
    transport = await accepted(server)
    gather(transport, "1", "2")
    await transport.close(code=4000, reason="why")
    assert (server.texts, ends(server), transport.ready) == (["[1,2]"], [(4000, "why")], False)


async def test_closing_waits_for_what_is_on_its_way() -> None:
    server = StandardServer()
    transport = await accepted(server)
    server.stall()
    gather(transport, "1")
    await turns()
    closing = asyncio.create_task(transport.close(code=1000, reason=""))
    await turns()
    assert not closing.done()
    server.resume()
    await closing
    assert (server.texts, ends(server)) == (["1"], [(1000, "")])


async def test_what_was_gathered_and_has_to_wait_is_waited_for_when_closing() -> None:
    server = StandardServer()
    transport = await accepted(server)
    server.stall()
    gather(transport, "1")
    closing = asyncio.create_task(transport.close(code=1000, reason=""))
    await turns()
    assert not closing.done()
    server.resume()
    await closing
    assert (server.texts, ends(server)) == (["1"], [(1000, "")])


async def test_what_could_not_be_sent_does_not_keep_it_from_closing() -> None:
    server = StandardServer()
    transport = await accepted(server)
    gather(transport, "1")
    server.error = OSError("reset")
    with pytest.raises(OSError, match="reset"):
        await transport.close(code=1000, reason="")
    assert server.texts == []


@pytest.mark.parametrize("started", [False, True])
async def test_aborting_gives_up_what_is_on_its_way(started: bool) -> None:
    server = StandardServer()
    transport = await accepted(server)
    owner = PipeWatcher(transport)
    server.stall()
    gather(transport, "1")
    transport.flush()
    await turns(3 if started else 0)
    assert transport.abort()
    await turns()
    assert (server.waiting, server.texts, server.aborts) == (0, [], 1)
    assert (transport.ready, transport.unsent(), transport.sent, owner.errors) == (False, 0, 1, [])
    server.resume()
    await transport.close(code=1000, reason="")


async def test_once_the_connection_is_over_nothing_is_on_its_way() -> None:
    server = StandardServer()
    transport = await accepted(server)
    server.stall()
    gather(transport, "1")
    await turns()
    server.unsent = 1
    transport.discard_unsent_after(SHORT)
    await turns()
    assert (server.waiting, server.aborts) == (0, 0)
    await asyncio.sleep(SHORT * 2)
    assert server.aborts == 1


async def test_what_was_gathered_is_dropped_once_the_connection_is_over_and_still_counts() -> None:
    server = StandardServer()
    transport = await accepted(server)
    gather(transport, "1")
    transport.discard_unsent_after(None)
    await turns()
    assert (server.texts, transport.sent) == ([], 1)


async def test_messages_are_received_in_the_standard_way() -> None:
    disconnect = {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}
    transport = await accepted(StandardServer({"type": "websocket.receive", "text": "a"}, disconnect))
    assert [await transport.receive(), await transport.receive()] == ["a", Gone(1001, "bye")]


async def test_there_are_no_pings_to_send() -> None:
    server = StandardServer()
    transport = await accepted(server)
    transport.take_over_pings()
    transport.ping()
    await turns()
    assert (transport.pings, len(server.taken)) == (False, 1)


async def test_the_raw_socket_is_read_by_its_connection_and_closing_it_late_is_harmless() -> None:
    server = StandardServer()
    transport = await accepted(server)
    with pytest.raises(RoomsError, match=r"connection\.receive_text"):
        await server.websocket.receive_text()
    transport.retire()
    await server.websocket.close(1011)
    assert ends(server) == []
