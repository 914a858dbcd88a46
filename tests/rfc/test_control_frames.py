"""RFC 6455 section 5.5: ping and pong; the close frame has its own table."""

from collections.abc import Iterator

from conformance.servers import Server

from .cases import Case, Stays, check, closes, fails, table
from .client import RawClient
from .frames import CLOSE, PING, PONG, binary, close, frame, more, one_by_one, ping, pong, text
from .payloads import check_same, noise, words


def _pings() -> Iterator[Case]:
    payloads = {
        "no payload": b"",
        "Hello": b"Hello",
        "one zero byte": b"\0",
        "bytes that are no UTF-8": b"\xff\xfe\xed\xa0\x80",
        "124 bytes": noise(124),
        "125 bytes": noise(125),
    }
    for name, payload in payloads.items():
        yield Case(
            section="5.5.2",
            name=f"a ping with {name} is answered with the same",
            send=(ping(payload),),
            expect=Stays((), (payload,)),
        )
    yield Case(
        section="5.5.2",
        name="a ping that arrives byte by byte is answered",
        send=one_by_one(ping(b"slowly")),
        expect=Stays((), (b"slowly",)),
    )
    for number in (10, 500):
        many = tuple(b"ping %d" % index for index in range(number))
        yield Case(
            section="5.5.2",
            name=f"{number} pings in one segment are answered in their order",
            send=(b"".join(map(ping, many)),),
            expect=Stays((), many),
        )
    yield Case(
        section="5.5.2",
        name="a ping between fragments is answered with its payload",
        send=(text("Hel", fin=False) + ping(b"in between") + more("lo", fin=True),),
        expect=Stays(("Hello",), (b"in between",)),
    )
    yield Case(
        section="5.5.2",
        name="a ping within an unfinished message is answered before its end",
        send=(text("Hel", fin=False), ping(b"in between"), more("lo", fin=True)),
        expect=Stays(("Hello",), (b"in between",)),
    )
    yield Case(
        section="5.5.2",
        name="pings before and behind a message in one segment are answered and the message comes back",
        send=(ping(b"1") + text("Hello") + ping(b"2"),),
        expect=Stays(("Hello",), (b"1", b"2")),
    )
    yield Case(
        section="5.5.2",
        name="90 messages with a ping behind each come back in one segment",
        send=(b"".join(binary(noise(number)) + ping(b"%d" % number) for number in range(90)),),
        expect=Stays(tuple(noise(number) for number in range(90)), tuple(b"%d" % number for number in range(90))),
    )
    yield Case(
        section="5.5.2",
        name="1000 messages with a ping behind each come back in segments of all sizes",
        path="/large",
        send=tuple(_cut(b"".join(text(words(number)) + ping(b"%d" % number) for number in range(1000)))),
        expect=Stays(
            tuple(words(number) for number in range(1000)), tuple(b"%d" % number for number in range(1000))
        ),
    )
    yield Case(
        section="5.5.2",
        name="a ping in front of a close frame is answered",
        send=(ping(b"last") + close(1000),),
        expect=closes(1000, pongs=(b"last",)),
    )


def _cut(data: bytes) -> Iterator[bytes]:
    size, start = 1, 0
    while start < len(data):
        yield data[start : start + size]
        start, size = start + size, size * 2 + 1


def _pongs() -> Iterator[Case]:
    for name, payload in {"no payload": b"", "a payload": b"Hello", "125 bytes": noise(125)}.items():
        yield Case(
            section="5.5.3",
            name=f"a pong with {name} that nobody asked for is not answered",
            send=(pong(payload),),
            expect=Stays(),
        )
    yield Case(
        section="5.5.3",
        name="a pong does not stop the answer to a ping",
        send=(pong(b"mine") + ping(b"yours") + pong(b"mine"),),
        expect=Stays((), (b"yours",)),
    )


def _broken() -> Iterator[Case]:
    for opcode, name in ((PING, "ping"), (PONG, "pong"), (CLOSE, "close frame")):
        code = b"\x03\xe8" if opcode == CLOSE else b""
        for size in (126, 127, 65536):
            yield Case(
                section="5.5",
                name=f"a {name} of {size} bytes is refused",
                send=(frame(opcode, code + b"x" * (size - len(code))),),
                expect=fails(1002),
            )
        yield Case(
            section="5.5",
            name=f"a {name} without FIN is refused",
            send=(frame(opcode, code, fin=False),),
            expect=fails(1002),
        )
        yield Case(
            section="5.5",
            name=f"a {name} in two fragments is refused",
            send=(frame(opcode, code, fin=False) + more(b"", fin=True),),
            expect=fails(1002),
        )
    yield Case(
        section="5.5",
        name="a ping whose length takes two bytes needlessly is answered or refused",
        send=(frame(PING, b"Hello", length_field=2),),
        expect=fails(1002),
        permits=Stays((), (b"Hello",)),
    )
    yield Case(
        section="5.5",
        name="a ping of 126 bytes within an unfinished message is refused",
        send=(text("Hel", fin=False) + ping(b"x" * 126) + more("lo", fin=True),),
        expect=fails(1002),
    )


@table([*_pings(), *_pongs(), *_broken()])
def test_control_frames_are_answered_or_refused_as_the_rfc_says(server: Server, case: Case) -> None:
    check(case, server)


def test_a_ping_within_an_unfinished_message_is_answered_at_once(server: Server) -> None:
    """Section 5.5.2: as soon as is practical, and not only once the message is complete."""
    with RawClient.connect(server.port, "/ws") as client:
        client.send(text("Hel", fin=False) + ping(b"now"))
        while not client.reader.pongs:
            client.read_some()
        client.send(more("lo", fin=True))
        assert client.read_messages(1) == ["Hello"]
        client.close()
        assert client.reader.pongs == [b"now"]


def test_pings_are_answered_while_echoes_of_large_messages_are_on_their_way(server: Server) -> None:
    """Section 5.5.2, with a client that reads only afterwards: every byte of both must stay whole."""
    sizes = (100_000, 1, 300_000, 0, 65_536, 200_000)
    with RawClient.connect(server.port, "/large") as client:
        for number, size in enumerate(sizes):
            client.send(binary(noise(size)) + ping(b"%d" % number))
        check_same(client.read_messages(len(sizes)), [noise(size) for size in sizes])
        client.close()
        assert client.reader.pongs == [b"%d" % number for number in range(len(sizes))]
