import asyncio
import logging

import pytest

from fastapi_rooms import link as link_module
from fastapi_rooms.errors import CloseCode, Disconnect, DisconnectReason
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import Dropped, Offer
from fastapi_rooms.testing import eventually
from unit.fakes import SHORT, SOON, FakeOwner, FakeTransport, ending, finished, make_link

HELLO = Payload("hello")


async def test_its_states_are_connecting_connected_disconnected() -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner, is_open=False)
    assert (link.status, link.deliver(HELLO, Overflow.CLOSE)) == ("connecting", None)
    assert not await link.send(HELLO)
    link.start()
    link.open()
    assert (link.status, link.deliver(HELLO, Overflow.CLOSE)) == ("connected", Offer.ACCEPTED)
    link.shut(DisconnectReason.CLOSED, 1000, "bye")
    assert (link.status, link.deliver(HELLO, Overflow.CLOSE), owner.downs) == ("disconnected", None, 1)
    await link.finish()
    assert (transport.closed_with, transport.taken) == ([(1000, "bye")], ["hello"])


async def test_it_ends_once() -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner)
    link.shut(DisconnectReason.FINISHED, CloseCode.NORMAL)
    link.shut(DisconnectReason.CLOSED, 4000, "late")
    link.open()
    await link.finish()
    assert ending(link) == (DisconnectReason.FINISHED, 1000)
    assert (link.status, owner.downs, transport.closed_with) == ("disconnected", 1, [(1000, "")])


async def test_before_accept_there_is_no_close_frame() -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner, is_open=False)
    link.shut(DisconnectReason.CLIENT, 1006)
    await link.closed()
    await link.finish()
    assert (transport.events, owner.downs) == ([], 1)


async def test_the_owner_has_unregistered_it_before_anything_is_written() -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner)
    link.shut(DisconnectReason.CLOSED, 1000)
    assert (owner.downs, transport.events) == (1, ["retire"])
    await link.finish()
    assert transport.events == ["retire", "close"]


async def test_a_long_reason_is_cut() -> None:
    transport = FakeTransport()
    link = make_link(transport)
    link.shut(DisconnectReason.CLOSED, 4000, "ü" * 200)
    await link.finish()
    assert transport.closed_with == [(4000, "ü" * 61)]


async def test_a_flush_writes_the_queue_before_the_close_frame() -> None:
    transport = FakeTransport()
    link = make_link(transport)
    transport.stall()
    for text in "abc":
        link.deliver(Payload(text), Overflow.CLOSE)
    link.shut(DisconnectReason.CLOSED, 1000, flush=True)
    await asyncio.sleep(0)
    assert transport.closed_with == []
    transport.resume()
    await link.finish()
    assert (transport.taken, transport.closed_with) == (["a", "b", "c"], [(1000, "")])


async def test_without_a_flush_what_is_queued_is_discarded() -> None:
    transport = FakeTransport()
    link = make_link(transport)
    transport.stall()
    for text in "abc":
        link.deliver(Payload(text), Overflow.CLOSE)
    link.shut(DisconnectReason.TOKEN_EXPIRED, 4001)
    await link.finish()
    assert (transport.taken, transport.closed_with) == ([], [(4001, "")])
    assert link.writer.queue.discarded == 3


@pytest.mark.parametrize("flush", [True, False])
async def test_a_close_that_blocks_is_given_up_and_the_transport_aborted(flush: bool) -> None:
    transport = FakeTransport()
    transport.close_blocks = True
    link = make_link(transport, queue=QueueLimits(close_timeout=SHORT))
    link.shut(DisconnectReason.CLOSED, 1000, flush=flush)
    async with asyncio.timeout(SOON):
        await link.closed()
    assert (transport.aborts, transport.closed_with, transport.discards) == (1, [], [SHORT])
    await link.finish()


async def test_a_flush_that_blocks_is_given_up_too() -> None:
    transport = FakeTransport()
    link = make_link(transport, queue=QueueLimits(close_timeout=SHORT))
    transport.stall()
    link.deliver(HELLO, Overflow.CLOSE)
    link.shut(DisconnectReason.CLOSED, 1000, flush=True)
    async with asyncio.timeout(SOON):
        await link.closed()
    assert (transport.aborts, transport.closed_with, link.writer.queue.discarded) == (1, [], 1)
    await link.finish()


async def test_a_close_that_fails_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="fastapi_rooms")
    transport = FakeTransport()
    transport.close_error = RuntimeError("already closed")
    link = make_link(transport, queue=QueueLimits(close_timeout=SHORT))
    link.shut(DisconnectReason.CLOSED, 1000)
    await link.finish()
    assert transport.aborts == 1
    assert any("already closed" in message for message in caplog.messages)


async def test_what_the_server_still_buffers_after_the_close_is_discarded_later() -> None:
    transport = FakeTransport()
    link = make_link(transport, queue=QueueLimits(close_timeout=SHORT))
    link.shut(DisconnectReason.CLOSED, 1000)
    await link.finish()
    assert transport.discards == [SHORT]


@pytest.mark.parametrize(
    ("reason", "unanswered"), [(DisconnectReason.SLOW_CONSUMER, True), (DisconnectReason.TOKEN_EXPIRED, False)]
)
async def test_only_a_peer_that_may_not_read_must_answer_the_close_in_time(
    reason: DisconnectReason, unanswered: bool
) -> None:
    transport = FakeTransport()
    link = make_link(transport)
    link.shut(reason, 4008)
    await link.finish()
    assert transport.unanswered == [unanswered]


async def test_waiting_for_the_close_can_be_cancelled_and_the_close_goes_on() -> None:
    transport = FakeTransport()
    transport.stall()
    link = make_link(transport)
    link.deliver(HELLO, Overflow.CLOSE)
    link.shut(DisconnectReason.CLOSED, 1000, flush=True)
    waiting = asyncio.create_task(link.closed())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    transport.resume()
    await link.finish()
    assert transport.closed_with == [(1000, "")]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1001, DisconnectReason.CLIENT), (1006, DisconnectReason.CLIENT), (1012, DisconnectReason.SHUTDOWN)],
)
async def test_the_reader_learns_that_the_client_left(code: int, reason: DisconnectReason) -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner)
    transport.client_leaves(code, "bye")
    await eventually(lambda: owner.downs == 1)
    assert link.disconnect == Disconnect(reason, code, "bye")
    await link.finish()
    assert (transport.closed_with, transport.discards) == ([], [2.0])


async def test_what_came_before_the_client_left_can_still_be_received() -> None:
    transport = FakeTransport()
    link = make_link(transport)
    transport.client_sends("a")
    transport.client_leaves()
    await eventually(lambda: link.disconnect is not None)
    assert [await link.reader.get(), await link.reader.get()] == ["a", None]
    await link.finish()


async def test_a_client_that_leaves_after_we_closed_changes_nothing() -> None:
    transport = FakeTransport()
    transport.close_blocks = True
    link = make_link(transport, queue=QueueLimits(close_timeout=SHORT))
    link.shut(DisconnectReason.CLOSED, 4000)
    transport.client_leaves(1001)
    await link.finish()
    assert ending(link) == (DisconnectReason.CLOSED, 4000)


async def test_overflow_closes_a_slow_consumer_with_4008() -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner, queue=QueueLimits(messages=1, close_timeout=SHORT))
    transport.stall()
    assert link.deliver(HELLO, Overflow.CLOSE) is Offer.ACCEPTED
    assert link.deliver(HELLO, Overflow.CLOSE) is Offer.OVERFLOWED
    assert (ending(link), owner.downs) == ((DisconnectReason.SLOW_CONSUMER, 4008), 1)
    await link.finish()


async def test_overflow_drops_and_reports_the_episode() -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner, queue=QueueLimits(messages=2))
    transport.stall()
    offers = [link.deliver(Payload(text), Overflow.DROP_OLDEST) for text in "abcd"]
    assert offers == [Offer.ACCEPTED] * 4
    assert link.deliver(Payload("e"), Overflow.DROP_NEWEST) is Offer.DROPPED
    transport.resume()
    await link.writer.join()
    assert (transport.taken, owner.dropped) == (["a", "d"], [Dropped(oldest=2, newest=1, bytes=3)])
    await finished(link)


async def test_overflow_conflates() -> None:
    transport = FakeTransport()
    link = make_link(transport, queue=QueueLimits(messages=3))
    transport.stall()
    for text in ("a 1", "a 2", "b 1", "b 2", "b 3"):
        assert link.deliver(Payload(text), Overflow.CONFLATE, None, text[0]) is Offer.ACCEPTED
    transport.resume()
    await link.writer.join()
    assert transport.taken == ["a 1", "a 2", "b 3"]
    await finished(link)


async def test_a_blocked_write_closes_the_link_at_the_deadline() -> None:
    transport = FakeTransport()
    link = make_link(transport, queue=QueueLimits(send_timeout=SHORT, close_timeout=SHORT))
    transport.stall()
    transport.close_blocks = True
    link.deliver(HELLO, Overflow.CLOSE)
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.SEND_TIMEOUT, 4008)
    await link.finish()
    assert transport.aborts == 1


@pytest.mark.usefixtures("time_by_turns")
async def test_an_awaited_send_without_space_closes_the_link_at_the_deadline() -> None:
    transport = FakeTransport()
    link = make_link(transport, queue=QueueLimits(messages=1, send_timeout=SHORT * 15, close_timeout=SHORT))
    transport.stall()
    link.deliver(HELLO, Overflow.CLOSE)
    sends = [asyncio.create_task(link.send(Payload(text))) for text in "ab"]
    await asyncio.sleep(SHORT * 2)
    transport.take_one()  # which makes room for the first, and gives the writer a new deadline
    assert await sends[0]
    assert not await sends[1]
    assert ending(link) == (DisconnectReason.SLOW_CONSUMER, 4008)
    await link.finish()


async def test_a_failed_write_leaves_the_reader_time_to_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "BROKEN_GRACE", SOON)
    transport = FakeTransport()
    link = make_link(transport)
    transport.write_error = OSError("reset")
    assert link.deliver(HELLO, Overflow.CLOSE) is Offer.DROPPED
    assert (link.disconnect, link.deliver(HELLO, Overflow.CLOSE), await link.send(HELLO)) == (None, None, False)
    transport.client_leaves(1001)
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.CLIENT, 1001)
    await link.finish()


async def test_a_failed_write_ends_the_link_if_the_reader_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "BROKEN_GRACE", SHORT)
    transport = FakeTransport()
    link = make_link(transport, queue=QueueLimits(close_timeout=SHORT))
    transport.write_error = OSError("reset")
    link.deliver(HELLO, Overflow.CLOSE)
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.CLIENT, 1011)
    await link.finish()


async def test_a_violation_ends_the_link() -> None:
    transport = FakeTransport()
    link = make_link(transport, limits=Limits(message_bytes=2))
    transport.client_sends("abc", "late")
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.MESSAGE_TOO_BIG, 1009)
    assert await link.reader.get() is None
    await link.finish()


async def test_a_client_that_is_too_fast_is_closed_with_4013() -> None:
    transport = FakeTransport()
    link = make_link(transport, rate_limit=RateLimit(rate=1, burst=1))
    transport.client_sends("a", "b")
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.RATE_LIMITED, 4013)
    await link.finish()


async def test_it_ends_at_its_expiry() -> None:
    link = make_link(FakeTransport())
    link.expire_in(SHORT)
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.TOKEN_EXPIRED, 4001)
    await link.finish()


async def test_an_expiry_in_the_past_is_now() -> None:
    link = make_link(FakeTransport())
    link.expire_in(-10.0)
    await eventually(lambda: link.disconnect is not None)
    await link.finish()


@pytest.mark.parametrize("later", [None, 60.0])
async def test_an_expiry_can_be_put_off(later: float | None) -> None:
    link = make_link(FakeTransport())
    link.expire_in(SHORT)
    link.expire_in(later)
    await asyncio.sleep(SHORT * 2)
    assert link.disconnect is None
    await finished(link)


async def test_an_expiry_at_the_end_of_time_is_none() -> None:
    link = make_link(FakeTransport())
    link.expire_in(float("inf"))
    await asyncio.sleep(0)
    assert link.disconnect is None
    await finished(link)


@pytest.mark.parametrize(("error", "level"), [(OSError("reset"), "DEBUG"), (ValueError("odd"), "WARNING")])
async def test_a_failed_write_is_logged_loudly_if_no_server_is_known_to_raise_it(
    error: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="fastapi_rooms")
    transport = FakeTransport()
    link = make_link(transport)
    transport.write_error = error
    link.deliver(HELLO, Overflow.CLOSE)
    assert [record.levelname for record in caplog.records if "a write failed" in record.message] == [level]
    await finished(link)


async def test_its_clock_is_its_loops_from_any_thread() -> None:
    link = make_link(FakeTransport(), is_open=False)
    before = asyncio.get_running_loop().time()
    assert before <= await asyncio.to_thread(link.time) <= asyncio.get_running_loop().time()


async def test_an_expiry_is_nothing_to_a_link_that_has_ended() -> None:
    link = make_link(FakeTransport())
    link.expire_in(60)
    link.shut(DisconnectReason.CLOSED, 1000)
    link.expire_in(0.0)
    await link.finish()
    assert ending(link) == (DisconnectReason.CLOSED, 1000)


@pytest.mark.usefixtures("time_by_turns")
async def test_a_client_that_sends_nothing_is_idle() -> None:
    transport = FakeTransport()
    link = make_link(transport, limits=Limits(idle_timeout=SHORT * 2))
    await asyncio.sleep(SHORT)
    transport.client_sends("alive")
    await asyncio.sleep(SHORT * 1.5)
    assert link.disconnect is None
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.IDLE_TIMEOUT, 4012)
    await link.finish()


@pytest.mark.usefixtures("time_by_turns")
async def test_a_quiet_client_gets_a_heartbeat_and_lives_if_it_answers() -> None:
    transport = FakeTransport()
    link = make_link(transport, heartbeat=Heartbeat(interval=SHORT, timeout=SHORT * 3, message={"beat": 1}))
    for beats in range(1, 4):
        await eventually(lambda beats=beats: len(transport.taken) == beats)  # type: ignore[misc]  # bound at once
        transport.client_sends("pong")
    assert transport.taken == ['{"beat":1}'] * 3
    assert link.disconnect is None
    await finished(link)


async def test_a_client_that_does_not_answer_a_heartbeat_is_dead() -> None:
    transport = FakeTransport()
    link = make_link(transport, heartbeat=Heartbeat(interval=SHORT, timeout=SHORT))
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.HEARTBEAT_TIMEOUT, 4012)
    assert transport.taken == ['{"type":"ping"}']
    await link.finish()


@pytest.mark.usefixtures("time_by_turns")
async def test_no_heartbeat_is_due_while_we_do_not_read() -> None:
    transport = FakeTransport()
    heartbeat = Heartbeat(interval=SHORT, timeout=SHORT)
    link = make_link(transport, heartbeat=heartbeat, limits=Limits(inbox_messages=1))
    transport.client_sends("a", "b")
    await eventually(lambda: link.reader.paused)
    await asyncio.sleep(SHORT * 4)
    assert (link.disconnect, transport.taken) == (None, [])
    await link.reader.get()
    await link.reader.get()
    await eventually(lambda: link.disconnect is not None)
    assert transport.taken == ['{"type":"ping"}']
    await link.finish()


@pytest.mark.usefixtures("time_by_turns")
async def test_a_heartbeat_has_reserved_space_and_4008_if_that_is_full() -> None:
    transport = FakeTransport()
    heartbeat = Heartbeat(interval=SHORT, timeout=SHORT * 3, message="x" * 40_000)
    link = make_link(
        transport, heartbeat=heartbeat, queue=QueueLimits(messages=1, send_timeout=None, close_timeout=SHORT)
    )
    transport.stall()
    link.deliver(HELLO, Overflow.CLOSE)
    await eventually(lambda: len(link.writer.queue) == 2)
    for _ in range(15):
        link.writer.offer_control(HELLO)
    transport.client_sends("alive")
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.SLOW_CONSUMER, 4008)
    await link.finish()


async def test_before_it_is_open_nobody_is_asked_for_life_or_given_up() -> None:
    transport = FakeTransport()
    link = make_link(transport, heartbeat=Heartbeat(interval=SHORT, timeout=SHORT), is_open=False)
    link.start()
    await asyncio.sleep(SHORT * 5)
    assert (link.disconnect, transport.taken) == (None, [])
    link.open()
    await eventually(lambda: transport.taken == ['{"type":"ping"}'])
    await finished(link)


@pytest.mark.usefixtures("time_by_turns")
async def test_a_slow_handshake_is_not_idleness() -> None:
    transport = FakeTransport()
    link = make_link(transport, limits=Limits(idle_timeout=SHORT), is_open=False)
    await asyncio.sleep(SHORT * 2)
    link.start()
    link.open()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert link.disconnect is None
    await finished(link)


async def test_it_knows_its_own_event_loop() -> None:
    link = make_link(FakeTransport(), is_open=False)
    assert link.is_current_loop()
    assert not await asyncio.to_thread(link.is_current_loop)


async def test_nothing_is_left_of_a_link_whose_closer_was_cancelled() -> None:
    transport = FakeTransport()
    transport.stall()
    link = make_link(transport, queue=QueueLimits(close_timeout=None))
    link.deliver(HELLO, Overflow.CLOSE)
    link.shut(DisconnectReason.CLOSED, 1000, flush=True)
    await asyncio.sleep(0)
    closers = [task for task in asyncio.all_tasks() if task.get_name() == "fastapi_rooms closer"]
    for closer in closers:
        closer.cancel()
    transport.client_leaves()
    async with asyncio.timeout(SOON):
        await link.finish()
    assert link.writer.queue.discarded == 1


class LateTransport(FakeTransport):
    """Of a server whose own threads finish each send."""

    @property
    def turn(self) -> float:
        return 0.001


async def test_a_queue_over_half_that_moves_wants_a_turn_and_a_nearly_full_one_more() -> None:
    transport = LateTransport()
    link = make_link(transport, queue=QueueLimits(messages=8, send_timeout=None, close_timeout=SHORT))
    transport.stall()
    wanted = []
    for _ in range(8):
        link.deliver(HELLO, Overflow.CLOSE)
        wanted.append(link.pause_wanted())
    assert wanted == [None, None, None, None, 0.001, 0.001, 0.005, 0.005]
    link.shut(DisconnectReason.CLOSED, 1000)
    await link.finish()


async def test_a_stalled_client_wants_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_STALLED_AFTER", -1.0)
    transport = LateTransport()
    link = make_link(transport, queue=QueueLimits(messages=1, send_timeout=None, close_timeout=SHORT))
    transport.stall()
    link.deliver(HELLO, Overflow.CLOSE)
    assert link.pause_wanted() is None
    link.shut(DisconnectReason.CLOSED, 1000)
    await link.finish()


async def test_control_has_space_of_its_own_and_a_client_that_fills_even_that_is_closed() -> None:
    transport, owner = FakeTransport(), FakeOwner()
    link = make_link(transport, owner, queue=QueueLimits(messages=1, bytes=None, close_timeout=SHORT))
    transport.stall()
    said = 0
    while link.control(HELLO):
        said += 1
    assert said == 1 + 16
    assert ending(link) == (DisconnectReason.SLOW_CONSUMER, 4008)
    assert not link.control(HELLO)
    await link.finish()
