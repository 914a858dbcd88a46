"""RFC 7692: permessage-deflate; section 6: compressed messages, and the examples of 7.2.3."""

import zlib
from collections.abc import Iterator

from conformance.servers import Server

from .cases import ANY_DEFLATE, Case, Deviation, Stays, check, table
from .deflate import TAIL, Deflater
from .frames import BINARY, RSV1, TEXT, binary, frame, more, one_by_one, ping, text
from .negotiation import Deflate
from .payloads import BORDERS, MIB, noise, words
from .reader import Message

HELLO = bytes.fromhex("f248cdc9c90700")
AGAIN = bytes.fromhex("f200110000")
FINAL = bytes.fromhex("f348cdc9c9070000")
EXAMPLES = {
    "7.2.3.1": ("one block", HELLO),
    "7.2.3.3": ("a block without compression", bytes.fromhex("000500faff48656c6c6f00")),
    "7.2.3.4": ("a final block", FINAL),
    "7.2.3.5": ("two blocks", bytes.fromhex("f248050000 00ffff cac9c90700")),
}
EVERY = tuple(message for size in BORDERS for message in (words(size), noise(size)))
SEVERAL = tuple(words(400 + number) for number in range(90))


def compressed(payload: bytes, *, opcode: int = TEXT, fin: bool = True) -> bytes:
    """The first, or the only, frame of a message whose payload is compressed already."""
    return frame(opcode, payload, fin=fin, rsv=RSV1)


def _case(section: str, name: str, *send: bytes, expect: Stays, path: str = "/ws", takeover: bool = False) -> Case:
    return Case(
        section=section, name=name, send=send, expect=expect, path=path, offer=ANY_DEFLATE, takeover=takeover
    )


def _sent(section: str, name: str, *messages: Message, path: str = "/ws", level: int = 6) -> Case:
    """Messages that are compressed as negotiated, each in one frame, in one segment."""

    def send(deflate: Deflate) -> tuple[bytes, ...]:
        return (b"".join(map(Deflater(deflate, level=level).frame, messages)),)

    return Case(section=section, name=name, send=send, expect=Stays(messages), path=path, offer=ANY_DEFLATE)


def _examples() -> Iterator[Case]:
    for section, (name, payload) in EXAMPLES.items():
        yield _case(section, f"Hello in {name} comes back", compressed(payload), expect=Stays(("Hello",)))
    yield _case(
        "7.2.3.1",
        "the fragmented Hello comes back",
        compressed(HELLO[:3], fin=False) + more(HELLO[3:], fin=True),
        expect=Stays(("Hello",)),
    )
    yield _case(
        "7.2.3.2",
        "the second Hello is found in the window of the first",
        compressed(HELLO) + compressed(AGAIN) + compressed(AGAIN),
        expect=Stays(("Hello", "Hello", "Hello")),
        takeover=True,
    )
    yield _case("7.2.3.6", "an empty fragment is an empty message", compressed(b"\0"), expect=Stays(("",)))
    yield _case(
        "7.2.3.6",
        "an empty message may be a block of any kind",
        compressed(b"\x02\0", opcode=BINARY) + compressed(b"\0", opcode=BINARY),
        expect=Stays((b"", b"")),
    )
    yield Case(
        section="7.2.3.4",
        name="messages go on behind one with a final block",
        send=(compressed(FINAL) + compressed(HELLO) + compressed(FINAL),),
        expect=Stays(("Hello", "Hello", "Hello")),
        offer=ANY_DEFLATE,
        uvicorn=Deviation(
            why="after a final block its inflater is at its end, and finds every message empty",
            does=Stays(("Hello", "", "")),
        ),
    )


def _sizes() -> Iterator[Case]:
    for size in BORDERS:
        yield _sent("6.1", f"a compressed text of {size} bytes comes back", words(size))
        yield _sent("6.1", f"a compressed binary message of {size} bytes comes back", noise(size))
    yield _sent("6.1", "compressed messages of 1 MiB come back", words(MIB), noise(MIB), words(MIB), path="/large")
    yield _sent("6.1", "compressed messages of all sizes come back in their order", *EVERY, path="/large")
    yield _sent("7.2.2", "90 compressed messages in one segment come back", *SEVERAL)
    for level in range(10):
        yield _sent("7.2.1", f"a message compressed with level {level} comes back", words(5000), level=level)
    yield _sent("8", "a message that inflates to just the limit comes back", bytes(65_536), level=9)


def _fragments() -> Iterator[Case]:
    payload = Deflater(Deflate()).payload(words(3000))
    for cut in (0, 1, 500, len(payload) - 1, len(payload)):
        yield _case(
            "6.1",
            f"a compressed message may be cut at byte {cut}",
            compressed(payload[:cut], fin=False) + more(payload[cut:], fin=True),
            expect=Stays((words(3000),)),
        )
    first, *others = (payload[start : start + 7] for start in range(0, len(payload), 7))
    yield _case(
        "6.1",
        "a compressed message in hundreds of fragments with a ping in each gap comes back",
        compressed(first, fin=False) + b"".join(ping() + more(part) for part in others) + more("", fin=True),
        expect=Stays((words(3000),), (b"",) * len(others)),
    )
    yield _case(
        "6.1",
        "a compressed message may arrive byte by byte",
        *one_by_one(compressed(HELLO)),
        expect=Stays(("Hello",)),
    )
    sender = zlib.compressobj(wbits=-15)
    start = sender.compress(b"Hel") + sender.flush(zlib.Z_SYNC_FLUSH)
    rest = sender.compress(b"lo") + sender.flush(zlib.Z_SYNC_FLUSH)
    yield _case(
        "6.1",
        "fragments that were flushed each for itself are one message",
        compressed(start, fin=False) + more(rest.removesuffix(TAIL), fin=True),
        expect=Stays(("Hello",)),
    )


def _mixed() -> Iterator[Case]:
    yield _case(
        "6",
        "a message may come as it is though compression was negotiated",
        text("Hello") + binary(b"Hello"),
        expect=Stays(("Hello", b"Hello")),
    )
    yield _case(
        "6",
        "fragments may come as they are though compression was negotiated",
        text("Hel", fin=False) + more("lo", fin=True),
        expect=Stays(("Hello",)),
    )
    yield _case(
        "6",
        "messages may change between compressed and not",
        compressed(HELLO) + text("one") + compressed(HELLO) + binary(b"two") + compressed(HELLO),
        expect=Stays(("Hello", "one", "Hello", b"two", "Hello")),
    )
    yield _case(
        "6",
        "fragmented messages may change between compressed and not",
        compressed(HELLO[:2], fin=False)
        + more(HELLO[2:], fin=True)
        + text("on", fin=False)
        + more("e", fin=True)
        + compressed(HELLO, fin=False)
        + more(b"", fin=True),
        expect=Stays(("Hello", "one", "Hello")),
    )
    yield _case(
        "7.2.2",
        "messages that are not compressed do not enter the window",
        compressed(HELLO) + text("one") + compressed(AGAIN) + binary(b"two") + compressed(AGAIN),
        expect=Stays(("Hello", "one", "Hello", b"two", "Hello")),
        takeover=True,
    )
    yield _case(
        "7.1.1.2",
        "a client may use a fresh window for each message though nothing asks for it",
        b"".join(map(Deflater(Deflate(client_no_context_takeover=True)).frame, SEVERAL)),
        expect=Stays(SEVERAL),
    )


@table([*_examples(), *_sizes(), *_fragments(), *_mixed()])
def test_compressed_messages_come_back(server: Server, case: Case) -> None:
    check(case, server)
