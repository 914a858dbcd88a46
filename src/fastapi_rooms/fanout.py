"""One message to many connections, and what became of it."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from fastapi_rooms.batch import Batch
from fastapi_rooms.connection import Connection
from fastapi_rooms.gather import Gathers
from fastapi_rooms.options import Overflow
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import Offer, Scope
from fastapi_rooms.transports.stepping import resume

Exclude = Connection[Any] | Iterable[Connection[Any]]

Missed = Callable[[Connection[Any]], None]
"""Told of somebody who did not get a message. Must not block or raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one message among this process's recipients.

    The three numbers are `None` where a broker delivers the message: that is later, here too.

    Attributes:
        queued: Connections whose send queue, or whose server, took it; listeners here included.
        dropped: Connections whose overflow policy dropped it, or whose server refused it: the client just left.
        closed: Slow consumers that it closed.
        scope: "cluster": a broker has taken it for every process. "local": it was delivered in this process alone,
            since there is no broker, or it is out of reach.
        offset: In a room with a history: of this message. `None`: the room has none.
        published: False where its idempotency key was used before, or its version is not newer than that of the
            last one: nobody gets it, and `offset` is that of the message before.
    """

    queued: int | None = 0
    dropped: int | None = 0
    closed: int | None = 0
    scope: Literal["local", "cluster"] = "local"
    offset: int | None = None
    published: bool = True


_NOBODYS: Final = Batch([], size=0)


def fan_out(
    recipients: Iterable[Connection[Any]],
    payload: Payload,
    *,
    overflow: Overflow,
    scope: Scope = None,
    key: str | None = None,
    exclude: Exclude = (),
    exclude_users: str | Collection[str] = (),
    gathering: bool = False,
    missed: Missed | None = None,
) -> tuple[Delivery, float | None]:
    """Offer a message to each recipient. Synchronous: no client is waited for.

    Args:
        recipients: Who gets it.
        payload: The message.
        overflow: What happens at a full queue.
        scope: Whose policy that is; see `SendQueue.offer`.
        key: Which queued message it replaces; see `SendQueue.offer`.
        exclude: Who does not get it.
        exclude_users: Users who do not get it.
        gathering: Whether some recipients may have a `Pipe`.
        missed: Called for each recipient whose queue was full, so that the message was dropped.

    Returns:
        What became of it, and, where some queue is more than half full, for how many seconds (0: one turn of
        the loop) the caller should let the writers run.
    """
    excluded = frozenset((exclude,) if isinstance(exclude, Connection) else exclude)
    users = (exclude_users,) if isinstance(exclude_users, str) else [str(user_id) for user_id in exclude_users]
    if excluded or users:
        recipients = [one for one in recipients if one not in excluded and one.user_id not in users]
    queued, others = (0, recipients) if not gathering else _gather(recipients, payload)
    dropped = closed = 0
    pause: float | None = None
    event, tally = payload.event, payload.tally
    for connection in others:
        direct = connection.direct
        if direct is not None:
            # `Writer.offer`, spelt out: this is nearly every delivery, and what a broadcast costs beside the
            # server's work is calls, and objects to look at.
            try:
                work = direct(event)
                for waiting_for in work.__await__():
                    connection.link.writer.begin(payload, resume(work, waiting_for))
                    break
                else:
                    connection.written += tally
                    queued += 1
                    continue
            except Exception as error:  # noqa: BLE001 - servers raise what they like for a peer that is gone
                connection.link.writer.fail(error)
                dropped += 1
                continue
            queued += 1
        else:
            offer = connection.link.deliver(payload, overflow, scope, key)
            if offer is Offer.ACCEPTED:
                queued += 1
            elif offer is Offer.DROPPED:
                dropped += 1
                if missed is not None:
                    missed(connection)
            elif offer is Offer.OVERFLOWED:
                closed += 1
        if (wanted := connection.link.pause_wanted()) is not None:
            pause = wanted if pause is None else max(pause, wanted)
    return _delivered(queued, dropped, closed), pause


@lru_cache(maxsize=64)
def _delivered(queued: int, dropped: int, closed: int) -> Delivery:
    """What comes again and again is made once: it takes longer than to put a message into a batch."""
    return Delivery(queued=queued, dropped=dropped, closed=closed)


def _gather(recipients: Iterable[Connection[Any]], payload: Payload) -> tuple[int, Iterable[Connection[Any]]]:
    """Shared frames: put the message into the batches of all who are ready; how many, and who is not."""
    if isinstance(recipients, tuple) and recipients and (first := recipients[0].pipe) is not None:
        held = first.batch
        if held is not None and held.holders is recipients and first.add_for_all(payload):
            return len(recipients), ()
    others: list[Connection[Any]] = []
    gathered = kinds = 0
    before: Batch | None = _NOBODYS
    after: Batch | None = None
    waiting: list[Gathers] = []
    for connection in recipients:
        pipe = connection.pipe
        if pipe is None:
            others.append(connection)
            continue
        # `Pipe.add`, spelt out for all who had the same batch before: this is what a broadcast costs where a write
        # of many messages costs as much as one.
        batch = pipe.batch
        if batch is before:
            pipe.batch = after
            if batch is None:
                waiting.append(pipe)
        else:
            pipe.add(payload)
            kinds += 1
            waiting = pipe.gatherer.waiting
            after = pipe.batch
            before = _NOBODYS if after is None else batch
        gathered += 1
    if kinds == 1 and after is not None and not others:
        after.hold(recipients)
    return gathered, others
