"""What is asked of nats-py wherever it is used: one connection, which nats-py does not make anew."""

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from fastapi_rooms.brokers.cancelling import cancellable
from fastapi_rooms.errors import MissingExtra

try:
    from nats.aio.client import Client, RawCredentials
    from nats.aio.transport import TcpTransport
    from nats.errors import SecureConnWantedError, UnexpectedEOF
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NATS") from error


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are: a user with a password, or a token in the user's place; or what a credentials file holds."""

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    credentials: RawCredentials | None = field(default=None, repr=False)


async def start(
    client: Client,
    servers: Sequence[str],
    *,
    name: str,
    timeout: float,
    login: Login,
    tls: ssl.SSLContext | None,
    failed: Callable[[Exception], Awaitable[None]],
    ended: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Connect to one of the servers, once. Cancelled, it ends soon; the client is to be closed then.

    Args:
        client: What connects; new.
        servers: `host:port`, without who we are.
        name: What the server calls us.
        timeout: Seconds for each step, rounded up.
        login: Who we are.
        tls: How to encrypt. `None`: as the system does, and only if the server says so.
        failed: Is told what goes wrong, before and after.
        ended: Is told that there is no connection any more.

    Raises:
        Exception: What the driver raises.
    """
    is_token = login.password is None
    await cancellable(
        client.connect(
            [f"nats://{server}" for server in servers],
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # even so it tries twice; 0 would be without end
            reconnect_time_wait=0,
            connect_timeout=math.ceil(timeout),
            pending_size=0,  # else a full buffer is waited for in a way that swallows cancellation
            flusher_queue_size=0,  # the same
            error_cb=failed,
            closed_cb=ended,
            tls=tls,
            user=None if is_token else login.user,
            password=login.password,
            token=login.user if is_token else None,
            user_credentials=login.credentials,
        )
    )


class SecureTransport(TcpTransport):
    """Writes nothing before the connection is encrypted, where it must be; nats-py would, if the server asks."""

    def __init__(self, *, secure: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py has left the annotation out
        self._secure = secure

    def __bool__(self) -> bool:
        return True  # else nats-py makes one of its own

    def write(self, payload: bytes) -> None:
        """Write a ping; or, first of all, who we are."""
        writer = self._io_writer
        if writer is None or (self._secure and writer.get_extra_info("ssl_object") is None):
            raise SecureConnWantedError
        writer.write(payload)


class AbortingTransport(SecureTransport):
    """Says at once that it was lost, and then takes all that nats-py still does to it.

    nats-py's own does not end while a silent peer leaves something unread; and where the peer has reset it,
    nats-py's reader fails before it has told anybody.
    """

    def __init__(self, lost: Callable[[Exception], None], *, secure: bool) -> None:
        super().__init__(secure=secure)
        self._lost = lost
        self._over = False

    def write(self, payload: bytes) -> None:
        """Write a ping; or, first of all, who we are."""
        if self._io_writer is not None and not self._over:
            super().write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Write commands."""
        if self._io_writer is not None and not self._over:
            self._io_writer.writelines(payload)

    async def drain(self) -> None:
        """Wait for the socket."""
        if self._io_writer is None or self._over:
            return
        try:
            await self._io_writer.drain()
        except OSError as error:
            self._lost(error)

    async def read(self, buffer_size: int) -> bytes:
        """Read what has come."""
        try:
            data: bytes = await super().read(buffer_size)
        except OSError as error:
            self._lost(error)
            raise
        if not data:
            self._lost(UnexpectedEOF())
        return data

    def close(self) -> None:
        """Let go of the socket, whatever the peer does."""
        self._over = True
        if self._io_writer is not None:
            self._io_writer.transport.abort()

    async def wait_closed(self) -> None:
        """An aborted socket is closed in the next turn of the loop."""
        await asyncio.sleep(0)
