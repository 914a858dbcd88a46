"""The commands that speak to a broker or a hub: `publish` says something in a room, `tail` prints what is said."""

import argparse
import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi_rooms.brokers.interface import Broker, BrokerConnection
from fastapi_rooms.brokers.memory import MemoryBroker
from fastapi_rooms.brokers.streams import Place, split_place
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.channels import Channels
from fastapi_rooms.client import FellBehind, Joined, Message, RoomsClient
from fastapi_rooms.cluster.failures import described
from fastapi_rooms.envelope import ForeignMessage, Header, Kind, unseal
from fastapi_rooms.errors import BrokerUnavailable, ConfigurationError, RoomsError
from fastapi_rooms.position import Position
from fastapi_rooms.publisher import Publisher

_URL: Final = "ROOMS_BROKER"

_PUBLISH: Final = """\
Send a text message to the members of a room, in every process of an app. Ends with 0 when the broker has taken it,
whether or not anybody is there. It is for who is: a room's history does not keep it.

  python -m fastapi_rooms publish lobby "We are back at noon." --broker redis://localhost:6379"""

_TAIL: Final = """\
Print the messages to a room as they come, one to a line, until Ctrl+C.

From a broker: all that is published, until the broker is lost. What a line cannot show is escaped; --json loses
nothing.

  python -m fastapi_rooms tail lobby --broker redis://localhost:6379

From a hub, as one of its clients: an object with "event", "data" and, where the room has a history, "position". A
lost connection is made anew, and what was missed is printed then.

  python -m fastapi_rooms tail lobby --url http://127.0.0.1:8000/live"""

_BROKER: Final = f"""\
URL: redis://, rediss://, unix://, valkey://, redis+cluster://, nats://, tls://, postgresql://. Other users of this
machine can see a password in a command line: the environment variable {_URL} takes the URL too"""


_TOKEN: Final = "ROOMS_TOKEN"  # noqa: S105 - the name of a variable

_HUB: Final = "where the hub's router is: http:// or https://, a host, and its prefix; needs the extra client"


_Line = Callable[[Header, bytes, Place | None], str]
"""What is printed of a message, and of its place in the room's history."""


class OutputClosed(RoomsError):
    """Nobody reads what is printed any more."""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `publish` and `tail` to the command line."""
    publishing = _add(commands, "publish", summary="send a message to a room", description=_PUBLISH)
    publishing.add_argument("message", metavar="MESSAGE", help="goes out as it is, as text")
    _add_broker(publishing, publishing, required=True)
    tailing = _add(commands, "tail", summary="print the messages to a room", description=_TAIL)
    source = tailing.add_mutually_exclusive_group()
    _add_broker(tailing, source, required=False)
    tailing.add_argument(
        "--json",
        action="store_true",
        help='print objects: "text" or "binary" (Base64), "process", and where given "key", "exclude_users", '
        '"position" (of rooms with history)',
    )
    source.add_argument("--url", help=_HUB)
    tailing.add_argument(
        "--token",
        default=os.environ.get(_TOKEN),
        help=f"for the hub; others can see it, but not in the environment variable {_TOKEN}",
    )
    tailing.add_argument(
        "--since", metavar="POSITION", help="in the hub's room: begin with what came after this message"
    )
    tailing.set_defaults(refuse=tailing.error)


def publish(room: str, message: str, *, url: str, prefix: str) -> None:
    """Send a message, and return when the broker has taken it.

    Raises:
        BrokerUnavailable: It has not, in time.
        ConfigurationError: The URL or the prefix cannot work.
    """
    asyncio.run(_publish(_broker(url, prefix), room, message))


def tail(room: str, *, url: str, prefix: str, as_json: bool) -> None:
    """Print messages until the broker is lost, or nobody reads them any more.

    Raises:
        BrokerUnavailable: It is out of reach, or lost.
        ConfigurationError: The URL or the prefix cannot work.
    """

    def line(header: Header, body: bytes, place: Place | None) -> str:
        if not as_json:
            return _plain_line(header, body)
        return _json_line(header, body, None if place is None else Position(room, place.epoch, place.offset))

    _run(_tail(_broker(url, prefix), room, line))


def tail_hub(room: str, *, url: str, token: str | None, since: str | None) -> None:
    """Print messages until the hub ends it, or nobody reads them any more.

    Raises:
        RoomsClientError: The hub does not take this client, or not into the room, or has ended it.
        ConfigurationError: The URL cannot work.
        MissingExtra: The extra `client` is not installed.
    """
    _run(_tail_hub(RoomsClient(url, token=token), room, since))


def check(options: argparse.Namespace) -> None:
    """End with what is wrong, where options of `tail` do not go together."""
    if options.url is None and options.broker is None:
        options.refuse("the following arguments are required: --broker, or --url")
    if options.url is None and options.since is not None:
        options.refuse("argument --since: a broker's messages have no position: it goes with --url")


def _run(tailing: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(tailing)
    except OutputClosed:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else Python complains when it flushes at exit


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, *, summary: str, description: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("room", metavar="ROOM", help="the room's name")
    return parser


def _add_broker(parser: argparse.ArgumentParser, group: "argparse._ActionsContainer", *, required: bool) -> None:
    given = os.environ.get(_URL)
    group.add_argument("--broker", metavar="URL", default=given, required=required and not given, help=_BROKER)
    parser.add_argument(
        "--prefix", default="rooms", help="must be that of the app's broker (default: %(default)s)"
    )


def _broker(url: str, prefix: str) -> Broker:
    broker = broker_from_url(url, prefix=prefix)
    if isinstance(broker, MemoryBroker):
        raise ConfigurationError("memory:// is within one process: no command reaches it")
    return broker


async def _publish(broker: Broker, room: str, message: str) -> None:
    async with Publisher(broker) as publisher:
        await publisher.publish(room, message)


async def _tail(broker: Broker, room: str, line: _Line) -> None:
    channel = Channels(broker.prefix).room(room)
    connection: BrokerConnection | None = None
    try:
        async with asyncio.timeout(broker.timings.connect):
            connection = await broker.connect()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_print(connection, channel, line), name="fastapi_rooms tail")
            async with asyncio.timeout(broker.timings.publish):
                await connection.subscribe([channel])
            sys.stderr.write(f"listening to room {room!r} at {broker}; Ctrl+C ends it\n")
    except* OutputClosed:
        raise OutputClosed from None
    except* RoomsError as errors:
        raise errors.exceptions[0] from None
    except* Exception as errors:  # noqa: BLE001 - drivers raise what they like
        raise BrokerUnavailable(f"{broker} is out of reach: {described(errors.exceptions[0])}") from None
    finally:
        if connection is not None:
            await connection.close()


async def _tail_hub(client: RoomsClient, room: str, since: str | None) -> None:
    def say(problem: object) -> None:
        sys.stderr.write(f"{problem}\n")

    def greet(joined: Joined) -> None:
        if not joined.again:
            say(f"listening to room {room!r}; Ctrl+C ends it")
        if joined.recovered is False or (joined.again and joined.recovered is None):
            say(f"messages may be missing here: {joined.reason or 'the room has no history'}")

    client.on_error(say)
    async with client:
        lobby = client.join(room, since=since)
        lobby.on_joined(greet)
        while True:
            try:
                async for message in lobby:
                    _write(_hub_line(message))
            except FellBehind as error:
                say(f"messages are missing here: {error.detail}")
            else:
                return


async def _print(connection: BrokerConnection, channel: str, line: _Line) -> None:
    while True:
        heard, data = await connection.receive()
        if heard != channel:
            continue
        try:
            place, sealed = split_place(data)
            header, body = unseal(sealed)
        except ForeignMessage as error:
            sys.stderr.write(f"{error}\n")
            continue
        if header.kind is Kind.MESSAGE:
            _write(line(header, body, place))


def _write(line: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise OutputClosed from None


def _plain_line(header: Header, body: bytes) -> str:
    """One line, of nothing that a terminal would obey."""
    if not header.text:
        return repr(body)
    text = body.decode(errors="replace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _hub_line(message: Message) -> str:
    told = {"event": message.event, "data": message.data}
    if message.position is not None:
        told["position"] = message.position
    return json.dumps(told, separators=(",", ":"))


def _json_line(header: Header, body: bytes, position: Position | None) -> str:
    message: dict[str, object] = {"process": header.process}
    if header.text:
        message["text"] = body.decode(errors="replace")
    else:
        message["binary"] = base64.b64encode(body).decode()
    if header.key is not None:
        message["key"] = header.key
    if header.exclude_users:
        message["exclude_users"] = header.exclude_users
    if position is not None:
        message["position"] = str(position)
    return json.dumps(message, separators=(",", ":"))
