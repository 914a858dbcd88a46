"""RFC 6455 section 5.5.1: the close frame; 7.1 and 7.2: the closing handshake; 7.4: the codes."""

from collections.abc import Iterator

import pytest

from conformance.servers import Server

from .cases import Case, check, closes, fails, table
from .client import RawClient
from .frames import CLOSE, binary, close, frame, more, one_by_one, ping, pong, text
from .payloads import words

VALID = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4321, 4999)
INVALID = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535)
REASONS = {
    "an empty reason": b"",
    "a reason": b"that is all",
    "a reason of characters of two to four bytes": "ß水𝄞".encode(),
    "the longest reason": b"x" * 123,
}
TOO_LONG = "x" * 65_537


def _codes() -> Iterator[Case]:
    for code in VALID:
        yield Case(
            section="7.4",
            name=f"a close frame with {code} is answered with that",
            send=(close(code),),
            expect=closes(code),
        )
    for code in INVALID:
        yield Case(
            section="7.4",
            name=f"a close frame with {code} is a protocol error",
            send=(close(code),),
            expect=fails(1002),
        )
        yield Case(
            section="7.4",
            name=f"a close frame with {code} and a reason is a protocol error",
            send=(close(code, b"reason"),),
            expect=fails(1002),
        )


def _payloads() -> Iterator[Case]:
    for name, reason in REASONS.items():
        yield Case(
            section="5.5.1",
            name=f"a close frame with {name} is answered with its code",
            send=(close(1000, reason),),
            expect=closes(1000),
        )
    yield Case(
        section="5.5.1",
        name="a close frame without a code is answered with a close frame",
        send=(close(None),),
        expect=closes(1005, 1000),
    )
    yield Case(
        section="5.5.1",
        name="a close frame that arrives byte by byte is answered",
        send=one_by_one(close(1000, b"slowly")),
        expect=closes(1000),
    )
    yield Case(
        section="5.5.1",
        name="a close frame of one byte is a protocol error",
        send=(frame(CLOSE, b"\x03"),),
        expect=fails(1002),
    )
    for name, reason in {
        "FF": b"\xff",
        "half a character": b"good\xe6\xb0",
        "a surrogate": b"\xed\xa0\x80",
    }.items():
        yield Case(
            section="5.5.1",
            name=f"a reason with {name} is no UTF-8 and fails the connection",
            send=(close(1000, reason),),
            expect=fails(1002, 1007),
        )


def _neighbours() -> Iterator[Case]:
    after = {
        "a text": text("late"),
        "a binary message": binary(b"late"),
        "a ping": ping(b"late"),
        "a pong": pong(b"late"),
        "another close frame": close(1001),
        "half a message": text("la", fin=False),
        "what is no frame": b"\xff" * 20,
        "a frame without a mask": frame(0x1, b"late", mask=None),
    }
    for name, data in after.items():
        yield Case(
            section="5.5.1",
            name=f"{name} behind a close frame in the same segment is not answered",
            send=(close(1000) + data,),
            expect=closes(1000),
        )
    for count in (1, 2, 40):
        several = tuple(f"message {number}" for number in range(count))
        yield Case(
            section="5.5.1",
            name=f"echoes of {count} messages come before the close frame that was sent behind them or not at all",
            send=(b"".join(map(text, several)) + close(1000),),
            expect=closes(1000, messages=several),
        )
        yield Case(
            section="5.5.1",
            name=f"echoes of {count} messages come before the close frame that came in its own segment",
            send=(b"".join(map(text, several)), close(1000)),
            expect=closes(1000, messages=several),
        )
    large = tuple(words(50_000 + number) for number in range(8))
    yield Case(
        section="5.5.1",
        name="echoes of large messages come whole before the close frame or not at all",
        path="/large",
        send=(b"".join(map(text, large)) + close(1000),),
        expect=closes(1000, messages=large),
    )
    yield Case(
        section="5.4",
        name="a close frame between fragments is answered",
        send=(text("Hel", fin=False) + close(1000) + more("lo", fin=True),),
        expect=closes(1000, 1002),
    )
    yield Case(
        section="5.5.2",
        name="pings before a close frame are answered and those behind it are not",
        send=(ping(b"1") + text("Hello") + ping(b"2") + close(1000) + ping(b"3"),),
        expect=closes(1000, messages=("Hello",), pongs=(b"1", b"2")),
    )


@table([*_codes(), *_payloads(), *_neighbours()])
def test_close_frames_are_answered_or_refused_as_the_rfc_says(server: Server, case: Case) -> None:
    check(case, server)


def test_the_server_that_closes_waits_for_our_close_frame_and_ends_the_connection(server: Server) -> None:
    """Sections 7.1.1 and 7.1.2: what we send meanwhile is not answered with data any more."""
    with RawClient.connect(server.port, "/ws") as client:
        client.send(text(TOO_LONG))
        assert client.read_close() == 1009
        client.deliver([text("late") + binary(b"late"), close(1009)])
        client.read_to_end(answer=False)
        assert client.reader.messages == []


def test_a_ping_that_crosses_the_servers_close_frame_is_harmless(server: Server) -> None:
    """Section 5.5.2: it may still be answered, since no close frame of ours was received yet."""
    with RawClient.connect(server.port, "/ws") as client:
        client.reader.pongs_after_close = True
        client.send(text("Hello") + text(TOO_LONG))
        assert client.read_close() == 1009
        client.deliver([ping(b"crossing") + close(1000)])
        client.read_to_end(answer=False)
        assert client.reader.messages in ([], ["Hello"])
        assert client.reader.pongs in ([], [b"crossing"])


@pytest.mark.parametrize(
    "reply",
    [close(1000), close(None), close(4999, b"another"), close(1000, b"x" * 123)],
    ids=["1000", "no-code", "another-code", "long-reason"],
)
def test_any_close_frame_is_an_answer_to_the_servers(server: Server, reply: bytes) -> None:
    """Section 7.1.2."""
    with RawClient.connect(server.port, "/ws") as client:
        client.send(text(TOO_LONG))
        assert client.read_close() == 1009
        client.deliver([reply])
        client.read_to_end(answer=False)


def test_close_frames_that_cross_end_the_connection(server: Server) -> None:
    """Section 7.1.2: each side sent one, so nobody answers."""
    with RawClient.connect(server.port, "/ws") as client:
        client.send(text(TOO_LONG) + close(1000))
        client.read_to_end(answer=False)
        assert client.reader.close is not None
        assert client.reader.close[0] in {1000, 1009}


def test_messages_over_the_rate_limit_end_with_a_code_of_the_application(server: Server) -> None:
    """Section 7.4.2: 4000 to 4999 is for private use; the echoes so far are whole and in order."""
    messages = [f"message {number}" for number in range(400)]  # too many for a server that stands still between
    with RawClient.connect(server.port, "/ws") as client:
        client.send(b"".join(map(text, messages)))
        client.read_to_end(answer=True)
        assert client.reader.close is not None
        assert client.reader.close[0] == 4013
        assert client.reader.messages == messages[: len(client.reader.messages)]


def test_a_client_that_ends_tcp_without_a_close_frame_is_let_go(server: Server) -> None:
    """Section 7.1.5: no close frame may be awaited from one that is gone."""
    with RawClient.connect(server.port, "/ws") as client:
        client.send(text("Hello"))
        assert client.read_messages(1) == ["Hello"]
        client.fin()
        client.read_to_end(answer=False)
        assert client.reader.messages == ["Hello"]
