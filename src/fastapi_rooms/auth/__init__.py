"""Authentication for HTTP routes and WebSockets: tokens, JWT, tickets, sessions, origins, scopes.

Every refusal is an `AuthenticationError` (see `fastapi_rooms.errors`), which the dependencies turn into an
HTTP status before accept, or into a close code. `JWTAuth` needs the extra `jwt`.
"""

from fastapi_rooms.auth.jwt import JWTAuth
from fastapi_rooms.auth.origin import OriginPolicy
from fastapi_rooms.auth.scoped import ScopedAuth
from fastapi_rooms.auth.sources import (
    DEFAULT_SOURCES,
    Cookie,
    Header,
    Query,
    SessionCookie,
    Subprotocol,
    TokenSource,
)
from fastapi_rooms.auth.ticket_store import MemoryTicketStore, TicketStore
from fastapi_rooms.auth.tickets import Ticket, Tickets
from fastapi_rooms.auth.token_auth import TokenAuth
from fastapi_rooms.auth.unavailable import AuthenticationUnavailable, KeysUnavailable, TicketStoreFull
from fastapi_rooms.identity import Identity

__all__ = [
    "DEFAULT_SOURCES",
    "AuthenticationUnavailable",
    "Cookie",
    "Header",
    "Identity",
    "JWTAuth",
    "KeysUnavailable",
    "MemoryTicketStore",
    "OriginPolicy",
    "Query",
    "ScopedAuth",
    "SessionCookie",
    "Subprotocol",
    "Ticket",
    "TicketStore",
    "TicketStoreFull",
    "Tickets",
    "TokenAuth",
    "TokenSource",
]
