"""RFC 6455 section 4.2: the opening handshake, and what is refused; 4.4: versions; 9.1 and 11.3: its fields."""

import pytest

from conformance.servers import Server

from . import frames
from .client import Head, RawClient, check_accepted
from .openings import KEY, OPENINGS, Opening, request
from .reader import StrictReader
from .transports import UVICORN_ALONE, websockets_before

SHORT_WHILE = 0.5
"""Seconds after which a server that is known never to answer a handshake is believed."""


def _answer(client: RawClient, opening: Opening, *, silent: bool) -> bytes | None:
    """Send a handshake; what came behind the head of the answer, or `None`: it was not answered."""
    client.deliver([opening.request])
    if silent:
        client.socket.settimeout(SHORT_WHILE)
    try:
        return client.read_head()
    except TimeoutError:
        if silent:
            return None
        raise


def _missing(opening: Opening, head: Head) -> list[str]:
    return [f"{name}: {head.get(name)}" for name, value in opening.fields if head.get(name) != value]


def _goes_on(client: RawClient, rest: bytes) -> None:
    """An accepted connection works, which is told by an echo and the closing handshake."""
    client.reader = StrictReader(None)
    client.reader.feed(rest)
    client.send(frames.text("hello"))
    assert client.read_messages(1) == ["hello"]
    client.close()
    assert client.reader.close == (1000, "")


@pytest.mark.parametrize("opening", OPENINGS, ids=[one.id for one in OPENINGS])
def test_handshakes_are_accepted_or_refused_as_the_rfc_says(server: Server, opening: Opening) -> None:
    deviation = opening.uvicorn
    if deviation is not None and not websockets_before(deviation.mended_in):
        deviation = None
    with RawClient.dial(server.port) as client:
        rest = _answer(client, opening, silent=deviation is not None and deviation.accepts is None)
        accepted = None if rest is None else client.head.status == 101
        conforms = accepted == opening.accepted and not _missing(opening, client.head)
        if deviation is not None and server.kind is UVICORN_ALONE:
            assert not conforms, f"uvicorn has mended it: take the mark off this handshake ({deviation.why})"
        if not conforms:
            assert deviation is not None, f"{client.head.fields}, not as they should be: {opening.fields}"
            assert accepted == deviation.accepts, f"{accepted}; {deviation}"
        if rest is not None and accepted:
            check_accepted(client.head, KEY)
            _goes_on(client, rest)
        elif rest is not None:
            assert 400 <= client.head.status < 500 or client.head.status == 505


def test_a_handshake_may_arrive_byte_by_byte(server: Server) -> None:
    with RawClient.dial(server.port) as client:
        client.deliver(frames.one_by_one(request()))
        rest = client.read_head()
        check_accepted(client.head, KEY)
        _goes_on(client, rest)


def test_a_refusal_is_a_whole_response_and_ends_the_connection(server: Server) -> None:
    """Section 4.2.2: the connection that was refused is not used for anything else."""
    with RawClient.dial(server.port) as client:
        client.deliver([request({"Sec-WebSocket-Key": None})])
        body = client.read_head()
        while received := client.socket.recv(65536):
            body += received
        assert client.head.status == 400
        assert len(body) == int(client.head.get("content-length") or -1)
