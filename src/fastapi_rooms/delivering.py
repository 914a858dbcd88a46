"""How a manager gives a message to connections in this process: on their event loop, or from a thread."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from typing import Any

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import WrongEventLoop
from fastapi_rooms.fanout import Delivery, Exclude, Missed, fan_out
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.options import Overflow
from fastapi_rooms.payload import Payload
from fastapi_rooms.room_hooks import RoomHooks
from fastapi_rooms.send_queue import KEPT, Scope


async def deliver(
    host: ManagerHost[Any],
    recipients: Iterable[Connection[Any]],
    payload: Payload,
    *,
    exclude: Exclude,
    exclude_users: str | Collection[str],
    key: str | None,
    overflow: Overflow | None = None,
    scope: Scope = None,
    missed: Missed | None = None,
) -> Delivery:
    """Offer a message to each recipient, and let the writers run if some queue is more than half full.

    Args:
        host: The manager's.
        recipients: See `fan_out`, as for the other arguments.
        payload: See there.
        exclude: See there.
        exclude_users: See there.
        key: See there.
        overflow: What happens at a full queue. `None`: what the manager says.
        scope: See there.
        missed: See there.

    Raises:
        WrongEventLoop: The connections live on another event loop.
    """
    host.check_loop()
    delivery, pause = fan_out(
        recipients,
        payload,
        overflow=host.overflow if overflow is None else overflow,
        scope=scope,
        key=key,
        exclude=exclude,
        exclude_users=exclude_users,
        gathering=host.gathering,
        missed=missed,
    )
    if pause is not None:
        await asyncio.sleep(pause)  # a busy producer must not starve the writers
    return delivery


def deliver_to(
    host: ManagerHost[Any],
    hooks: RoomHooks[Any],
    payload: Payload,
    *,
    room: str | None,
    user: str | None,
    exclude: Exclude,
    exclude_users: str | Collection[str],
    key: str | None,
    missed: Missed | None = None,
) -> Awaitable[Delivery]:
    """Deliver a message to a room's members here, a user's connections, or everyone; see `deliver`.

    Args:
        host: See there, as for all others.
        hooks: The manager, for its `room_policy`.
        payload: See there.
        room: Whose members, and listeners, get it.
        user: Whose connections do; neither: everyone.
        exclude: See there.
        exclude_users: See there.
        key: See there.
        missed: See there; where a message must not be missed in silence. Then nothing evicts it once it is queued,
            nor is anything evicted for it: both policies that drop keep it from who has no space.
    """
    recipients: Iterable[Connection[Any]]
    overflow: Overflow | None = None
    if room is not None:
        recipients = host.hearing(room)
        policy = hooks.room_policy(room)
        overflow = None if policy is None else policy.overflow
    elif user is not None:
        recipients = host.registry.of_user(user)
    else:
        recipients = host.registry.everyone()
    scope: Scope = None if overflow is None else room
    if missed is not None:
        drops = (overflow or host.overflow) in (Overflow.DROP_OLDEST, Overflow.DROP_NEWEST)
        overflow, scope = Overflow.DROP_NEWEST if drops else Overflow.CLOSE, KEPT
    return deliver(
        host,
        recipients,
        payload,
        exclude=exclude,
        exclude_users=exclude_users,
        key=key,
        overflow=overflow,
        scope=scope,
        missed=missed,
    )


def from_thread(
    host: ManagerHost[Any], broadcast: Callable[[], Coroutine[Any, Any, Delivery]], timeout: float | None
) -> Delivery:
    """Run a broadcast on the manager's event loop; see `ConnectionManager.broadcast_from_thread`."""
    loop = host.loop
    if loop is None or loop.is_closed():
        return Delivery()  # nobody has connected yet
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run_coroutine_threadsafe(broadcast(), loop).result(timeout)
    raise WrongEventLoop("broadcast_from_thread was called on an event loop: use `await broadcast(...)` there")
