"""The client of these tests must itself see what is wrong: bytes that no server may send."""

import zlib

import pytest

from .deflate import TAIL
from .negotiation import Deflate, Violation, agreed
from .payloads import noise
from .reader import StrictReader

DEFLATE = Deflate()
SMALL = Deflate(server_max_window_bits=9)
FRESH = Deflate(server_no_context_takeover=True)
HELLO = bytes.fromhex("c107f248cdc9c90700")
AGAIN = bytes.fromhex("c105f200110000")

BROKEN = {
    "5.1-masked": (None, "818537fa213d7f9f4d5158"),
    "5.2-rsv2": (None, "a100"),
    "5.2-rsv3": (DEFLATE, "9100"),
    "5.2-reserved-opcode": (None, "8300"),
    "5.2-length-of-125-in-two-bytes": (None, "827e007d" + "00" * 125),
    "5.2-length-of-65535-in-eight-bytes": (None, "827f000000000000ffff" + "00" * 65535),
    "5.4-continuation-of-nothing": (None, "8000"),
    "5.4-new-message-between-fragments": (None, "01008100"),
    "5.5-fragmented-ping": (None, "0900"),
    "5.5-long-ping": (None, "897e007e" + "00" * 126),
    "5.5.1-frame-after-close": (None, "880203e88a00"),
    "5.5.1-second-close": (None, "880203e8880203e8"),
    "5.5.1-close-of-one-byte": (None, "880103"),
    "7.4-close-with-1005": (None, "880203ed"),
    "7.4-close-with-2999": (None, "88020bb7"),
    "8.1-reason-that-is-no-utf-8": (None, "880303e8ff"),
    "8.1-text-that-is-no-utf-8": (None, "8101ff"),
    "8.1-text-that-is-no-utf-8-in-fragments": (None, "0101c3800128"),
    "7692-rsv1-without-negotiation": (None, HELLO.hex()),
    "7692-rsv1-on-a-continuation": (DEFLATE, "4103f248cdc004c9c90700"),
    "7692-rsv1-on-a-ping": (DEFLATE, "c900"),
    "7692-no-deflate": (DEFLATE, "c102ffff"),
    "7692-window-taken-over": (FRESH, (HELLO + AGAIN).hex()),
}


def _compressed(data: bytes) -> str:
    sender = zlib.compressobj(wbits=-15)
    payload = (sender.compress(data) + sender.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    return (b"\xc2\x7e" + len(payload).to_bytes(2, "big") + payload).hex()


@pytest.mark.parametrize(("deflate", "data"), BROKEN.values(), ids=BROKEN)
def test_what_no_server_may_send_is_seen(deflate: Deflate | None, data: str) -> None:
    reader = StrictReader(deflate)
    with pytest.raises(Violation):
        reader.feed(bytes.fromhex(data))


@pytest.mark.parametrize("distance", [530, 600, 4000])
def test_looking_back_farther_than_the_window_is_seen(distance: int) -> None:
    data = _compressed(noise(distance) * 2)
    with pytest.raises(Violation):
        StrictReader(SMALL).feed(bytes.fromhex(data))
    reader = StrictReader(DEFLATE)
    reader.feed(bytes.fromhex(data))
    assert reader.messages == [noise(distance) * 2]


def test_looking_back_within_the_window_is_fine() -> None:
    reader = StrictReader(SMALL)
    reader.feed(bytes.fromhex(_compressed(noise(500) * 5)))
    assert reader.messages == [noise(500) * 5]


def test_a_stream_that_ends_within_a_frame_is_seen() -> None:
    reader = StrictReader(None)
    reader.feed(b"\x81\x05Hel")
    with pytest.raises(Violation):
        reader.end()


def test_whole_frames_are_read_whatever_way_they_arrive() -> None:
    data = b"\x01\x03Hel" + b"\x89\x01?" + b"\x80\x02lo" + b"\x8a\x01!" + b"\x82\x00" + b"\x88\x02\x03\xe8"
    reader = StrictReader(DEFLATE)
    for byte in HELLO + AGAIN + data:
        reader.feed(bytes((byte,)))
    reader.end()
    assert reader.messages == ["Hello", "Hello", "Hello", b""]
    assert (reader.pings, reader.pongs, reader.close) == ([b"?"], [b"!"], (1000, ""))


ANSWERS = {
    "an extension that was not offered": (None, "permessage-deflate"),
    "another extension": ("permessage-deflate", "x-other"),
    "two answers": ("permessage-deflate, permessage-deflate", "permessage-deflate, permessage-deflate"),
    "an unknown parameter": ("permessage-deflate", "permessage-deflate; x=1"),
    "a window without a size": (
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits",
    ),
    "a client's window that was not offered": (
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits=12",
    ),
    "a larger window of the server": (
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=11",
    ),
    "a larger window of the client": (
        "permessage-deflate; client_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=11",
    ),
    "the server's window left out": ("permessage-deflate; server_max_window_bits=10", "permessage-deflate"),
    "server_no_context_takeover left out": (
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate",
    ),
    "a parameter twice": (
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    ),
    "an offer that is not valid": ("permessage-deflate; unknown", "permessage-deflate"),
}


@pytest.mark.parametrize(("offer", "answer"), ANSWERS.values(), ids=[name.replace(" ", "-") for name in ANSWERS])
def test_an_answer_that_does_not_fit_the_offer_is_seen(offer: str | None, answer: str) -> None:
    with pytest.raises(Violation):
        agreed(offer, answer)


def test_an_answer_that_fits_is_understood() -> None:
    offer = "permessage-deflate; client_max_window_bits; server_max_window_bits=12"
    answer = "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10; server_no_context_takeover"
    assert agreed(offer, answer) == Deflate(
        server_no_context_takeover=True, server_max_window_bits=10, client_max_window_bits=9
    )
    assert agreed(offer, None) is None
