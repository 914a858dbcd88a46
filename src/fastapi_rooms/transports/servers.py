"""What each ASGI server lets us do beyond the ASGI specification: step its `send`, and abort its transport.

Everything here is found by looking, and is optional: of a server, or a middleware, that is not known, nothing
is assumed, and the standard way serves it.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from starlette.types import Send

_MAX_LAYERS: Final = 16

_STEPPABLE: Final = ("uvicorn.", "hypercorn.", "daphne.", "fastapi_rooms.transports.", "fastapi_rooms.testing.")
"""Modules whose `send` knows nothing of the task it runs in; the conformance suite decides."""

_TRANSPARENT: Final = frozenset(
    {
        "starlette._exception_handler",
        "starlette.middleware.cors",
        "starlette.middleware.errors",
        "starlette.middleware.sessions",
    }
)
"""Modules whose wrappers of `send` only pass on what a WebSocket sends, or a response that has begun."""


def unwrap(send: Send) -> Send:
    """The server's own `send`, below wrappers that are known to pass messages on unchanged.

    That is: all messages of a WebSocket, and of a response its body.

    A wrapper that is not known, such as a middleware's, is where it ends: it may count, or change, what it
    passes on.
    """
    for _ in range(_MAX_LAYERS):
        if getattr(getattr(send, "func", send), "__module__", None) not in _TRANSPARENT:
            break
        inner = _inside(send)
        if inner is None:
            break
        send = inner
    return send


def is_steppable(send: Send) -> bool:
    """Whether `send`, unwrapped, may be stepped by hand (see `stepping`)."""
    owner = _owner(send)
    if owner is None:
        return False
    beneath = _beneath(send)
    return type(owner).__module__.startswith(_STEPPABLE) and (beneath is None or is_steppable(beneath))


def is_finished_by_threads(send: Send) -> bool:
    """Whether the server's own threads finish each send, below whatever wrapper: granian's do."""
    return type(_owner(_innermost(send))).__module__.startswith("granian")


def find_transport(send: Send) -> asyncio.WriteTransport | None:
    """The asyncio transport under `send`, where the server is one that has it in reach.

    It looks below any wrapper that closes over a `send`: aborting needs nobody's consent.
    """
    owner = _owner(_innermost(send))
    for path in _TRANSPORT_PATHS:
        found = owner
        for step in path:
            found = step(found) if found is not None else None
        if _looks_like_a_transport(found):
            return cast("asyncio.WriteTransport", found)
    return None


def _innermost(send: Send) -> Send:
    for _ in range(_MAX_LAYERS):
        inner: Any = _inside(send) or _beneath(send)
        if inner is None:
            break
        send = inner
    return send


def _beneath(send: Send) -> Any:
    """What is called by a stream of ours that poses as a WebSocket, or by Starlette's compression; else `None`."""
    owner = _owner(send)
    name = _HOLDS.get(type(owner).__module__)
    return None if name is None else getattr(owner, name, None)


def _inside(send: Any) -> Any:
    """The `send` that a wrapper calls; `None` where there is none."""
    keywords: dict[str, Any] = getattr(send, "keywords", None) or {}  # a functools.partial's
    return keywords.get("send") or _closed_over(send, "send")


def _owner(send: Send) -> Any:
    owner = getattr(send, "__self__", None)
    if owner is None:  # daphne makes it a functools.partial
        owner = getattr(getattr(send, "func", None), "__self__", None)
    return owner


def _closed_over(function: Any, name: str) -> Any:
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    return next((cell.cell_contents for free, cell in zip(names, cells, strict=True) if free == name), None)


_HOLDS: Final = {"fastapi_rooms.transports.sse": "beneath", "starlette.middleware.gzip": "send"}
"""Modules whose objects are wrappers of a `send`, and where they keep it."""


def _attribute(name: str) -> Callable[[Any], Any]:
    return lambda found: getattr(found, name, None)


def _bound_to(found: Any) -> Any:
    return getattr(found, "__self__", None)


def _alone(found: Any) -> Any:
    return None if hasattr(found, "streams") else found  # HTTP/2 has others on the same transport


_TRANSPORT_PATHS: Final[tuple[tuple[Callable[[Any], Any], ...], ...]] = (
    (_attribute("transport"),),  # uvicorn: the protocol that `send` is a method of
    # hypercorn: a stream's send is a method of H11Protocol, whose send is a method of TCPServer
    (
        _attribute("send"),
        _bound_to,
        _alone,
        _attribute("send"),
        _bound_to,
        _attribute("writer"),
        _attribute("transport"),
    ),
)


def _looks_like_a_transport(found: Any) -> bool:
    # uvloop's transports do not derive from asyncio's
    return all(callable(getattr(found, name, None)) for name in ("abort", "get_write_buffer_size", "is_closing"))
