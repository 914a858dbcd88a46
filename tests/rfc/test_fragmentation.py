"""RFC 6455 section 5.4: fragmentation."""

from collections.abc import Iterator

from conformance.servers import Server

from .cases import Case, Stays, check, fails, table
from .frames import BINARY, CONTINUATION, RSV1, TEXT, binary, fragments, frame, more, one_by_one, ping, pong, text
from .payloads import MIB, noise, words

START = text("Hel", fin=False)
END = more("lo", fin=True)


def _whole() -> Iterator[Case]:
    for sizes in ([3, 2], [0, 5], [5, 0], [1, 1, 1, 1, 1], [0, 0, 5], [2, 0, 3], [0, 0, 0, 5, 0, 0]):
        for opcode, message in ((TEXT, "Hello"), (BINARY, b"Hello")):
            parts = fragments(opcode, b"Hello", sizes)
            kind = "text" if opcode == TEXT else "binary message"
            counted = " ".join(map(str, sizes))
            yield Case(
                section="5.4",
                name=f"a {kind} in frames of {counted} bytes is one message",
                send=(b"".join(parts),),
                expect=Stays((message,)),
            )
            yield Case(
                section="5.4",
                name=f"a {kind} in frames of {counted} bytes is one message when each comes for itself",
                send=parts,
                expect=Stays((message,)),
            )
    yield Case(
        section="5.4",
        name="an empty text in three empty frames is one message",
        send=(text("", fin=False) + more("") + more("", fin=True),),
        expect=Stays(("",)),
    )
    yield Case(
        section="5.4",
        name="an empty binary message in two empty frames is one message",
        send=(binary(b"", fin=False) + more(b"", fin=True),),
        expect=Stays((b"",)),
    )
    yield Case(
        section="5.7",
        name="the fragmented Hello of the examples comes back",
        send=(frame(TEXT, b"Hel", fin=False), frame(CONTINUATION, b"lo")),
        expect=Stays(("Hello",)),
    )


def _long() -> Iterator[Case]:
    for size in (125, 126, 127, 16_384):
        yield Case(
            section="5.4",
            name=f"three fragments of {size} bytes are one message",
            send=(b"".join(fragments(BINARY, noise(3 * size), [size, size, size])),),
            expect=Stays((noise(3 * size),)),
        )
    for size in (65535, 65536, MIB):
        yield Case(
            section="5.4",
            name=f"two fragments of {size} bytes are one message",
            path="/large",
            send=(b"".join(fragments(TEXT, words(2 * size).encode(), [size, size])),),
            expect=Stays((words(2 * size),)),
        )
    yield Case(
        section="5.4",
        name="1000 fragments of one byte are one message",
        send=(b"".join(fragments(BINARY, noise(1000), [1] * 1000)),),
        expect=Stays((noise(1000),)),
    )
    yield Case(
        section="5.4",
        name="fragments may arrive byte by byte",
        send=one_by_one(b"".join(fragments(TEXT, words(150).encode(), [10, 0, 130]))),
        expect=Stays((words(150),)),
    )
    yield Case(
        section="7.4.1",
        name="fragments that are too long only together are over the limit of the application",
        send=fragments(TEXT, words(70_000).encode(), [30_000, 30_000]),
        expect=fails(1009),
    )


def _several() -> Iterator[Case]:
    yield Case(
        section="5.4",
        name="fragmented messages may follow each other and whole ones in one segment",
        send=(START + END + text("whole") + binary(b"a", fin=False) + more(b"b", fin=True) + START + END,),
        expect=Stays(("Hello", "whole", b"ab", "Hello")),
    )
    yield Case(
        section="5.4",
        name="control frames may stand between the fragments",
        send=(START + ping(b"1") + pong(b"2") + more("lo") + ping(b"") + more("", fin=True),),
        expect=Stays(("Hello",), (b"1", b"")),
    )
    yield Case(
        section="5.4",
        name="control frames may stand between fragments that come for themselves",
        send=(START, ping(b"1"), more("lo"), pong(), ping(b"2"), more("", fin=True)),
        expect=Stays(("Hello",), (b"1", b"2")),
    )
    yield Case(
        section="5.4",
        name="40 fragmented messages with a ping in each come back in their order",
        send=(b"".join(START + ping(b"%d" % number) + more(f"lo {number}", fin=True) for number in range(40)),),
        expect=Stays(
            tuple(f"Hello {number}" for number in range(40)), tuple(b"%d" % number for number in range(40))
        ),
    )


def _broken() -> Iterator[Case]:
    whole = {"text": text("Hello"), "binary": binary(b"Hello")}
    for fin in (True, False):
        flag = "with" if fin else "without"
        yield Case(
            section="5.4",
            name=f"a continuation {flag} FIN of nothing is refused",
            send=(more("lo", fin=fin),),
            expect=fails(1002),
        )
        yield Case(
            section="5.4",
            name=f"an empty continuation {flag} FIN of nothing is refused",
            send=(more("", fin=fin),),
            expect=fails(1002),
        )
        yield Case(
            section="5.4",
            name=f"a continuation {flag} FIN of a whole message is refused",
            send=(text("Hello"), more("lo", fin=fin)),
            expect=fails(1002, messages=("Hello",)),
        )
        yield Case(
            section="5.4",
            name=f"a continuation {flag} FIN of a finished message is refused",
            send=(START + END + more("!", fin=fin),),
            expect=fails(1002, messages=("Hello",)),
        )
    for kind, message in whole.items():
        yield Case(
            section="5.4",
            name=f"a whole {kind} message between fragments is refused",
            send=(START + message + END,),
            expect=fails(1002),
        )
        yield Case(
            section="5.4",
            name=f"a whole {kind} message between fragments is refused where each comes for itself",
            send=(START, message, END),
            expect=fails(1002),
        )
    yield Case(
        section="5.4",
        name="a second beginning is refused",
        send=(START + START + END,),
        expect=fails(1002),
    )
    yield Case(
        section="5.4",
        name="a reserved opcode between fragments is refused",
        send=(START + frame(0xB, b"") + END,),
        expect=fails(1002),
    )
    yield Case(
        section="5.4",
        name="RSV1 on a fragmented message is refused where no extension was negotiated",
        send=(frame(TEXT, b"Hel", fin=False, rsv=RSV1) + END,),
        expect=fails(1002),
    )


@table([*_whole(), *_long(), *_several(), *_broken()])
def test_fragments_are_joined_or_refused_as_the_rfc_says(server: Server, case: Case) -> None:
    check(case, server)
