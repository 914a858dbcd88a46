"""What a server sends by itself: bursts, broadcasts, pings, close frames, all in whole frames and in order."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conformance.servers import Server, running

from .app import SHARE, fed
from .cases import ANY_DEFLATE
from .client import RawClient
from .frames import binary, close, frame, ping, pong, text
from .payloads import BORDERS, check_same, noise, words
from .transports import EACH_TRANSPORT, SHARED_FRAMES

OFFERS = {
    "plain": None,
    "deflate": ANY_DEFLATE,
    "deflate-without-takeover": f"{ANY_DEFLATE}; server_no_context_takeover",
    "deflate-with-512-bytes": f"{ANY_DEFLATE}; server_max_window_bits=9",
}

every_offer = pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)


def test_each_transport_is_what_it_says(server: Server) -> None:
    with RawClient.connect(server.port, "/extensions") as client:
        shared = "fastapi_rooms.shared_frames" in str(client.read_messages(1)[0]).split()
        assert shared == (server.kind is SHARED_FRAMES)
        client.close()


@pytest.mark.parametrize(
    ("how", "code"),
    [("closes", 4321), ("closes+the+raw+socket", 4321), ("returns", 1000), ("raises", 1011)],
)
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_what_was_sent_before_the_application_ends_comes_before_the_close_frame(
    server: Server, how: str, code: int, count: int
) -> None:
    """RFC 6455 section 5.5.1; an endpoint that raises may lose what was queued, but not cut a frame."""
    for offer in OFFERS.values():
        with RawClient.connect(server.port, f"/goodbye?messages={count}&how={how}", offer=offer) as client:
            client.read_to_end(answer=True)
            assert client.reader.close is not None
            assert client.reader.close[0] == code
            came = client.reader.messages
            assert came == [f"message {number}" for number in range(len(came) if how == "raises" else count)]


@every_offer
def test_broadcasts_of_one_turn_come_whole_with_answers_to_pings_among_them(
    server: Server, offer: str | None, request: pytest.FixtureRequest
) -> None:
    messages = [message for size in BORDERS for message in (words(size), noise(size))] * 2
    path = f"/share/{request.node.name}"
    with RawClient.connect(server.port, path, offer=offer) as one, RawClient.connect(server.port, path) as other:
        for message in messages:
            one.send((text(message) if isinstance(message, str) else binary(message)) + ping(b"?"))
        one.send(text(SHARE) + ping(b"!"))
        other.send(ping(b"other"))
        count = len(messages) + 2
        check_same(one.read_messages(count)[1:], [*messages, SHARE])
        check_same(other.read_messages(count)[1:], [*messages, SHARE])
        one.close()
        other.close()
        assert one.reader.pongs == [b"?"] * len(messages) + [b"!"]
        assert other.reader.pongs == [b"other"]


def test_one_broadcast_fits_the_window_of_each(server: Server) -> None:
    """RFC 7692 section 7.2.1: frames that are shared are shared by those only who negotiated the same."""
    offers = [None, *OFFERS.values(), *(f"{ANY_DEFLATE}; server_max_window_bits={bits}" for bits in range(9, 16))]
    far = [noise(2**bits + 50) * 3 for bits in range(9, 13)]
    messages: list[str | bytes] = [*far, *map(words, (0, 50, 700, 5000, 65536)), *far]
    with ExitStack() as stack:
        clients: list[RawClient] = []
        for offer in offers:
            client = stack.enter_context(RawClient.connect(server.port, "/share/windows", offer=offer))
            assert client.read_messages(1) == [str(len(clients) + 1)]
            clients.append(client)
        for message in messages:
            clients[0].send(text(message) if isinstance(message, str) else binary(message))
        clients[0].send(text(SHARE))
        for client in clients:
            check_same(client.read_messages(len(messages) + 2)[1:], [*messages, SHARE])
            assert (client.reader.compressed > 0) == (client.deflate is not None)
            client.close()


@pytest.mark.parametrize("offer", [None, ANY_DEFLATE], ids=["plain", "deflate"])
@pytest.mark.parametrize(
    ("last", "code"),
    [(close(1000), 1000), (frame(3), 1002), (frame(1, b"\xff"), 1007)],
    ids=["close-frame", "reserved-opcode", "no-utf-8"],
)
def test_a_client_that_reads_late_gets_whole_frames_and_the_close_frame_last(
    server: Server, offer: str | None, last: bytes, code: int
) -> None:
    """The server's buffers are full when it must answer pings, and close."""
    sent = [noise(60_000 + number) for number in range(40)]
    with RawClient.connect(server.port, "/large", offer=offer, small=True) as client:
        for number, message in enumerate(sent):
            client.send(binary(message) + ping(b"%d" % number))
        client.send(last)
        client.read_to_end(answer=False)
        assert client.reader.close is not None
        assert client.reader.close[0] == code
        check_same(client.reader.messages, sent[: len(client.reader.messages)])
        assert client.reader.pongs == [b"%d" % number for number in range(len(sent))]


@every_offer
def test_an_endpoint_without_a_manager_works(server: Server, offer: str | None) -> None:
    messages = [message for size in BORDERS for message in (words(size), noise(size))] * 2
    with RawClient.connect(server.port, "/bare", offer=offer) as client:
        for message in messages:
            client.send(text(message) if isinstance(message, str) else binary(message))
        check_same(client.read_messages(len(messages)), messages)
        client.close()


@every_offer
def test_the_raw_socket_and_the_connection_may_both_send(server: Server, offer: str | None) -> None:
    """They share one window where one was negotiated, and what is sent later comes later."""
    sent = [words(size) for size in (0, 5, 125, 126, 3000, 3000, 65535, 65536, 700)]
    with RawClient.connect(server.port, "/twice", offer=offer) as client:
        expected = ["hello"]
        for one in sent:
            client.send(text(one))
            expected += [f"connection: {one}", f"socket: {one}"]
            check_same(client.read_messages(len(expected)), expected)
        client.close()


@pytest.fixture(params=EACH_TRANSPORT)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A process for one test, which pings its clients all the time."""
    with running(Server(request.param, directory=tmp_path, ping=0.05)) as server:
        yield server


def test_pings_and_the_close_frame_of_a_shutdown_come_between_whole_frames(own_server: Server) -> None:
    """An endpoint sends as fast as it can, while the server pings, answers pings, and is told to stop."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(RawClient.connect(own_server.port, "/feed", offer=offer))
            for offer in OFFERS.values()
        ]
        for client in clients:
            _answer_pings(client, 3)
        own_server.terminate()
        for client in clients:
            client.reader.pongs_after_close = True
            client.read_to_end(answer=True)
            assert client.reader.close is not None
            assert client.reader.close[0] == 1012
            assert set(client.reader.pongs) == {b"?"}
            came = client.reader.messages
            assert came == [fed(number) for number in range(len(came))]


def _answer_pings(client: RawClient, count: int) -> None:
    """Answer as many pings as that, and send one of our own with each."""
    answered = 0
    while answered < count:
        client.read_some()
        for payload in client.reader.pings[answered:]:
            answered += 1
            client.send(pong(payload) + ping(b"?"))
