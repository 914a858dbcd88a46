"""Running a coroutine up to its first suspension without a task of its own.

A server's `send` almost never waits: it hands bytes to the kernel and returns. A task for each would cost more
than the send. So the coroutine is stepped by hand, and only one that suspends is given to a task, at the very
point where it stopped.
"""

from collections.abc import Awaitable, Coroutine, Generator
from types import coroutine
from typing import Any, cast


def step(work: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Run until the end or the first suspension.

    Only for coroutines that know nothing of the task they run in until then: one that enters a timeout or a
    cancel scope before it first suspends would bind it to the caller's task.

    Returns:
        `None` where it is done, else what a task must await to finish it.

    Raises:
        Exception: Whatever the coroutine raises before it suspends.
    """
    for waiting_for in work.__await__():  # unlike `work.send` it ends without an exception: half the cost
        return resume(work, waiting_for)
    return None


def resume(work: Coroutine[Any, Any, None], waiting_for: Any) -> Awaitable[None]:
    """What a task must await to finish a coroutine that has suspended, waiting for what it yielded."""
    return cast("Awaitable[None]", _resume(work, waiting_for))


@coroutine
def _resume(work: Coroutine[Any, Any, None], waiting_for: Any) -> Generator[Any, Any, None]:
    # Handing on the very future that the coroutine yielded is enough for asyncio: a future stays marked as
    # awaited until a task has seen it (asyncio.Future.__await__).
    try:
        while True:
            try:
                result = yield waiting_for
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # noqa: BLE001 - a cancellation belongs to the coroutine
                waiting_for = work.throw(error)
            else:
                waiting_for = work.send(result)
    except StopIteration:
        return
