"""The hooks that a manager's subclass overrides, and how one is run: bounded in time, and contained."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Generic

from starlette.exceptions import HTTPException, WebSocketException
from typing_extensions import TypeVar

from fastapi_rooms.closing import may_be_sent
from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import (
    CloseCode,
    ConnectionClosed,
    Disconnect,
    DisconnectReason,
    HookTimeout,
    InvalidMessage,
    JoinRefused,
    RoomsError,
)
from fastapi_rooms.options import Limits
from fastapi_rooms.send_queue import Dropped

logger = logging.getLogger("fastapi_rooms")

_inside_hook_of: ContextVar[str | None] = ContextVar("fastapi_rooms_inside_hook_of", default=None)

UserT = TypeVar("UserT", default=Any)
MessageT = TypeVar("MessageT", default=Any)
ResultT = TypeVar("ResultT")

_CLOSE_CODE_OF_STATUS: Final = {
    401: CloseCode.BAD_TOKEN,
    403: CloseCode.FORBIDDEN,
    413: CloseCode.MESSAGE_TOO_BIG,
    429: CloseCode.RATE_LIMITED,
    503: CloseCode.TRY_AGAIN_LATER,
}


class Hooks(Generic[UserT, MessageT]):
    """What a subclass of `ConnectionManager` may override. None of them does anything by default.

    For one connection hooks run once each and in order: `on_connect`, then messages, then `on_disconnect`.
    `on_disconnect` runs if and only if `on_connect` began, after the endpoint has ended; the connection is
    unregistered by then. Each has `Limits.hook_timeout` seconds. One that raises, or takes longer, is logged,
    reported to `on_error`, closes its own connection with 1011, and touches no other. It may raise
    `WebSocketException` to close with a code of its choice.
    """

    async def on_connect(self, connection: Connection[UserT]) -> None:
        """The connection was accepted and is registered; broadcasts reach it already."""

    async def on_message(self, connection: Connection[UserT], message: MessageT) -> None:
        """`serve()` received a message: in order, one at a time per connection. Not bounded in time."""

    async def on_invalid_message(self, connection: Connection[UserT], error: InvalidMessage) -> None:
        """The client sent what is not JSON, or not the model. By default it is closed with 1007.

        Args:
            connection: Who sent it.
            error: Names the field and what is wrong with it, in words fit for the client.
        """
        reason = DisconnectReason.INVALID_MESSAGE
        if error.code == CloseCode.UNSUPPORTED_DATA:
            reason = DisconnectReason.UNSUPPORTED_DATA
        connection.link.shut(reason, error.code, str(error))

    async def on_disconnect(self, connection: Connection[UserT], disconnect: Disconnect) -> None:
        """The connection has ended. Shielded from cancellation."""

    async def on_overflow(self, connection: Connection[UserT], dropped: Dropped) -> None:
        """An overflow episode is over: the queue is at half again, or the connection has ended.

        Args:
            connection: The slow consumer.
            dropped: What it missed, counted.
        """

    async def _tell_overflow(self, connection: Connection[UserT], dropped: Dropped) -> None:
        """An overflow episode is over; what a protocol on top says then comes before the hook."""
        await self.on_overflow(connection, dropped)

    async def on_active(self) -> None:
        """The first connection is here. Connections wait for it before their `on_connect`."""

    async def on_idle(self) -> None:
        """The last connection is gone. Never overlaps `on_active`."""

    async def on_error(self, connection: Connection[UserT], error: Exception) -> None:
        """A hook or `on_message` raised, or a hook outlived `hook_timeout`. Logged already."""


class HookRunner:
    """Runs one hook after another for their manager.

    Args:
        limits: `hook_timeout` counts.
        on_error: The manager's hook of that name.
    """

    __slots__ = ("_limits", "_on_error")

    def __init__(self, limits: Limits, on_error: Callable[[Connection[Any], Exception], Awaitable[None]]) -> None:
        self._limits = limits
        self._on_error = on_error

    async def run(
        self,
        connection: Connection[Any],
        name: str,
        hook: Callable[[], Awaitable[None]],
        *,
        within: float | None = None,
    ) -> bool:
        """Run a hook; what it raises ends this connection and goes no further.

        Args:
            connection: Whose hook it is.
            name: For the log.
            hook: To be called and awaited.
            within: Seconds; `None`: `hook_timeout`.

        Returns:
            Whether it succeeded.
        """
        error = await self._call(connection, name, hook, within)
        if error is not None:
            await self.failed(connection, name, error)
        return error is None

    async def attempt(
        self, connection: Connection[Any], name: str, hook: Callable[[], Awaitable[None]]
    ) -> Exception | None:
        """Run a hook whose failure refuses something, and leaves the connection alone.

        Returns:
            What it raised, as an exception to refuse with: logged and reported where it was no refusal.
        """
        error = await self._call(connection, name, hook)
        if error is not None and expected_end(error) is None and not isinstance(error, ConnectionClosed):
            await self.report(connection, name, error)
        return error

    async def _call(
        self,
        connection: Connection[Any],
        name: str,
        hook: Callable[[], Awaitable[None]],
        within: float | None = None,
    ) -> Exception | None:
        timeout = self._limits.hook_timeout if within is None else within
        deadline = asyncio.timeout(timeout)
        inside = _inside_hook_of.set(connection.id)  # not itself: timers keep their context until they are due
        try:
            async with deadline:
                await contained(hook, name)
        except TimeoutError as error:
            if deadline.expired() and timeout is not None:
                return HookTimeout(hook=name, timeout=timeout)
            return error
        except Exception as error:  # noqa: BLE001 - a user's hook may raise anything
            return error
        finally:
            _inside_hook_of.reset(inside)
        return None

    async def failed(
        self,
        connection: Connection[Any],
        name: str,
        error: Exception,
        reason: DisconnectReason = DisconnectReason.HOOK_ERROR,
    ) -> None:
        """Close the connection as the error says; log and report what is not the client's doing."""
        if isinstance(error, ConnectionClosed) and error.connection_id == connection.id:
            return
        expected = expected_end(error)
        if expected is not None:
            connection.link.shut(expected.reason, expected.code, expected.text)
            return
        connection.link.shut(reason, CloseCode.INTERNAL_ERROR, "internal error")
        await self.report(connection, name, error)

    async def report(self, connection: Connection[Any], name: str, error: Exception) -> None:
        """Log what is nobody's wish, and tell `on_error`; the connection goes on."""
        logger.error("%s failed for connection %s", name, connection.id, exc_info=error)
        try:
            async with asyncio.timeout(self._limits.hook_timeout):
                await contained(partial(self._on_error, connection, error), "on_error")
        except Exception:  # a user's hook may raise anything
            logger.exception("on_error failed for connection %s", connection.id)


async def contained(work: Callable[[], Awaitable[ResultT]], name: str) -> ResultT:
    """Await a user's code, for its result; a `CancelledError` that nobody sent us becomes an error like any other.

    `task.cancel(); await task` lets the task's `CancelledError` out: no cancellation of whoever awaits it.

    Raises:
        RoomsError: The code let the `CancelledError` of something else out.
    """
    before = cancellations()
    try:
        return await work()
    except asyncio.CancelledError as error:
        check_cancelled(error, name, before=before)
        raise


def cancellations() -> int:
    """How often the task that runs was cancelled so far: for `check_cancelled`."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def check_cancelled(error: asyncio.CancelledError, name: str, *, before: int) -> None:
    """What `contained` does with it, where a coroutine more for each message would be felt.

    It returns where the cancellation is the task's own: then the caller raises it again.

    Raises:
        RoomsError: See there.
    """
    if asyncio.current_task() is not None and cancellations() <= before:
        raise RoomsError(
            f"{name} let the CancelledError of a task it cancelled out: use `await asyncio.wait([task])` after "
            "`task.cancel()`"
        ) from error


async def run_apart(name: str, hook: Callable[[], Awaitable[None]], *, within: float | None) -> None:
    """Run a hook that belongs to no connection: what it raises is logged.

    Args:
        name: For the log.
        hook: To be called and awaited.
        within: Seconds. `None`: as long as it takes.
    """
    try:
        async with asyncio.timeout(within):
            await contained(hook, name)
    except Exception:  # a user's hook may raise anything
        logger.exception("%s failed", name)


def inside_hook_of() -> str | None:
    """The id of the connection whose hook the caller runs in, or was started from; `None` outside of hooks."""
    return _inside_hook_of.get()


def expected_end(error: BaseException) -> Disconnect | None:
    """How an exception asks for the connection to be closed; `None` where it is an error like any other."""
    if isinstance(error, ConnectionClosed):
        return None  # another connection's end is no wish about this one
    if isinstance(error, InvalidMessage):
        return Disconnect(DisconnectReason.INVALID_MESSAGE, error.code, str(error))
    if isinstance(error, JoinRefused):
        return Disconnect(DisconnectReason.FORBIDDEN, CloseCode.FORBIDDEN, error.reason)
    if isinstance(error, WebSocketException):
        code = error.code if may_be_sent(error.code) else CloseCode.INTERNAL_ERROR
        return Disconnect(DisconnectReason.CLOSED, code, error.reason or "")
    if isinstance(error, HTTPException):
        fallback = CloseCode.INTERNAL_ERROR if error.status_code >= 500 else CloseCode.POLICY_VIOLATION
        code = _CLOSE_CODE_OF_STATUS.get(error.status_code, fallback)
        return Disconnect(DisconnectReason.CLOSED, code, str(error.detail))
    return None
