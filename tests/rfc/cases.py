"""A case of the tables: what is sent, what the RFC lets a server do then, and how that is checked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import pytest

from conformance.servers import Server

from . import frames
from .client import RawClient
from .negotiation import Deflate
from .reader import Message
from .transports import UVICORN_ALONE, websockets_before

SENTINEL: Final = "still usable"
ANY_DEFLATE: Final = "permessage-deflate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the client saw.

    Attributes:
        usable: A text sent at last came back, and the closing handshake went well.
        code: The server's close code; 1005: a close frame without one; `None`: no close frame.
        messages: What came back before that text.
        pongs: The payload of each pong.
    """

    usable: bool
    code: int | None
    messages: tuple[Message, ...]
    pongs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Stays:
    """The connection goes on: exactly these messages come back, and these pongs."""

    messages: tuple[Message, ...] = ()
    pongs: tuple[bytes, ...] = ()

    def fits(self, outcome: Outcome) -> bool:
        """Whether it went so."""
        return outcome.usable and (outcome.messages, outcome.pongs) == (self.messages, self.pongs)


@dataclass(frozen=True, slots=True)
class Ends:
    """The server ends the connection with one of these codes; `None`: without a close frame.

    The echoes of messages that were complete before may come or not; the pongs must.
    """

    codes: frozenset[int | None]
    messages: tuple[Message, ...] = ()
    pongs: tuple[bytes, ...] = ()

    def fits(self, outcome: Outcome) -> bool:
        """Whether it went so."""
        possible = self.messages[: len(outcome.messages)]
        return (
            not outcome.usable
            and outcome.code in self.codes
            and (outcome.messages, outcome.pongs) == (possible, self.pongs)
        )


Expected = Stays | Ends


def fails(*codes: int, messages: tuple[Message, ...] = (), pongs: tuple[bytes, ...] = ()) -> Ends:
    """The server fails the connection; the close frame is only what it SHOULD send first (section 7.1.7)."""
    return Ends(frozenset({*codes, None}), messages, pongs)


def closes(*codes: int, messages: tuple[Message, ...] = (), pongs: tuple[bytes, ...] = ()) -> Ends:
    """The server sends a close frame, as it MUST where it got one (section 5.5.1)."""
    return Ends(frozenset(codes), messages, pongs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Where uvicorn alone is wrong by the RFC: what it does instead.

    Attributes:
        why: In words.
        does: What the client sees.
        mended_in: The version of `websockets` from which uvicorn is right; `None`: not yet.
    """

    why: str
    does: Expected
    mended_in: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row.

    Attributes:
        section: Of RFC 6455, or of RFC 7692 in the table of deflate.
        name: What is claimed, as a sentence.
        send: The chunks, each sent for itself; or what makes them of the parameters that were negotiated.
        expect: What the RFC demands.
        permits: What it lets the server do as well.
        path: The endpoint; `/ws` is the example's.
        offer: The extensions offered, of which the server must take one.
        takeover: The client takes its window over from message to message; skipped where it may not.
        uvicorn: Where uvicorn alone deviates.
    """

    section: str
    name: str
    send: tuple[bytes, ...] | Callable[[Deflate], tuple[bytes, ...]]
    expect: Expected
    permits: Expected | None = None
    path: str = "/ws"
    offer: str | None = None
    takeover: bool = False
    uvicorn: Deviation | None = None

    def allows(self, outcome: Outcome) -> bool:
        """Whether the RFC does."""
        return self.expect.fits(outcome) or (self.permits is not None and self.permits.fits(outcome))


def table(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """Run a test with each case."""
    rows = list(cases)
    names = [f"{case.section}-{case.name.replace(' ', '-')}" for case in rows]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    return pytest.mark.parametrize("case", rows, ids=names)


def check(case: Case, server: Server) -> None:
    """Play a case, and judge it.

    On uvicorn alone a case with a known deviation must show just that: one that uvicorn has mended fails, so
    that the mark is taken off. On shared frames the deviation is tolerated, and what the RFC demands is better.
    """
    deviation = _deviation(case)
    outcome = _play(case, server.port)
    if deviation is not None and server.kind is UVICORN_ALONE:
        assert not case.allows(outcome), f"uvicorn has mended it: take the mark off ({deviation.why})"
        assert deviation.does.fits(outcome), f"{_wanted(case)}, or {deviation}; this came: {outcome}"
    else:
        tolerated = deviation is not None and deviation.does.fits(outcome)
        assert tolerated or case.allows(outcome), f"{_wanted(case)}, and this came: {outcome}"


def _deviation(case: Case) -> Deviation | None:
    """Where uvicorn deviates with the version of `websockets` that is installed."""
    return case.uvicorn if case.uvicorn is not None and websockets_before(case.uvicorn.mended_in) else None


def _wanted(case: Case) -> str:
    alternative = "" if case.permits is None else f" or {case.permits}"
    return f"section {case.section} wants {case.expect}{alternative}"


def _play(case: Case, port: int) -> Outcome:
    with RawClient.connect(port, case.path, offer=case.offer) as client:
        chunks = _chunks(case, client)
        client.deliver(chunks)
        usable = False
        if any(isinstance(expected, Stays) for expected in _possible(case)):
            client.deliver([frames.text(SENTINEL)])
            usable = client.read_until_message(SENTINEL)
        if usable:
            client.close()
        else:
            client.read_to_end(answer=not any(chunk[:1] == b"\x88" for chunk in chunks))
        messages = client.reader.messages[:-1] if usable else client.reader.messages
        code = client.reader.close[0] if client.reader.close else None
        assert not usable or code == 1000, f"the closing handshake ended with {client.reader.close}"
        return Outcome(usable=usable, code=code, messages=tuple(messages), pongs=tuple(client.reader.pongs))


def _chunks(case: Case, client: RawClient) -> tuple[bytes, ...]:
    deflate = client.deflate
    assert (case.offer is None) == (deflate is None), "the offer was declined"
    if case.takeover and deflate is not None and deflate.client_no_context_takeover:
        pytest.skip("this transport asks its clients for a fresh window for each message")
    if isinstance(case.send, tuple):
        return case.send
    assert deflate is not None
    return case.send(deflate)


def _possible(case: Case) -> tuple[Expected, ...]:
    deviation = _deviation(case)
    does = None if deviation is None else deviation.does
    return tuple(expected for expected in (case.expect, case.permits, does) if expected is not None)
