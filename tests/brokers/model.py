"""What clients must have seen, may have seen, and must not: rooms in several processes, without any process."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

Channel = tuple[str, str]
"""Whom a message is for: "room", "user" or "all", and which one."""

EVERYONE: Channel = ("all", "")


def room_channel(room: str) -> Channel:
    return ("room", room)


def user_channel(user: str) -> Channel:
    return ("user", user)


class Reach(Enum):
    """Who gets a message, of those whom it is for."""

    EVERYWHERE = "all of them"
    HERE = "those in the process that sends it, and nobody else"
    HERE_AND_PERHAPS = "those in the process that sends it, and perhaps others"
    PERHAPS = "any of them, or nobody"


@dataclass(eq=False)
class Guest:
    """A client of the model.

    Attributes:
        number: Its own.
        user: Whose it is.
        home: The process that it is connected to.
        channels: What reaches it now.
        must: Messages that it gets, if it has not got them already.
        may: Messages that it perhaps gets.
        got: What it has got since the last look, in order.
        gone: Whether it is connected no more.
    """

    number: int
    user: str
    home: str
    channels: set[Channel] = field(default_factory=set)
    must: set[int] = field(default_factory=set)
    may: set[int] = field(default_factory=set)
    got: list[int] = field(default_factory=list)
    gone: bool = False

    @property
    def rooms(self) -> list[str]:
        return sorted(name for kind, name in self.channels if kind == "room")

    @property
    def waits(self) -> bool:
        """Whether something has not come yet that must."""
        return not self.must <= set(self.got)

    def doubt(self, number: int) -> None:
        """It may have missed the message."""
        if number in self.must:
            self.must.remove(number)
            self.may.add(number)


@dataclass(eq=False)
class Message:
    """A message on its way, or perhaps there already.

    Attributes:
        number: What it says.
        channel: Whom it is for.
        by: Who sends it.
        excluded: Who does not get it.
        excluded_users: Whose clients do not get it.
        audience: Who was reached by the channel when it was sent.
    """

    number: int
    channel: Channel
    by: str
    excluded: Collection[Guest] = field(repr=False)
    excluded_users: Collection[str]
    audience: Collection[Guest] = field(default=(), repr=False)

    def is_for(self, guest: Guest) -> bool:
        here = not guest.gone and self.channel in guest.channels
        return here and guest not in self.excluded and guest.user not in self.excluded_users


class Model:
    """Guests, and the messages between two looks at what they have got.

    What is on its way when a guest comes, it may get; when a guest goes, it may miss.

    Args:
        one_order: Whether all members of a room get all messages in one order; else in the order of each sender.
    """

    def __init__(self, *, one_order: bool) -> None:
        self.guests: list[Guest] = []
        self._one_order = one_order
        self._gone: list[Guest] = []
        self._messages: dict[int, Message] = {}
        self._travelling: set[int] = set()
        self._unordered: set[int] = set()
        self._guests = self._numbers = 0

    # Who is where.

    def enter(self, user: str, home: str) -> Guest:
        self._guests += 1
        guest = Guest(self._guests, user, home)
        self.guests.append(guest)
        self.join(guest, EVERYONE)
        self.join(guest, user_channel(user))
        return guest

    def join(self, guest: Guest, channel: Channel) -> None:
        guest.channels.add(channel)
        for number in self._travelling - guest.must:
            message = self._messages[number]
            if message.channel == channel and message.is_for(guest):
                guest.may.add(number)

    def leave(self, guest: Guest, channel: Channel, *, told_by: str | None = None) -> None:
        """End what reaches the guest; `told_by`: who said so in that channel, after what he had said before."""
        guest.channels.discard(channel)
        for number in self._travelling:
            message = self._messages[number]
            before = told_by is not None and (self._one_order or message.by == told_by)
            if message.channel == channel and not before:
                guest.doubt(number)

    def go(self, guest: Guest, channel: Channel | None = None, *, told_by: str | None = None) -> None:
        """It is connected no more: it has hung up; or it was told so in a channel, which may be a room's."""
        for one in tuple(guest.channels):
            self.leave(guest, one, told_by=told_by if one == channel else None)
        if channel is None:
            for number in tuple(guest.must):
                guest.doubt(number)
        guest.gone = True
        self.guests.remove(guest)
        self._gone.append(guest)

    def at(self, home: str, channel: Channel = EVERYONE) -> list[Guest]:
        return [guest for guest in self.reached(channel) if guest.home == home]

    def reached(self, channel: Channel) -> list[Guest]:
        return [guest for guest in self.guests if channel in guest.channels]

    def listens(self, home: str) -> set[Channel]:
        """The channels that a process needs."""
        return {channel for guest in self.at(home) for channel in guest.channels} | {EVERYONE}

    # What is sent.

    def send(
        self, channel: Channel, by: str, *, excluded: Collection[Guest] = (), excluded_users: Collection[str] = ()
    ) -> Message:
        """A message is about to be sent; then `sent` says how far it goes."""
        self._numbers += 1
        message = Message(self._numbers, channel, by, excluded, excluded_users)
        message.audience = [guest for guest in self.guests if message.is_for(guest)]
        self._messages[message.number] = message
        return message

    def sent(self, message: Message, reach: Reach) -> None:
        number = message.number
        if reach is not Reach.HERE:
            self._travelling.add(number)
        if reach is not Reach.EVERYWHERE:
            self._unordered.add(number)
        for guest in message.audience:
            here = guest.home == message.by and reach is not Reach.PERHAPS
            if here or reach is Reach.EVERYWHERE:
                guest.must.add(number)
            elif reach is not Reach.HERE:
                guest.may.add(number)

    def nothing_is_certain(self) -> None:
        """What travelled may be lost."""
        for guest in self.guests:
            for number in self._travelling:
                guest.doubt(number)

    # What has come.

    def settle(self) -> None:
        """Look at what everybody has got, all of which has come; nothing is on its way any more."""
        everybody = self.guests + self._gone
        for guest in everybody:
            self._look_at(guest)
        if self._one_order:
            self._look_for_one_order(everybody)
        for guest in everybody:
            guest.must, guest.may, guest.got = set(), set(), []
        self._gone, self._messages = [], {}
        self._travelling, self._unordered = set(), set()

    def _look_at(self, guest: Guest) -> None:
        got = set(guest.got)
        assert len(got) == len(guest.got), f"{guest} got something twice"
        assert got >= guest.must, f"{guest} missed {self._said(guest.must - got)}"
        strange = got - guest.must - guest.may
        assert not strange, f"{guest} should not have got {self._said(strange)}, or not again"
        for sequence in self._sequences(guest, of_one_sender=True):
            assert sequence == sorted(sequence), f"{guest} got {sequence} of one sender in that order"

    def _look_for_one_order(self, guests: Iterable[Guest]) -> None:
        order: TopologicalSorter[int] = TopologicalSorter()
        for guest in guests:
            for sequence in self._sequences(guest, of_one_sender=False):
                for before, after in pairwise(one for one in sequence if one not in self._unordered):
                    order.add(after, before)
        try:
            order.prepare()
        except CycleError as error:
            raise AssertionError(f"not everybody got {error.args[1]} in one order") from error

    def _sequences(self, guest: Guest, *, of_one_sender: bool) -> Iterable[list[int]]:
        sequences: dict[tuple[Channel, str], list[int]] = defaultdict(list)
        for number in guest.got:
            message = self._messages[number]
            sequences[message.channel, message.by if of_one_sender else ""].append(number)
        return sequences.values()

    def _said(self, numbers: Iterable[int]) -> Sequence[object]:
        return [self._messages.get(number, number) for number in sorted(numbers)]
