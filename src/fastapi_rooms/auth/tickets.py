"""Tickets: a token for one WebSocket, safe to stand in its URL."""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import BaseModel

from fastapi_rooms.auth.origin import OriginPolicy
from fastapi_rooms.auth.refusal import Reject
from fastapi_rooms.auth.sources import Query, TokenSource
from fastapi_rooms.auth.ticket_store import MemoryTicketStore, TicketStore
from fastapi_rooms.auth.token_auth import TokenAuth
from fastapi_rooms.auth.unavailable import AuthenticationUnavailable
from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.identity import Identity
from fastapi_rooms.payload import encode_json

_TICKET_BYTES: Final = 32
_TICKET_CHARACTERS: Final = 43
_DEFAULT_SOURCES: Final[tuple[TokenSource, ...]] = (Query("ticket"),)


class Ticket(BaseModel):
    """What the ticket endpoint answers.

    Attributes:
        ticket: The ticket: 43 characters that need no escaping in a URL.
        expires_in: Seconds in which it must be used.
    """

    ticket: str
    expires_in: float


class Tickets(TokenAuth[Identity]):
    """Short-lived tokens for one use, for browser code that cannot send a header with its WebSocket.

    A page asks `POST /tickets` with its usual token and opens `wss://…?ticket=…`. A ticket is 32 random
    bytes. Taking it is atomic: it is good for one connection, and refused afterwards, so what an access log
    keeps of it is worth nothing. A refused origin does not use it up; a missing scope does. The store sees
    only its SHA-256 hash, and the identity as JSON: claims that JSON does not have come back as JSON has
    them.

    It is a dependency and an authenticator, as `TokenAuth` is.

    Attributes:
        ttl: Seconds in which a ticket must be used.
    """

    def __init__(
        self,
        store: TicketStore | None = None,
        *,
        ttl: float = 30.0,
        sources: Sequence[TokenSource] = _DEFAULT_SOURCES,
        scopes: Iterable[str] = (),
        reject: Reject = "http",
        origin: OriginPolicy | Literal["auto"] | None = "auto",
        scheme_name: str | None = None,
        description: str | None = None,
    ) -> None:
        """Set the tickets up.

        Args:
            store: Where they wait; default: a `MemoryTicketStore`, which serves one process.
            ttl: Seconds in which a ticket must be used.
            sources: Where the ticket may stand; default: the query parameter `ticket`.
            scopes: As in `TokenAuth`.
            reject: As in `TokenAuth`.
            origin: As in `TokenAuth`.
            scheme_name: As in `TokenAuth`.
            description: As in `TokenAuth`.

        Raises:
            ConfigurationError: An option cannot work.
        """
        super().__init__(
            self._take,
            sources=sources,
            scopes=scopes,
            reject=reject,
            origin=origin,
            scheme_name=scheme_name,
            description=description,
        )
        if not 0 < ttl <= 3600:
            raise ConfigurationError(f"Tickets(ttl={ttl!r}) must be more than 0 and at most 3600 seconds")
        self.ttl = ttl
        self._store: TicketStore = MemoryTicketStore() if store is None else store

    async def issue(self, identity: Identity) -> str:
        """A new ticket for this identity, whose scopes, claims and expiry it carries.

        Raises:
            TicketStoreFull: Too many tickets wait to be used.
            UnencodableMessage: The claims are not JSON-able.
            ConfigurationError: It is not an `Identity`.
        """
        if not isinstance(identity, Identity):
            raise ConfigurationError(f"a ticket needs an Identity, not a {type(identity).__name__}")
        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        await self._store.put(_hash(ticket), _dump(identity), self.ttl)
        return ticket

    def router(
        self,
        auth: Callable[..., Identity] | Callable[..., Awaitable[Identity]],
        *,
        path: str = "/tickets",
    ) -> APIRouter:
        """A router with one endpoint, `POST path`, that answers `{"ticket": …, "expires_in": 30}`.

        Args:
            auth: The dependency that says who asks: a `TokenAuth`, `auth.requires(...)`, or a function of
                yours.
            path: The endpoint's path.
        """
        router = APIRouter()

        @router.post(path)
        async def issue_ticket(response: Response, identity: Annotated[Identity, Depends(auth)]) -> Ticket:
            """Exchange the usual token for a ticket that opens one WebSocket."""
            response.headers["Cache-Control"] = "no-store"
            try:
                ticket = await self.issue(identity)
            except AuthenticationUnavailable as error:
                raise HTTPException(error.status, error.detail) from error
            return Ticket(ticket=ticket, expires_in=self.ttl)

        return router

    async def _take(self, ticket: str) -> Identity | None:
        if len(ticket) != _TICKET_CHARACTERS:
            return None
        value = await self._store.take(_hash(ticket))
        return None if value is None else _load(value)


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()


def _dump(identity: Identity) -> bytes:
    return encode_json(
        {
            "subject": identity.subject,
            "scopes": sorted(identity.scopes),
            "claims": dict(identity.claims),
            "expires_at": identity.expires_at,
        }
    )


def _load(value: bytes) -> Identity:
    fields: dict[str, Any] = json.loads(value)
    return Identity(
        subject=fields["subject"],
        scopes=frozenset(fields["scopes"]),
        claims=MappingProxyType(fields["claims"]),
        expires_at=fields["expires_at"],
    )
