"""RFC 6455 section 5.2: the base framing; 5.1 and 5.3: masking; 5.6: data frames."""

from collections.abc import Iterator

from conformance.servers import Server

from .cases import Case, Stays, check, fails, table
from .frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    binary,
    frame,
    one_by_one,
    ping,
    text,
)
from .payloads import BORDERS, MIB, noise, words

HELLO = text("Hello")
NAMES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}


def _sizes() -> Iterator[Case]:
    for size in BORDERS:
        yield Case(
            section="5.2",
            name=f"a text of {size} bytes comes back",
            send=(text(words(size)),),
            expect=Stays((words(size),)),
        )
        yield Case(
            section="5.6",
            name=f"a binary message of {size} bytes comes back",
            send=(binary(noise(size)),),
            expect=Stays((noise(size),)),
        )
    yield Case(
        section="5.2",
        name="a text of 1 MiB comes back",
        path="/large",
        send=(text(words(MIB)),),
        expect=Stays((words(MIB),)),
    )
    yield Case(
        section="5.2",
        name="a binary message of 1 MiB comes back in its order among small ones",
        path="/large",
        send=(text("before") + binary(noise(MIB)) + text("after"),),
        expect=Stays(("before", noise(MIB), "after")),
    )


def _lengths() -> Iterator[Case]:
    for field, size in ((2, 5), (2, 0), (2, 125), (8, 5), (8, 126), (8, 65535)):
        yield Case(
            section="5.2",
            name=f"a length of {size} in {field} bytes is taken as it is or refused",
            send=(frame(BINARY, noise(size), length_field=field),),
            expect=fails(1002),
            permits=Stays((noise(size),)),
        )
    for length in (1 << 63, (1 << 63) + 5, (1 << 64) - 1):
        yield Case(
            section="5.2",
            name=f"a length of {length:#x} has its first bit set and is refused",
            send=(b"\x82\xff" + length.to_bytes(8, "big") + b"\0\0\0\0",),
            expect=fails(1002, 1009),
        )
    yield Case(
        section="7.4.1",
        name="a length of 2^63-1 is too big to be waited for",
        send=(b"\x82\xff" + ((1 << 63) - 1).to_bytes(8, "big") + b"\0\0\0\0",),
        expect=fails(1002, 1009),
    )
    for size in (65537, 100_000):
        yield Case(
            section="7.4.1",
            name=f"a text of {size} bytes is over the limit of the application",
            send=(text(words(size)),),
            expect=fails(1009),
        )


def _reserved() -> Iterator[Case]:
    for opcode in (*range(3, 8), *range(0xB, 0x10)):
        for payload in (b"", b"Hello"):
            yield Case(
                section="5.2",
                name=f"the reserved opcode {opcode:#x} with {len(payload)} bytes is refused",
                send=(frame(opcode, payload),),
                expect=fails(1002),
            )
    yield Case(
        section="5.2",
        name="a reserved opcode behind a message in the same segment is refused",
        send=(HELLO + frame(3),),
        expect=fails(1002, messages=("Hello",)),
    )
    for bits, name in ((RSV1, "RSV1"), (RSV2, "RSV2"), (RSV3, "RSV3"), (RSV1 | RSV2 | RSV3, "every RSV bit")):
        for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
            yield Case(
                section="5.2",
                name=f"{name} on a {NAMES[opcode]} frame is refused where no extension was negotiated",
                send=(frame(opcode, b"" if opcode == CLOSE else b"Hello", rsv=bits),),
                expect=fails(1002),
            )
        yield Case(
            section="5.2",
            name=f"{name} on a continuation frame is refused where no extension was negotiated",
            send=(frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo", rsv=bits),),
            expect=fails(1002),
        )


def _masks() -> Iterator[Case]:
    for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x01\x02\x03", b"\x80\x00\x00\x00", b"\x00\x00\x00\x01"):
        yield Case(
            section="5.3",
            name=f"the masking key {key.hex()} is taken off",
            send=(frame(TEXT, b"Hello", mask=key) + frame(BINARY, noise(1003), mask=key),),
            expect=Stays(("Hello", noise(1003))),
        )
    yield Case(
        section="5.3",
        name="each frame has a key of its own",
        send=(b"".join(frame(BINARY, noise(20 + number), mask=noise(4 + number)[:4]) for number in range(16)),),
        expect=Stays(tuple(noise(20 + number) for number in range(16))),
    )
    yield Case(
        section="5.3",
        name="payloads of every remainder by four are unmasked",
        send=(b"".join(binary(noise(size)) for size in range(18)),),
        expect=Stays(tuple(noise(size) for size in range(18))),
    )
    for opcode, payload in ((TEXT, b"Hello"), (BINARY, b""), (PING, b"?"), (PONG, b""), (CLOSE, b"\x03\xe8")):
        yield Case(
            section="5.1",
            name=f"a {NAMES[opcode]} frame that is not masked ends the connection",
            send=(frame(opcode, payload, mask=None),),
            expect=fails(1002),
        )
    yield Case(
        section="5.1",
        name="a frame that is not masked ends the connection behind others that are",
        send=(HELLO + ping(b"1") + frame(TEXT, b"Hello", mask=None),),
        expect=fails(1002, messages=("Hello",), pongs=(b"1",)),
    )
    yield Case(
        section="5.7",
        name="the masked Hello of the examples comes back",
        send=(bytes.fromhex("818537fa213d7f9f4d5158"),),
        expect=Stays(("Hello",)),
    )


def _chunks() -> Iterator[Case]:
    for size in (0, 5, 125, 126, 200):
        yield Case(
            section="5.2",
            name=f"a text of {size} bytes comes back when it arrives byte by byte",
            send=one_by_one(text(words(size))),
            expect=Stays((words(size),)),
        )
    long = binary(noise(65536))
    yield Case(
        section="5.2",
        name="a head with a length of 8 bytes may arrive byte by byte",
        send=(*one_by_one(long[:16]), long[16:30_000], long[30_000:]),
        expect=Stays((noise(65536),)),
    )
    for cut in range(1, len(HELLO)):
        yield Case(
            section="5.2",
            name=f"segments may cut two messages at byte {cut} of each",
            send=(HELLO[:cut], HELLO[cut:] + HELLO[:cut], HELLO[cut:]),
            expect=Stays(("Hello", "Hello")),
        )
    yield Case(
        section="5.2",
        name="90 messages in one segment come back in their order",
        send=(b"".join(text(f"message {number}") for number in range(90)),),
        expect=Stays(tuple(f"message {number}" for number in range(90))),
    )
    yield Case(
        section="5.2",
        name="2000 messages in one segment come back in their order",
        path="/large",
        send=(b"".join(binary(noise(number % 300)) for number in range(2000)),),
        expect=Stays(tuple(noise(number % 300) for number in range(2000))),
    )
    yield Case(
        section="5.6",
        name="messages of all sizes and both kinds in one segment keep size kind and order",
        path="/large",
        send=(b"".join(text(words(size)) + binary(noise(size)) for size in BORDERS),),
        expect=Stays(tuple(message for size in BORDERS for message in (words(size), noise(size)))),
    )


@table([*_sizes(), *_lengths(), *_reserved(), *_masks(), *_chunks()])
def test_frames_are_taken_or_refused_as_the_rfc_says(server: Server, case: Case) -> None:
    check(case, server)
