"""Opening handshakes, and what becomes of each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of the RFC's example: its answer is s3pPLMBiTxaQ9kYGzzhZRbK+xOo=."""

STANDARD: Final = {
    "Host": "127.0.0.1",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where uvicorn alone is wrong.

    Attributes:
        why: In words.
        accepts: Whether it accepts; `None`: it does not answer at all.
        mended_in: The version of `websockets` from which uvicorn is right; `None`: not yet.
    """

    why: str
    accepts: bool | None
    mended_in: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One handshake, and what becomes of it.

    Attributes:
        section: Of RFC 6455.
        name: What is claimed, as a sentence.
        request: The bytes.
        accepted: Whether the RFC wants a 101; else a refusal, or the end of the connection.
        fields: Fields that the answer must have; `None`: that it must not have.
        uvicorn: Where uvicorn alone deviates: in accepting or refusing, or in `fields`.
    """

    section: str
    name: str
    request: bytes
    accepted: bool
    fields: tuple[tuple[str, str | None], ...] = ()
    uvicorn: Deviation | None = None

    @property
    def id(self) -> str:
        """As in the reports."""
        return f"{self.section}-{self.name.replace(' ', '-')}"


def request(
    changed: dict[str, str | None] | None = None,
    *,
    line: str = "GET /ws HTTP/1.1",
    more: Iterable[str] = (),
) -> bytes:
    """A handshake that is right, but for what is changed, and with more fields."""
    merged = {**STANDARD, **(changed or {})}
    fields = [f"{name}: {value}" for name, value in merged.items() if value is not None]
    return ("\r\n".join([line, *fields, *more]) + "\r\n\r\n").encode("latin-1")


def _accepted() -> Iterator[Opening]:
    changes: dict[str, dict[str, str | None]] = {
        "as in section 4.1": {},
        "with WebSocket in another case": {"Upgrade": "WebSocket"},
        "with WEBSOCKET in capitals": {"Upgrade": "WEBSOCKET"},
        "with upgrade in lower case": {"Connection": "upgrade"},
        "with a list in Connection": {"Connection": "keep-alive, Upgrade"},
        "with a list in Connection without spaces": {"Connection": "Upgrade,keep-alive"},
        "from a browser": {"Origin": "http://example.com", "User-Agent": "Mozilla/5.0", "Pragma": "no-cache"},
        "with cookies": {"Cookie": "a=b; c=d"},
        "with Latin-1 in a field": {"X-Name": "J\xfcrgen"},
        "with spaces around values": {"Sec-WebSocket-Key": f"  {KEY}  ", "Upgrade": " websocket "},
    }
    for name, changed in changes.items():
        yield Opening(
            section="4.2.1", name=f"a handshake {name} is accepted", request=request(changed), accepted=True
        )
    yield Opening(
        section="4.2.2",
        name="the key of the example has the accept value of the example",
        request=request(),
        accepted=True,
        fields=(("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),),
    )
    lower: dict[str, str | None] = dict.fromkeys(STANDARD)
    yield Opening(
        section="4.2.1",
        name="names of fields may be in lower case",
        request=request(lower, more=[f"{name.lower()}: {value}" for name, value in STANDARD.items()]),
        accepted=True,
    )
    yield Opening(
        section="4.2.1",
        name="a query and escapes may stand in the target",
        request=request(line="GET /ws?a=%20b&c HTTP/1.1"),
        accepted=True,
    )
    for first, second in (("keep-alive", "Upgrade"), ("Upgrade", "keep-alive")):
        yield Opening(
            section="4.2.1",
            name=f"a handshake with {first} and {second} in two Connection fields is accepted",
            request=request({"Connection": None}, more=(f"Connection: {first}", f"Connection: {second}")),
            accepted=True,
            uvicorn=Deviation("it looks at the last Connection field only", accepts=False)
            if second == "keep-alive"
            else None,
        )


def _extended() -> Iterator[Opening]:
    unknown = {
        "x-unknown": "one",
        "x-unknown; with=a; few=parameters": "one with parameters",
        "permessage-bzip2, x-webkit-deflate-frame": "two",
    }
    for offer, name in unknown.items():
        yield Opening(
            section="9.1",
            name=f"of unknown extensions none is taken where {name} is offered",
            request=request({"Sec-WebSocket-Extensions": offer}),
            accepted=True,
            fields=(("sec-websocket-extensions", None),),
        )
    yield Opening(
        section="4.2.2",
        name="no subprotocol is chosen where the endpoint has none",
        request=request({"Sec-WebSocket-Protocol": "chat, superchat"}),
        accepted=True,
        fields=(("sec-websocket-protocol", None),),
    )
    chosen = (("sec-websocket-protocol", "superchat"),)
    line = "GET /subprotocol HTTP/1.1"
    yield Opening(
        section="4.2.2",
        name="the subprotocol that the endpoint chooses is one of those offered",
        request=request({"Sec-WebSocket-Protocol": "chat, superchat"}, line=line),
        accepted=True,
        fields=chosen,
    )
    yield Opening(
        section="11.3.4",
        name="subprotocols may be offered in several fields",
        request=request(line=line, more=("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: superchat")),
        accepted=True,
        fields=chosen,
    )
    for value in ("=", "permessage-deflate; =1", "permessage-deflate;; x", 'a; b="unfinished', "a b", "(a)"):
        yield Opening(
            section="9.1",
            name=f"extensions that are no list ({value}) are refused",
            request=request({"Sec-WebSocket-Extensions": value}),
            accepted=False,
        )


def _refused() -> Iterator[Opening]:
    changes: dict[str, dict[str, str | None]] = {
        "without Host": {"Host": None},
        "without Upgrade": {"Upgrade": None},
        "that upgrades to something else": {"Upgrade": "h2c"},
        "without Connection": {"Connection": None},
        "with Connection: keep-alive": {"Connection": "keep-alive"},
        "with Connection: not-upgrade": {"Connection": "not-upgrade"},
        "without a key": {"Sec-WebSocket-Key": None},
        "with an empty key": {"Sec-WebSocket-Key": ""},
        "with a key of 15 bytes": {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAA"},
        "with a key of 17 bytes": {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAAA="},
        "with a key that is no base64": {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25*ZQ=="},
        "with a key without its padding": {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"},
        "without a version": {"Sec-WebSocket-Version": None},
    }
    for name, changed in changes.items():
        yield Opening(
            section="4.2.1", name=f"a handshake {name} is refused", request=request(changed), accepted=False
        )
    for version in ("0", "8", "12", "14", "013", "13, 8", "thirteen", ""):
        yield Opening(
            section="4.4",
            name=f"version ({version}) is refused and the answer names 13",
            request=request({"Sec-WebSocket-Version": version}),
            accepted=False,
            fields=(("sec-websocket-version", "13"),),
            uvicorn=Deviation("its refusal does not say which version it understands", accepts=False),
        )
    yield Opening(
        section="4.2.1",
        name="two keys are refused",
        request=request(more=(f"Sec-WebSocket-Key: {KEY}",)),
        accepted=False,
    )
    for method in ("POST", "HEAD", "OPTIONS", "get"):
        yield Opening(
            section="4.2.1",
            name=f"the method {method} is refused",
            request=request(line=f"{method} /ws HTTP/1.1"),
            accepted=False,
            uvicorn=Deviation("it never answers", accepts=None, mended_in="17.0"),
        )
    yield Opening(
        section="4.2.1",
        name="HTTP 1.0 is refused",
        request=request(line="GET /ws HTTP/1.0"),
        accepted=False,
        uvicorn=Deviation("it takes a handshake of HTTP/1.0 for one of HTTP/1.1", accepts=True),
    )
    yield Opening(
        section="4.2.2",
        name="a path without an endpoint is refused",
        request=request(line="GET /nowhere HTTP/1.1"),
        accepted=False,
    )
    yield Opening(section="4.2.1", name="what is no HTTP is refused", request=b"\x81\x85\r\n\r\n", accepted=False)
    yield Opening(
        section="4.2.1",
        name="a field of 200000 bytes is refused",
        request=request({"X-Long": "x" * 200_000}),
        accepted=False,
    )


OPENINGS: Final = (*_accepted(), *_extended(), *_refused())
