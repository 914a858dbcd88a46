"""RFC 6455 section 8.1: text is UTF-8 (RFC 3629), and what is not fails the connection."""

from collections.abc import Iterator

from conformance.servers import Server

from .cases import Case, Stays, check, fails, table
from .frames import CLOSE, TEXT, binary, fragments, frame, more, one_by_one, text

VALID = {
    "U+0000": "\0",
    "U+007F": "\x7f",
    "U+0080": "\x80",
    "U+07FF": "\u07ff",
    "U+0800": "\u0800",
    "U+D7FF": "\ud7ff",
    "U+E000": "\ue000",
    "U+FEFF as the first character": "\ufeffx",
    "U+FFFE": "\ufffe",
    "U+FFFF": "\uffff",
    "U+10000": "\U00010000",
    "U+10FFFF": "\U0010ffff",
    "characters of one to four bytes": "aß水𝄞" * 30,
    "a Greek word": "κόσμε",
    "combining characters and joiners": "é👩‍👩‍👧‍👦",
    "line ends of all kinds": "a\r\nb\n\u2028\x85",
}
INVALID = {
    "a continuation byte alone": b"\x80",
    "two continuation bytes": b"a\xbf\xbfb",
    "a start of two bytes alone": b"\xc3",
    "a start of two bytes before ASCII": b"\xc3(",
    "a start of three bytes cut short": b"\xe6\xb0",
    "a start of four bytes cut short": b"\xf0\x9d\x84",
    "a start of three bytes before ASCII": b"\xe6\xb0(",
    "a start of four bytes before ASCII": b"\xf0\x9d(\x9e",
    "a slash in two bytes": b"\xc0\xaf",
    "a slash in three bytes": b"\xe0\x80\xaf",
    "a slash in four bytes": b"\xf0\x80\x80\xaf",
    "U+007F in two bytes": b"\xc1\xbf",
    "U+07FF in three bytes": b"\xe0\x9f\xbf",
    "U+FFFF in four bytes": b"\xf0\x8f\xbf\xbf",
    "U+0000 in two bytes": b"\xc0\x80",
    "the surrogate D800": b"\xed\xa0\x80",
    "the surrogate DFFF": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xb5\xed\xb4\x9e",
    "U+110000": b"\xf4\x90\x80\x80",
    "a start of five bytes": b"\xf8\x88\x80\x80\x80",
    "a start of six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "FE": b"\xfe",
    "FF": b"\xff",
    "a good text and then FF": b"good\xff",
}
CLEF = "𝄞"


def _valid() -> Iterator[Case]:
    for name, message in VALID.items():
        yield Case(section="8.1", name=f"{name} comes back", send=(text(message),), expect=Stays((message,)))
    for cut in range(1, 4):
        parts = fragments(TEXT, CLEF.encode(), [cut])
        yield Case(
            section="5.6",
            name=f"fragments may cut a character of four bytes at byte {cut}",
            send=(b"".join(parts),),
            expect=Stays((CLEF,)),
        )
        yield Case(
            section="5.6",
            name=f"fragments that come for themselves may cut a character of four bytes at byte {cut}",
            send=parts,
            expect=Stays((CLEF,)),
        )
    mixed = "aß水𝄞" * 5
    yield Case(
        section="5.6",
        name="every byte may be a fragment of its own",
        send=(b"".join(fragments(TEXT, mixed.encode(), [1] * len(mixed.encode()))),),
        expect=Stays((mixed,)),
    )
    yield Case(
        section="5.6",
        name="segments may cut characters anywhere",
        send=one_by_one(text(mixed)),
        expect=Stays((mixed,)),
    )
    yield Case(
        section="5.6",
        name="binary messages may hold what is no UTF-8",
        send=(b"".join(map(binary, INVALID.values())),),
        expect=Stays(tuple(INVALID.values())),
    )


def _invalid() -> Iterator[Case]:
    for name, data in INVALID.items():
        yield Case(
            section="8.1",
            name=f"{name} fails the connection",
            send=(frame(TEXT, data),),
            expect=fails(1007),
        )
        yield Case(
            section="8.1",
            name=f"{name} fails the connection when the bytes come as fragments",
            send=(b"".join(fragments(TEXT, data, [1] * len(data))) if len(data) > 1 else _halved(data),),
            expect=fails(1007),
        )
    yield Case(
        section="8.1",
        name="a fragment that is no UTF-8 fails the connection though others are",
        send=(text("good", fin=False), more(b"\xff"), more("good", fin=True)),
        expect=fails(1007),
    )
    yield Case(
        section="8.1",
        name="a text that is no UTF-8 fails the connection behind others in the same segment",
        send=(text("one") + text("two") + frame(TEXT, b"\xff"),),
        expect=fails(1007, messages=("one", "two")),
    )
    yield Case(
        section="8.1",
        name="nothing behind a text that is no UTF-8 is taken",
        send=(text("one") + frame(TEXT, b"\xff") + text("two"),),
        expect=fails(1007, messages=("one",)),
    )
    yield Case(
        section="8.1",
        name="a close frame behind a text that is no UTF-8 changes nothing",
        send=(frame(TEXT, b"\xff") + frame(CLOSE, b"\x03\xe8"),),
        expect=fails(1007),
    )


def _halved(data: bytes) -> bytes:
    return frame(TEXT, b"", fin=False) + more(data, fin=True)


@table([*_valid(), *_invalid()])
def test_text_is_taken_or_refused_as_the_rfc_says(server: Server, case: Case) -> None:
    check(case, server)
