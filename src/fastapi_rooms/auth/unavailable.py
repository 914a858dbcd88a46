"""What is wrong with us, not with the token: 503 before accept, 1013 after it."""

from fastapi_rooms.errors import AuthenticationError, CloseCode


class AuthenticationUnavailable(AuthenticationError):
    """Nobody can be authenticated just now. The client should come back later with the same token."""

    status = 503
    code = CloseCode.TRY_AGAIN_LATER


class KeysUnavailable(AuthenticationUnavailable):
    """The JWKS document could not be fetched, and there is no earlier one to go by."""


class TicketStoreFull(AuthenticationUnavailable):
    """The store holds as many live tickets as it may; no ticket was issued."""
