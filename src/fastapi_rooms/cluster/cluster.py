"""This process and the others that share a broker with it: what is told, what is heard, what is asked."""

import asyncio
import itertools
import logging
import secrets
from typing import Final

from fastapi_rooms.brokers.interface import Broker
from fastapi_rooms.brokers.streams import OVERHEAD, Append, Appended, Page, Place, StreamConnection, split_place
from fastapi_rooms.channels import Channels
from fastapi_rooms.cluster.echoes import Echoes, Here
from fastapi_rooms.cluster.failures import described
from fastapi_rooms.cluster.health import BrokerHealth
from fastapi_rooms.cluster.local import Local
from fastapi_rooms.cluster.outbox import Outbox
from fastapi_rooms.cluster.peers import MOST_QUESTIONS, SILENT_FOR, Peers, Question
from fastapi_rooms.cluster.subscriptions import Subscriptions
from fastapi_rooms.cluster.supervisor import Supervisor
from fastapi_rooms.envelope import ForeignMessage, Header, Kind, seal, unseal
from fastapi_rooms.errors import BrokerUnavailable, ConfigurationError, MessageTooLarge, RoomsError
from fastapi_rooms.options import History
from fastapi_rooms.tasks import TaskOwner

logger = logging.getLogger("fastapi_rooms")

_PRESENCE: Final = frozenset({Kind.PRESENCE_ASK, Kind.PRESENCE_ALL, Kind.PRESENCE})
_TO_ONE: Final = frozenset({Kind.PRESENCE_ASK, Kind.PRESENCE_ALL, Kind.REQUEST})


class Cluster:
    """Tells other processes what happens here, and does here what they tell.

    A message is delivered in this process when it comes back from the broker, in the one order that the broker
    gives to all; unless that cannot be: then at once, or when the connection is lost on which it would have come,
    and its echo, should one come, is dropped.

    Attributes:
        process: This one's id: random, new at each start.
        numbers: The next is for what is told next.
        channels: The manager's.
        foreign: Messages that were dropped, since they were not ours.
    """

    def __init__(self, broker: Broker, local: Local) -> None:
        timings = broker.timings
        self._broker = broker
        self._local = local
        self._tasks = TaskOwner()
        self._running: asyncio.Task[None] | None = None
        self._questions: dict[int, Question] = {}
        self._probes: dict[int, asyncio.Event] = {}
        self._echoes = Echoes()
        self._delivering = asyncio.Lock()
        self._said_foreign = False
        self.process = secrets.token_urlsafe(9)
        self.numbers = itertools.count(1)
        self.channels = Channels(broker.prefix)
        self.foreign = 0
        self.outbox = Outbox(timeout=timings.publish)
        self.subscriptions = Subscriptions(wanted=self._wanted, linger=timings.linger, timeout=timings.publish)
        self.supervisor = Supervisor(broker, self.subscriptions, self.outbox, self)
        loop = asyncio.get_running_loop()
        self.peers = Peers(within=SILENT_FOR * timings.probe_interval, clock=loop.time)

    async def start(self) -> None:
        """Connect, and go on trying if that fails: the first attempt is waited for."""
        own = (self.channels.everyone, self.channels.process(self.process))
        for channel in own:
            await self.subscriptions.hold(channel)
        self._running = self._tasks.spawn(self.supervisor.run(), name="broker")
        await self.supervisor.settled.wait()

    async def stop(self) -> None:
        """Say goodbye, if anybody can hear it, and let go of the broker."""
        if self.supervisor.connected:
            await self.post(self.header(Kind.BYE))
        self.subscriptions.stop()
        if self._running is not None:
            self._running.cancel()
        await self._tasks.join(self._broker.timings.publish)

    def header(
        self,
        kind: Kind,
        *,
        room: str | None = None,
        user: str | None = None,
        key: str | None = None,
        code: int | None = None,
        reason: str = "",
        question: int | None = None,
    ) -> Header:
        """A header with a number of its own."""
        return Header(
            kind=kind,
            process=self.process,
            number=next(self.numbers),
            room=room,
            user=user,
            key=key,
            code=code,
            reason=reason,
            question=question,
        )

    async def tell(self, header: Header, body: bytes, here: Here) -> bool:
        """Have everybody whom it concerns do what it says, this process included.

        Args:
            header: What, and whom it is for.
            body: The message.
            here: Does it in this process, where the broker cannot. It may run later, when it turns out that what
                the broker has taken does not come back.

        Returns:
            Whether the broker took it.

        Raises:
            MessageTooLarge: It is larger than the broker takes; nobody got it.
        """
        number, channel, data = header.number, self._channel_of(header), self._seal(header, body)
        heard = self.subscriptions.hears(channel)
        if heard:
            self._echoes.expect(number, here)
        elif self._local.occupied(channel):
            async with self._delivering:  # after what was told before, and is delivered now
                self._echoes.deliver(number)
                await here()
        try:
            await self.outbox.publish(channel, data)
        except BrokerUnavailable as error:
            logger.debug("a message was told to this process alone, unless it has come back: %s", error)
            if not heard:
                return False
            await self._deliver_unheard(until=number)
            return not self._echoes.was_delivered(number)
        except asyncio.CancelledError:
            self._echoes.forget(number)
            raise
        self._echoes.taken(number, len(data))
        return True

    async def append(
        self,
        header: Header,
        body: bytes,
        history: History,
        *,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Appended:
        """Keep a message for a room in its history, and tell it to everybody whom it concerns.

        Raises:
            BrokerUnavailable: The broker did not take it, or did not say so.
            ConfigurationError: It keeps no history.
            MessageTooLarge: See `tell`.
        """
        return await self.outbox.append(
            Append(
                channel=self._channel_of(header),
                data=self._seal(header, body, beside=OVERHEAD),
                messages=history.messages,
                seconds=history.seconds,
                idempotency_key=idempotency_key,
                version=version,
            )
        )

    async def post(self, header: Header, body: bytes = b"") -> None:
        """Tell other processes what they can do without, should it not reach them."""
        try:
            await self.outbox.publish(self._channel_of(header), self._seal(header, body))
        except BrokerUnavailable as error:
            logger.debug("%s was not said: %s", header.kind.value, error)
        except MessageTooLarge as error:
            logger.warning("%s of %r was not said: %s", header.kind.value, (header.room or "")[:80], error)

    async def read(self, room: str, *, after: int, most: int) -> Page:
        """What is kept of a room; see `StreamConnection.read`.

        Raises:
            BrokerUnavailable: It could not be read in time.
            ConfigurationError: The broker keeps no history.
        """
        connection = self.supervisor.connection
        if connection is None:
            raise BrokerUnavailable(f"{self._broker} is out of reach")
        if not isinstance(connection, StreamConnection):
            raise ConfigurationError(f"{self._broker} keeps no history")
        try:
            async with asyncio.timeout(self._broker.timings.publish):
                return await connection.read(self.channels.room(room), after=after, most=most)
        except RoomsError:
            raise
        except Exception as error:  # drivers raise what they like
            raise BrokerUnavailable(
                f"{self._broker} did not say what is kept of a room: {described(error)}"
            ) from error

    def hears(self, header: Header) -> bool:
        """Whether what is told so comes back to this process."""
        return self.subscriptions.hears(self._channel_of(header))

    async def ask(self, room: str, what: str) -> Question:
        """Ask all other processes about a room, and wait for their answers as long as `BrokerTimings.answer`."""
        question = Question(self.peers.now())
        if not question.missing or len(self._questions) >= MOST_QUESTIONS:
            return question
        header = self.header(Kind.ASK, room=room, key=what)
        self._questions[header.number] = question
        try:
            await self._publish(self.channels.everyone, header)
            await question.wait(self._broker.timings.answer)
        except BrokerUnavailable as error:
            logger.debug("nobody was asked: %s", error)
        finally:
            del self._questions[header.number]
        return question

    async def request(self, process: str, body: bytes, *, within: float) -> bytes | None:
        """Have another process do something, and wait for its answer.

        Args:
            process: Which.
            body: What.
            within: Seconds that it may take.

        Returns:
            The answer; `None`: there was none, and it may be done all the same.

        Raises:
            MessageTooLarge: See `tell`.
        """
        if len(self._questions) >= MOST_QUESTIONS // 2:  # what clients ask for leaves place for `ask`
            return None
        question = Question(frozenset({process}))
        header = self.header(Kind.REQUEST, user=process)
        self._questions[header.number] = question
        try:
            await self.outbox.publish(self._channel_of(header), self._seal(header, body))
            await question.wait(within)
        except BrokerUnavailable as error:
            logger.debug("a process was not asked: %s", error)
        finally:
            del self._questions[header.number]
        return question.answers.get(process)

    def health(self) -> BrokerHealth:
        """How the broker is."""
        error = self.supervisor.error
        return BrokerHealth(
            broker=str(self._broker),
            connected=self.supervisor.connected,
            error=None if error is None else described(error),
            outages=self.supervisor.outages,
            channels=len(self.subscriptions),
            peers=len(self.peers.now()),
            foreign=self.foreign,
        )

    async def received(self, channel: str, data: bytes) -> None:
        """A message has come; see `Watcher`."""
        try:
            place, sealed = split_place(data)
            await self._handle(channel, *unseal(sealed), place)
        except ForeignMessage as error:
            self.foreign += 1
            if not self._said_foreign:
                self._said_foreign = True
                logger.warning("on %s: %s (said once; counted in health())", channel, error)
        except Exception:  # `room_policy` is the user's: it must not end the connection
            logger.exception("a message from the broker was not delivered")

    async def probe(self) -> None:
        """Say that this process lives, and hear it; see `Watcher`.

        Raises:
            TimeoutError: It was not heard in time.
            BrokerUnavailable: It could not be said.
        """
        header = self.header(Kind.ALIVE)
        heard = self._probes[header.number] = asyncio.Event()
        try:
            async with asyncio.timeout(self._broker.timings.probe_timeout):
                await self._publish(self.channels.everyone, header)
                await heard.wait()
            self._echoes.probed()
        finally:
            del self._probes[header.number]

    def restored(self) -> None:
        """See `Watcher`."""
        self._local.broker_restored()

    def gave_up(self, number: int) -> None:
        """What was told with this number is done here now, whether or not it comes back."""
        self._echoes.deliver(number)

    async def unheard(self) -> None:
        """See `Watcher`."""
        await self._deliver_unheard()

    def lost(self, error: Exception) -> None:
        """See `Watcher`."""
        self._local.broker_lost(error)

    async def _handle(self, channel: str, header: Header, body: bytes, place: Place | None) -> None:
        if channel != self._channel_of(header):
            raise ForeignMessage
        ours = header.process == self.process
        if header.kind in (Kind.MESSAGE, Kind.CLOSE_ROOM, Kind.DISCONNECT_USER):
            if not ours or self._echoes.came(header.number):
                await self._local.deliver(header, body, place)
        elif header.kind is Kind.ALIVE:
            self._lives(header)
        elif header.kind is Kind.BYE:
            self.peers.left(header.process)
            self._local.goodbye(header.process)
        elif header.kind in _PRESENCE:
            if not ours:
                self._local.presence_heard(header, body)
        elif header.kind is Kind.ASK:
            if not ours:
                self._tasks.spawn(self._answer(header), name="answer")
        elif header.kind is Kind.REQUEST:
            self._tasks.spawn(self._do(header, body), name="request")
        elif header.kind is Kind.ANSWER:
            question = self._questions.get(header.question or 0)
            if question is not None:
                question.answer(header.process, body)

    async def _answer(self, question: Header) -> None:
        header = self.header(Kind.ANSWER, question=question.number, user=question.process)
        await self.post(header, self._local.answer(question))

    async def _do(self, request: Header, body: bytes) -> None:
        answer = await self._local.requested(body)
        await self.post(self.header(Kind.ANSWER, question=request.number, user=request.process), answer)

    async def _deliver_unheard(self, *, until: int | None = None) -> None:
        """Deliver what has not come back, in the order in which it was told; `until` one of them, if it is."""
        async with self._delivering:
            while until is None or self._echoes.awaits(until):
                if (oldest := self._echoes.oldest()) is None:
                    return
                number, here = oldest
                self._echoes.deliver(number)
                try:
                    await here()
                except Exception:  # `room_policy` is the user's: the next one is not to blame
                    logger.exception("a message was not delivered")

    def _lives(self, header: Header) -> None:
        if header.process == self.process:
            if header.number in self._probes:
                self._probes[header.number].set()
        elif self.peers.saw(header.process):
            # It should not have to wait for our next probe to know us.
            self._tasks.spawn(self.post(self.header(Kind.ALIVE)), name="introduction")

    async def _publish(self, channel: str, header: Header) -> None:
        await self.outbox.publish(channel, self._seal(header))

    def _seal(self, header: Header, body: bytes = b"", *, beside: int = 0) -> bytes:
        data = seal(header, body)
        most = self._broker.message_bytes
        if most is not None and len(data) > most - beside:
            limit = most - beside - (len(data) - len(body))
            raise MessageTooLarge(size=len(body), limit=limit, broker=str(self._broker))
        return data

    def _channel_of(self, header: Header) -> str:
        if header.kind is Kind.MESSAGE and header.room is not None:  # nearly all are
            return self.channels.room(header.room)
        if header.kind is Kind.ANSWER or (header.kind in _TO_ONE and header.user is not None):
            return self.channels.process(header.user or "")
        if header.kind in (Kind.ALIVE, Kind.BYE, Kind.ASK, Kind.PRESENCE_ASK):
            return self.channels.everyone
        if header.room is not None:
            return self.channels.room(header.room)
        return self.channels.everyone if header.user is None else self.channels.user(header.user)

    def _wanted(self, channel: str) -> bool:
        if channel in (self.channels.everyone, self.channels.process(self.process)):
            return True
        return not self._local.forget(channel)
