"""RFC 7692 section 7.1: the four parameters of permessage-deflate; section 5: offers and answers."""

import pytest

from conformance.servers import Server

from .client import RawClient
from .deflate import Deflater
from .frames import text
from .negotiation import EXTENSION, Violation
from .payloads import BORDERS, check_same, noise, words
from .reader import Message
from .transports import UVICORN_ALONE, websockets_before

ALL_FOUR = (
    "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=10"
)
PARAMETERS = (
    "",
    "client_max_window_bits",
    *(f"server_max_window_bits={bits}" for bits in range(9, 16)),
    *(f"client_max_window_bits={bits}" for bits in range(8, 16)),
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_no_context_takeover; client_no_context_takeover",
    "client_max_window_bits; server_max_window_bits=10",
    "server_no_context_takeover; server_max_window_bits=9; client_max_window_bits",
    ALL_FOUR,
    'server_max_window_bits="10"',
)
INVALID = (
    "unknown",
    "unknown=10",
    "server_max_window_bits",
    *(
        f"server_max_window_bits={value}"
        for value in ("7", "16", "0", "010", "08", "1e1", "abc", "-9", "+9", "9.0")
    ),
    *(f"client_max_window_bits={value}" for value in ("7", "16", "0", "010", "abc", "-9")),
    "server_no_context_takeover=1",
    "server_no_context_takeover=true",
    "client_no_context_takeover=0",
    "server_max_window_bits=10; server_max_window_bits=10",
    "client_max_window_bits; client_max_window_bits=10",
    "server_no_context_takeover; server_no_context_takeover",
    "client_no_context_takeover; client_no_context_takeover",
    "Server_No_Context_Takeover2",
)
FALLBACKS = (
    "permessage-deflate; unknown, permessage-deflate",
    "permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=10",
    "x-unknown; a=b, permessage-deflate; client_max_window_bits",
    "permessage-deflate, permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15",
    "permessage-bzip2, permessage-deflate, x-webkit-deflate-frame",
    "permessage-deflate;client_max_window_bits ;  server_max_window_bits = 12",
)


def repeating(distance: int, *, rounds: int = 3) -> bytes:
    """What can only be compressed by looking back as far as `distance`."""
    return noise(distance) * rounds


def _conversation(bits: int) -> list[Message]:
    """Messages that tempt a compressor to look back farther than such a window, within one and across."""
    far = repeating(2**bits + 50)
    sized = [message for size in BORDERS for message in (words(size), noise(size))]
    return ["", words(5000), words(5000), far, far, repeating(2**bits - 200), b"", words(700), *sized]


def _offer(parameters: str) -> str:
    return f"{EXTENSION}; {parameters}" if parameters else EXTENSION


def _converse(client: RawClient) -> None:
    """Echoes come back through both windows as they were negotiated: the reader looks after the server's."""
    assert client.deflate is not None
    sender = Deflater(client.deflate)
    messages = _conversation(client.deflate.server_max_window_bits)
    for message in messages:
        client.send(sender.frame(message))
        client.send(text("between"))
    expected = [echo for message in messages for echo in (message, "between")]
    check_same(client.read_messages(len(expected)), expected)
    # without this, nothing might have been tried; zlib cannot compress for a window of 256 bytes
    assert client.reader.compressed >= 4 or client.deflate.server_max_window_bits == 8
    client.close()


@pytest.mark.parametrize("parameters", PARAMETERS, ids=[f"7.1-{value or 'none'}" for value in PARAMETERS])
def test_an_offer_is_answered_within_its_terms_and_both_sides_keep_to_the_answer(
    server: Server, parameters: str
) -> None:
    """Section 7.1, and 7.2 for the windows."""
    with RawClient.connect(server.port, "/large", offer=_offer(parameters)) as client:
        _converse(client)


@pytest.mark.parametrize("path", ["/large", "/bare"])
def test_a_window_of_256_bytes_is_declined_or_kept_to(server: Server, path: str) -> None:
    """Section 7.1.2.1: zlib has no such window, so the offer may be declined, but not be taken for more."""
    offer = _offer("server_max_window_bits=8")
    if server.kind is UVICORN_ALONE and websockets_before("17.2"):
        with pytest.raises(Violation, match="answered with 500"):  # its compressor cannot be made
            RawClient.connect(server.port, path, offer=offer)
        return
    with RawClient.connect(server.port, path, offer=offer) as client:
        if client.deflate is not None:
            _converse(client)
        else:
            client.send(text(words(5000)))
            assert client.read_messages(1) == [words(5000)]
            client.close()


@pytest.mark.parametrize("parameters", INVALID, ids=[f"7.1-{value}" for value in INVALID])
def test_an_offer_that_is_not_valid_is_declined(server: Server, parameters: str) -> None:
    """Section 7.1: the connection goes on without compression."""
    with RawClient.connect(server.port, "/ws", offer=_offer(parameters)) as client:
        assert client.deflate is None
        client.send(text(words(5000)))
        assert client.read_messages(1) == [words(5000)]
        client.close()


@pytest.mark.parametrize("offer", FALLBACKS, ids=[f"5-{value}" for value in FALLBACKS])
def test_of_several_offers_a_valid_one_is_taken(server: Server, offer: str) -> None:
    """Section 5.1, and 9.1 of RFC 6455: at most one answer, and one that fits an offer."""
    with RawClient.connect(server.port, "/large", offer=offer) as client:
        _converse(client)


def test_without_an_offer_nothing_is_negotiated(server: Server) -> None:
    """RFC 6455 section 9.1: a server answers only what was offered."""
    with RawClient.connect(server.port, "/ws") as client:
        assert client.head.get("sec-websocket-extensions") is None
        client.send(text(words(5000)))
        assert client.read_messages(1) == [words(5000)]
        client.close()
