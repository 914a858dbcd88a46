"""How a manager lets go of its clients: spread over a time, or swept at the end of its life."""

from typing import Any, Final

from fastapi_rooms.host import ManagerHost

_SPREAD: Final = 0.8
"""The part of the draining time over which the closes are spread; the rest is for the last goodbyes."""


async def drain(host: ManagerHost[Any], timeout: float) -> bool:
    """Close every connection with 1012 at a random moment; see `ConnectionManager.drain`."""
    host.bind_loop()
    host.draining = True
    for connection in host.registry:
        connection.link.send_away_within(timeout * _SPREAD)
    try:
        return await host.wait_empty(timeout)
    finally:
        for connection in host.registry:
            connection.link.send_away()


async def sweep(host: ManagerHost[Any]) -> None:
    """End everything that is left, in bounded time; see `ConnectionManager.lifespan`."""
    host.draining = True
    for connection in host.registry:
        connection.link.send_away()
    limits, queue = host.limits, host.queue
    await host.wait_empty(_sum(limits.handler_grace, queue.close_timeout, limits.hook_timeout))
    host.listeners.send_away()
    await host.tasks.join(limits.hook_timeout)


def _sum(*times: float | None) -> float | None:
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None
