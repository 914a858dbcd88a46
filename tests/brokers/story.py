"""Managers on one engine, and the model that says what their clients get: every act is done to both."""

import asyncio
import itertools
from collections.abc import Collection
from dataclasses import replace

from fastapi_rooms import BrokerUnavailable, Delivery, Publisher

from .cast import Client, Phase, Process
from .engines import STEADY, Engine
from .model import EVERYONE, Channel, Model, Reach, room_channel, user_channel
from .workers import Manager, Worker

ROOMS = ("red", "blue", "a.b *")
USERS = ("ann", "bob", "cat")
CHANNELS = (EVERYONE, *map(room_channel, ROOMS), *map(user_channel, USERS))

TIMINGS = replace(STEADY, linger=0.02, answer=5.0)
"""Rooms linger shorter than a story, longer than a step of it: they are left, and come back to in time. Processes
that ended unheard are asked, too: not for as long as elsewhere."""

_PREFIXES = itertools.count()


class Story:
    """Three processes, a publisher, their clients, and the model.

    Attributes:
        phase: How the engine is.
        processes: Those that run.
        clients: Those that are connected.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.phase = Phase.STEADY
        self.processes: list[Process] = []
        self.clients: list[Client] = []
        self._prefix = f"story{next(_PREFIXES)}"
        self._model = Model(one_order=engine.one_order)
        self._names = itertools.count()
        self._publisher = Publisher(engine.broker(prefix=self._prefix, timings=TIMINGS))
        self._publisher_is_connected = True
        self._gone: list[Client] = []

    async def begin(self) -> None:
        for _ in range(3):
            self.processes.append(await self._start())
        await self.steady()

    async def end(self) -> None:
        """Let go of everything, however the story went."""
        self.recover()
        for process in self.processes:
            await process.worker.__aexit__()
        await self._publisher.close()

    # What processes and the engine do.

    async def replace(self, place: int) -> None:
        """A process ends, its clients with it, and another one starts."""
        old = self.processes[place]
        for client in self._clients_at(old):
            self._is_gone(client)
        await old.worker.client.shut_down()
        await old.worker.__aexit__()
        self.processes[place] = await self._start()
        if self.phase is Phase.STEADY:
            await self.steady()

    async def kill(self, *, meanwhile: Collection[Channel]) -> None:
        """Kill the engine while messages are on their way to these channels."""
        self.phase = Phase.DYING
        for one in self.processes:
            one.outages = one.cluster.supervisor.outages + 1
        saying = [asyncio.create_task(self.say(one, to)) for one in self.processes for to in meanwhile]
        for _ in range(3):
            await asyncio.sleep(0)
        self.engine.kill()
        self._model.nothing_is_certain()
        await asyncio.gather(*saying)
        self.phase = Phase.DOWN
        self._publisher_is_connected = False

    def recover(self) -> None:
        if self.phase is Phase.DOWN:
            self.engine.start()
            self.phase = Phase.COMING

    async def steady(self) -> None:
        """Wait until all processes know of the last outage, and of each other, where there is an engine."""
        if self.phase is Phase.DOWN:
            return
        for one in self.processes:
            await one.steady(self.processes)
        self.phase = Phase.STEADY

    # What clients do.

    async def connect(self, place: int, user: str) -> None:
        process = self.processes[place]
        before = set(process.manager.connections)
        socket = await process.worker.join(user)
        (connection,) = set(process.manager.connections) - before
        self.clients.append(Client(self._model.enter(user, process.name), process, socket, connection))

    async def join(self, client: Client, room: str, *, saying: bool) -> None:
        """Join; `saying`: and something is said there as soon as it is a member, before `on_join`."""
        new = room not in client.guest.rooms
        joining = asyncio.create_task(client.manager.join(client.connection, room))
        await client.member(room, joining)
        self._model.join(client.guest, room_channel(room))
        if saying:
            await self.say(client.process, room_channel(room))
        assert (await joining).new is new

    async def leave(self, client: Client, room: str) -> None:
        member = room in client.guest.rooms
        assert await client.manager.leave(client.connection, room) is member
        if member:
            self._has_left(client, room)

    async def hang_up(self, client: Client, *, abruptly: bool) -> None:
        self._is_gone(client)
        await (client.socket.vanish() if abruptly else client.socket.close())
        await client.gone()

    # What is said.

    async def say(
        self,
        by: Process,
        to: Channel,
        *,
        excluded: Collection[Client] = (),
        excluded_users: Collection[str] = (),
    ) -> None:
        guests = [one.guest for one in excluded]
        message = self._model.send(to, by.name, excluded=guests, excluded_users=excluded_users)
        here = sum(guest.home == by.name for guest in message.audience)
        text, exclude = str(message.number), [one.connection for one in excluded]
        if to == EVERYONE:
            delivery = await by.manager.broadcast(text, exclude=exclude, exclude_users=excluded_users)
        elif to[0] == "room":
            delivery = await by.manager.broadcast(text, room=to[1], exclude=exclude, exclude_users=excluded_users)
        else:
            delivery = await by.manager.send_to_user(to[1], text)
        self._model.sent(message, self._reach(delivery, here))

    async def publish(self, to: Channel, *, excluded_users: Collection[str] = ()) -> None:
        """The same, by who is no process of ours."""
        message = self._model.send(to, "publisher", excluded_users=excluded_users)
        text = str(message.number)
        connected, self._publisher_is_connected = self._publisher_is_connected, self.phase is not Phase.DOWN
        reach = Reach.EVERYWHERE if self.phase is Phase.STEADY else Reach.PERHAPS
        try:
            if to[0] == "room":
                await self._publisher.publish(to[1], text, exclude_users=excluded_users)
            else:
                await self._publisher.send_to_user(to[1], text)
        except BrokerUnavailable:
            assert self.phase is not Phase.STEADY or not connected
            reach = Reach.PERHAPS
        self._model.sent(message, reach)

    async def say_at_once(self, channels: Collection[Channel]) -> None:
        """Everybody speaks in all of these channels, at the same time."""
        saying = [self.say(one, to) for one in self.processes for to in channels]
        saying += [self.publish(to) for to in channels if to != EVERYONE]
        await asyncio.gather(*saying)

    # What ends memberships and connections from afar.

    async def close_room(self, place: int, room: str, *, code: int | None) -> None:
        """Close a room, with something said before and after it."""
        await self.steady()
        process, to = self.processes[place], room_channel(room)
        here, members = len(self._model.at(process.name, to)), self._reached_by(process, to)
        await self.say(process, to)
        assert await process.manager.close_room(room, code=code) == here
        for client in members:
            if code is None:
                self._has_left(client, room, told_by=process.name)
            else:
                self._is_gone(client, to, told_by=process.name)
        await self.say(process, to)
        for client in members:
            await (client.outside(room) if code is None else client.sent_away(code))
        await self._all_have_heard(process)

    async def disconnect_user(self, place: int, user: str) -> None:
        await self.steady()
        process, to = self.processes[place], user_channel(user)
        here, clients = len(self._model.at(process.name, to)), self._reached_by(process, to)
        assert await process.manager.disconnect_user(user) == here
        for client in clients:
            self._is_gone(client, to, told_by=process.name)
        for client in clients:
            await client.sent_away(4507)
        await self._all_have_heard(process)

    # What is asked.

    async def ask(self, place: int, room: str) -> None:
        await self.steady()
        process = self.processes[place]
        members = self._reached_by(process, room_channel(room))
        count, those = await process.manager.count(room), await process.manager.members(room)
        assert count == len(members)
        assert {(one.connection_id, one.user_id) for one in those} == {
            (one.connection.id, one.guest.user) for one in members
        }
        if self.phase is Phase.STEADY:
            others = {one.cluster.process for one in self.processes}
            assert not (count.missing | those.missing) & others

    def look(self) -> None:
        """Who is where, as each process has it."""
        for process in self.processes:
            for room in ROOMS:
                here = {one.connection for one in self._clients_at(process) if room in one.guest.rooms}
                assert set(process.manager.members_here(room)) == here
            assert set(process.manager.connections) == {one.connection for one in self._clients_at(process)}
            assert process.manager.health() is not None

    async def settle(self) -> None:
        """Wait until everything has come, and look at all of it."""
        await self.steady()
        await self.say_at_once(CHANNELS)
        for client in self.clients:
            await client.read()
        for client in self.clients + self._gone:
            client.guest.got += map(int, client.socket.take_received())
        self._model.settle()
        self._gone.clear()
        for process in self.processes:
            await process.settle(self._model.listens(process.name), connected=self.phase is Phase.STEADY)

    # Inside.

    async def _start(self) -> Process:
        name = f"process {next(self._names)}"
        worker = Worker(Manager(self.engine.broker(prefix=self._prefix, timings=TIMINGS)))
        return Process(name, await worker.__aenter__())

    async def _all_have_heard(self, process: Process) -> None:
        """Wait for processes that had nobody to send away: they would send away who comes next."""
        if self.phase is Phase.STEADY:
            await process.manager.count(ROOMS[0])  # their answers come after what they were told before

    def _reach(self, delivery: Delivery, here: int) -> Reach:
        """How far a message goes, as `Delivery` and the engine say."""
        local = delivery.scope == "local"
        if self.phase is Phase.STEADY:
            assert not local, f"{delivery}, though all processes are connected"
            return Reach.EVERYWHERE
        if local:
            assert self.phase is not Phase.DOWN or delivery.queued == here, f"{delivery}, and {here} members"
            return Reach.HERE if self.phase is Phase.DOWN else Reach.HERE_AND_PERHAPS
        assert self.phase is not Phase.DOWN, f"{delivery}, though the engine is dead"
        return Reach.PERHAPS if self.phase is Phase.DYING else Reach.HERE_AND_PERHAPS

    def _reached_by(self, process: Process, to: Channel) -> list[Client]:
        """Whom control reaches that the process tells."""
        return [
            one
            for one in self.clients
            if to in one.guest.channels and (self.phase is Phase.STEADY or one.process is process)
        ]

    def _clients_at(self, process: Process) -> list[Client]:
        return [one for one in self.clients if one.process is process]

    def _has_left(self, client: Client, room: str, *, told_by: str | None = None) -> None:
        self._model.leave(client.guest, room_channel(room), told_by=told_by)
        client.process.left.append((client.guest.user, room))

    def _is_gone(self, client: Client, channel: Channel | None = None, *, told_by: str | None = None) -> None:
        client.process.left += [(client.guest.user, room) for room in client.guest.rooms]
        self._model.go(client.guest, channel, told_by=told_by)
        self.clients.remove(client)
        self._gone.append(client)
