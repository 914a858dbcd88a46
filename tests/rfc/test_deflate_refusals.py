"""RFC 7692 section 6: what must not be compressed; 7.2.2: what cannot be inflated; 8: what inflates too far."""

from collections.abc import Iterator

from conformance.servers import Server

from .cases import ANY_DEFLATE, Case, Deviation, Stays, check, fails, table
from .deflate import Deflater
from .frames import CLOSE, CONTINUATION, PING, PONG, RSV1, RSV2, RSV3, TEXT, close, frame, more, ping, text
from .negotiation import Deflate
from .payloads import MIB
from .test_deflate import AGAIN, HELLO, compressed

INVALID = {
    "a block of the reserved kind": b"\x06\x00",
    "text that is not compressed": b"this is no DEFLATE at all",
    "a stored block whose lengths disagree": bytes.fromhex("000500ffff48656c6c6f00"),
    "a reference to before the first byte": AGAIN,
    "bytes that are nothing": b"\xff" * 50,
}
UNREADABLE = (1002, 1003, 1007, 1011)
"""RFC 7692 names no code; RFC 6455 has several that say so."""


def _refused(section: str, name: str, *send: bytes, codes: tuple[int, ...] = (1002,), echoes: int = 0) -> Case:
    return Case(
        section=section,
        name=name,
        send=send,
        expect=fails(*codes, messages=("Hello",) * echoes),
        offer=ANY_DEFLATE,
    )


def _reserved() -> Iterator[Case]:
    for opcode, name in ((PING, "ping"), (PONG, "pong"), (CLOSE, "close frame")):
        payload = b"\x03\xe8" if opcode == CLOSE else b"Hello"
        yield _refused("6.1", f"RSV1 on a {name} is refused", frame(opcode, payload, rsv=RSV1))
        yield _refused(
            "6.1",
            f"RSV1 on a {name} between the fragments of a compressed message is refused",
            compressed(HELLO[:3], fin=False) + frame(opcode, payload, rsv=RSV1) + more(HELLO[3:], fin=True),
        )
    yield Case(
        section="6.1",
        name="RSV1 on a continuation of a compressed message is refused",
        send=(compressed(HELLO[:3], fin=False) + frame(CONTINUATION, HELLO[3:], rsv=RSV1),),
        expect=fails(1002),
        offer=ANY_DEFLATE,
        uvicorn=Deviation(why="it does not look at the bit there", does=Stays(("Hello",)), mended_in="17.0"),
    )
    yield _refused(
        "6.1",
        "RSV1 on a continuation of a message that is not compressed is refused",
        text("Hel", fin=False) + frame(CONTINUATION, HELLO, rsv=RSV1),
    )
    yield _refused("6.1", "RSV1 on a continuation of nothing is refused", frame(CONTINUATION, HELLO, rsv=RSV1))
    for bit, name in ((RSV2, "RSV2"), (RSV3, "RSV3")):
        yield _refused("6", f"{name} is refused", frame(TEXT, b"Hello", rsv=bit))
        yield _refused("6", f"{name} beside RSV1 is refused", frame(TEXT, HELLO, rsv=bit | RSV1))


def _unreadable() -> Iterator[Case]:
    for name, payload in INVALID.items():
        yield _refused("7.2.2", f"{name} fails the connection", compressed(payload), codes=UNREADABLE)
        yield _refused(
            "7.2.2",
            f"{name} fails the connection as the second fragment",
            compressed(b"", fin=False) + more(payload, fin=True),
            codes=UNREADABLE,
        )
    yield _refused(
        "7.2.2",
        "invalid data behind good messages fails the connection",
        compressed(HELLO),
        compressed(b"\xff" * 20),
        codes=UNREADABLE,
        echoes=1,
    )
    yield _refused(
        "7.2.2",
        "invalid data behind a good message in the same segment fails the connection",
        compressed(HELLO) + compressed(b"\xff" * 20) + ping() + close(),
        codes=UNREADABLE,
        echoes=1,
    )
    no_text = Deflater(Deflate()).payload(b"good \xff")
    yield _refused(
        "6.2", "a compressed text that is no UTF-8 fails the connection", compressed(no_text), codes=(1007,)
    )


def _too_much() -> Iterator[Case]:
    for size, limit in ((65_537, "application"), (40 * MIB, "server")):
        bomb = Deflater(Deflate(), level=9).payload(bytes(size))
        name = f"a message that inflates to {size} bytes is over the limit of the {limit}"
        yield _refused("8", name, compressed(bomb), codes=(1009,))
        half = len(bomb) // 2
        yield _refused(
            "8",
            f"{name} in fragments too",
            compressed(bomb[:half], fin=False) + more(bomb[half:], fin=True),
            codes=(1009,),
        )


@table([*_reserved(), *_unreadable(), *_too_much()])
def test_what_is_compressed_wrongly_fails_the_connection(server: Server, case: Case) -> None:
    check(case, server)
