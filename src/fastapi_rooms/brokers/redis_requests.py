"""Requests to Redis on a connection that nobody else uses: redis-py's own way costs as much as the round trip."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeAlias

from fastapi_rooms.errors import BrokerUnavailable, MissingExtra

try:
    from redis.asyncio.connection import AbstractConnection
    from redis.exceptions import ResponseError
except ImportError as error:
    raise MissingExtra(extra="redis", feature="RedisBroker") from error

Words: TypeAlias = tuple[str | bytes | int, ...]
"""A command."""

_CLOSING: Final = 1.0
"""Seconds for a goodbye to an engine that may be silent."""


async def connect(connection: AbstractConnection) -> asyncio.WriteTransport | None:
    """Connect; what to abort at the end: redis-py would send on for minutes what a silent server has not taken."""
    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there
    writer: asyncio.StreamWriter | None = getattr(connection, "_writer", None)
    return None if writer is None else writer.transport


async def let_go(closing: Awaitable[None]) -> None:
    """Close, whatever comes of it: what is gone may fail to, or never say that it has."""
    try:
        async with asyncio.timeout(_CLOSING):
            await closing
    except Exception:  # noqa: BLE001 - it is given up in any case
        return


async def send(connection: AbstractConnection, commands: Sequence[Words]) -> None:
    """Send commands in one request.

    Raises:
        BrokerUnavailable: The connection is closed. It is not made anew.
        RedisError: It is lost.
    """
    if not connection.is_connected:
        raise BrokerUnavailable("the connection to Redis is closed")
    await connection.send_packed_command(_packed(commands), check_health=False)


async def ask(connection: AbstractConnection, commands: Sequence[Words]) -> list[Any]:
    """Send commands in one request; the answers, in order, among them a `ResponseError` for each that was refused.

    One call at a time. Cancelled, or when it raises, the connection is closed: it may have answers outstanding.

    Raises:
        BrokerUnavailable: The connection is closed. It is not made anew.
        RedisError: It is lost.
    """
    await send(connection, commands)
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            answers.append(error)
    return answers


async def tell(connection: AbstractConnection, commands: Sequence[Words]) -> None:
    """Send commands in one request; returns when all of them have been run. See `ask`.

    Raises:
        ResponseError: One was refused. Others may have been run.
    """
    for answer in await ask(connection, commands):
        if isinstance(answer, ResponseError):
            raise answer


def _packed(commands: Sequence[Words]) -> bytes:
    lines = []
    for command in commands:
        lines.append(b"*%d" % len(command))
        for word in command:
            data = word.encode() if isinstance(word, str) else word if isinstance(word, bytes) else b"%d" % word
            lines.append(b"$%d" % len(data))
            lines.append(data)
    lines.append(b"")
    return b"\r\n".join(lines)
