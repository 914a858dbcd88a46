"""What is NATS's own; what every broker does is in `test_broker_conformance`."""

import asyncio
import importlib.util
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from nats.errors import ConnectionClosedError, Error, SecureConnWantedError, UnexpectedEOF

from fastapi_rooms.brokers import BrokerConnection, BrokerTimings, nats
from fastapi_rooms.brokers.nats import NatsBroker
from fastapi_rooms.brokers.nats_address import parsed
from fastapi_rooms.errors import BrokerOverflow, BrokerUnavailable, ConfigurationError
from rfc.certificate import make_certificate

from .engines import STEADY
from .nats_engine import UNHURRIED, NatsEngine
from .ports import free_port

SECRET = "correct-horse"


@pytest.fixture(scope="module")
def server() -> Iterator[NatsEngine]:
    yield from started(NatsEngine())


def started(engine: NatsEngine) -> Iterator[NatsEngine]:
    with closing(engine):
        engine.start()
        yield engine


@asynccontextmanager
async def connected(broker: NatsBroker) -> AsyncIterator[BrokerConnection]:
    async with asyncio.timeout(60):
        connection = await broker.connect()
        try:
            yield connection
        finally:
            await connection.close()


def steady(server: str) -> NatsBroker:
    return NatsBroker(server, timings=STEADY)


async def forever(connection: BrokerConnection) -> None:
    while True:
        await connection.receive()


async def echo(connection: BrokerConnection, data: bytes) -> bytes:
    await connection.subscribe(["rooms.all"])
    await connection.publish([("rooms.all", data)])
    return (await connection.receive())[1]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nats://",
        f"http://user:{SECRET}@host:4222",
        f"ws://user:{SECRET}@host:4222",
        f"nats://user:{SECRET}@host:port",
        f"nats://user:{SECRET}@host:99999",
        f"nats://user:{SECRET}@:4222",
        f"nats://user:{SECRET}/@host:4222",
        f"nats://user:12/{SECRET}@host:4222",
        f"nats://user:12#{SECRET}@host:4222",
        f"nats://user:12?{SECRET}@host:4222",
        f"nats://user:{SECRET}@host:4222/path",
        f"nats://user:{SECRET}@[::1:4222",
        f"nats://user:{SECRET}@one,two",
        f"nats://user:{SECRET}@a host",
        f"nats://user:{SECRET}@one:4222,nats://user:{SECRET}@two:4222",
    ],
)
def test_a_url_that_cannot_work_is_an_error_that_does_not_tell_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NatsBroker(["nats://good:4222", url])
    assert SECRET not in f"{caught.value}{caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_servers_at_all_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="needs a server"):
        NatsBroker([])


def test_a_prefix_that_cannot_work_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        NatsBroker("nats://host", prefix="a.b")


@pytest.mark.parametrize(
    ("servers", "text"),
    [
        ("host", "NATS at host:4222"),
        ("host:4333", "NATS at host:4333"),
        ("nats://host/", "NATS at host:4222"),
        ("tls://[::1]:4222", "NATS at [::1]:4222"),
        (f"nats://user:{SECRET}@host", "NATS at host:4222"),
        (f"nats://{SECRET}@host", "NATS at host:4222"),
        ([f"nats://user:{SECRET}@one", f"tls://user:{SECRET}@two:1"], "NATS at one:4222, two:1"),
    ],
)
def test_a_broker_says_where_it_is_and_not_the_password(servers: str | list[str], text: str) -> None:
    broker = NatsBroker(servers)
    assert str(broker) == text
    assert SECRET not in repr(broker.__dict__)


async def test_a_server_that_is_not_there_does_not_keep_from_the_others(server: NatsEngine) -> None:
    broker = NatsBroker([f"nats://127.0.0.1:{free_port()}", f"nats://127.0.0.1:{server.port}"], timings=STEADY)
    for _ in range(8):  # the order is random
        async with connected(broker) as connection:
            assert await echo(connection, b"heard") == b"heard"


async def test_a_server_that_says_nothing_does_not_keep_from_the_others(server: NatsEngine) -> None:
    async with fake_server(greets=False) as silent:
        broker = NatsBroker([silent.url, f"nats://127.0.0.1:{server.port}"], timings=replace(STEADY, connect=8.0))
        while not silent.accepted:
            async with connected(broker) as connection:
                assert await echo(connection, b"heard") == b"heard"


async def test_where_no_server_is_to_be_had_the_reason_is_raised() -> None:
    broker = NatsBroker([f"nats://127.0.0.1:{free_port()}", f"nats://127.0.0.1:{free_port()}"], timings=STEADY)
    with pytest.raises(ConnectionRefusedError):
        await broker.connect()


async def test_a_server_that_hangs_up_instead_of_a_welcome_is_not_a_connection() -> None:
    async with fake_server(answers=0) as server:
        with pytest.raises(Error):
            await NatsBroker(server.url, timings=STEADY).connect()


async def test_user_and_password_are_taken_from_the_url_percent_decoded() -> None:
    config = f'authorization {{ {UNHURRIED}, user: "us@er", password: "p@ss:w/rd%" }}'
    for engine in started(NatsEngine(config=config)):
        good = NatsBroker(f"nats://us%40er:p%40ss%3Aw%2Frd%25@127.0.0.1:{engine.port}", timings=STEADY)
        async with connected(good) as connection:
            assert await echo(connection, b"in") == b"in"
        bad = NatsBroker(f"nats://us%40er:{SECRET}@127.0.0.1:{engine.port}", timings=STEADY)
        with pytest.raises(Exception, match=r"(?i)authorization") as caught:
            await bad.connect()
        assert SECRET not in repr(caught.value)


async def test_a_token_is_taken_from_the_url() -> None:
    for engine in started(NatsEngine(config=f'authorization {{ {UNHURRIED}, token: "s3cr3t" }}')):
        async with connected(NatsBroker(f"nats://s3cr3t@127.0.0.1:{engine.port}", timings=STEADY)) as connection:
            assert await echo(connection, b"in") == b"in"


async def test_a_subject_that_is_not_permitted_ends_the_connection() -> None:
    user = '{ user: u, password: p, permissions: { subscribe: "rooms.>" } }'
    config = f"authorization {{ {UNHURRIED}, users: [{user}] }}"
    for engine in started(NatsEngine(config=config)):
        async with connected(NatsBroker(f"nats://u:p@127.0.0.1:{engine.port}", timings=STEADY)) as connection:
            assert await echo(connection, b"in") == b"in"
            with pytest.raises(Error, match="permissions violation"):
                await connection.subscribe(["others.all"])
            with pytest.raises(Error, match="permissions violation"):
                await connection.receive()


async def test_messages_travel_encrypted(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    config = f'tls {{ cert_file: "{certificate.chain}", key_file: "{certificate.key}", {UNHURRIED} }}'
    for engine in started(NatsEngine(config=config)):
        url = f"tls://127.0.0.1:{engine.port}"
        broker = NatsBroker(url, timings=STEADY, tls=certificate.trusted())
        async with connected(broker) as connection:
            assert await echo(connection, bytes(100_000)) == bytes(100_000)
            engine.kill()
            with pytest.raises((Error, OSError)):
                await connection.receive()
            engine.start()
        with pytest.raises(ssl.SSLCertVerificationError):
            await steady(url).connect()


async def test_no_password_is_sent_to_a_server_that_does_not_encrypt() -> None:
    async with fake_server() as server:
        broker = NatsBroker(server.url.replace("nats://", f"tls://user:{SECRET}@"), timings=STEADY)
        with pytest.raises(SecureConnWantedError):
            await broker.connect()
        await server.gone.wait()
        assert server.lines == []


def test_a_credentials_file_needs_the_package_that_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"fastapi-rooms\[nats\]"):
        NatsBroker("nats://host", user_credentials="user.creds")


def test_a_credentials_file_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ConfigurationError, match="not a file"):
        NatsBroker("nats://host", user_credentials=tmp_path / "user.creds")
    (tmp_path / "user.creds").touch()
    NatsBroker("nats://host", user_credentials=tmp_path / "user.creds")


async def test_more_messages_than_may_wait_end_the_connection(server: NatsEngine) -> None:
    async with connected(steady(f"127.0.0.1:{server.port}")) as connection:
        await connection.subscribe(["rooms.all"])
        for _ in range(10):
            await connection.publish([("rooms.all", b"flood")] * 1000)
        with pytest.raises(BrokerOverflow):
            await connection.publish([("rooms.all", b"one more")])
        with pytest.raises(BrokerOverflow):
            await connection.receive()


async def test_messages_that_nats_py_would_drop_end_the_connection(
    server: NatsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats, "MOST_WAITING", 5)
    async with connected(steady(f"127.0.0.1:{server.port}")) as connection:
        await connection.subscribe(["rooms.all"])
        receiving = asyncio.create_task(forever(connection))
        with pytest.raises(BrokerOverflow):
            await connection.publish([("rooms.all", b"flood")] * 1000)
        with pytest.raises(BrokerOverflow):
            await receiving


async def test_a_server_that_goes_away_ends_receive_at_once() -> None:
    for engine in started(NatsEngine()):
        async with connected(steady(f"127.0.0.1:{engine.port}")) as connection:
            receiving = asyncio.create_task(connection.receive())
            await connection.subscribe(["rooms.all"])
            engine.kill()
            done, _ = await asyncio.wait((receiving,), timeout=STEADY.publish / 2)
            assert done
            assert receiving.exception() is not None


async def test_a_confirmation_that_was_not_waited_for_ends_the_connection() -> None:
    async with fake_server(answers=1, hangs_up=False) as server, connected(steady(server.url)) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.publish([("rooms.all", b"")])
        with pytest.raises(Exception, match="not confirmed"):
            await connection.receive()


async def test_a_server_that_does_not_confirm_in_time_ends_the_connection() -> None:
    async with fake_server(answers=1, hangs_up=False) as server:
        broker = NatsBroker(server.url, timings=BrokerTimings(publish=0.05))
        async with connected(broker) as connection:
            with pytest.raises(BrokerUnavailable, match="not confirmed") as caught:
                await connection.publish([("rooms.all", b"")])
            assert caught.value.maybe_published
            with pytest.raises(BrokerUnavailable):
                await connection.receive()


async def test_whoever_waits_for_a_confirmation_hears_at_once_that_the_server_hung_up() -> None:
    async with fake_server(answers=1) as server:
        broker = NatsBroker(server.url, timings=BrokerTimings(publish=60))
        async with connected(broker) as connection, asyncio.timeout(30):
            with pytest.raises(UnexpectedEOF):
                await connection.publish([("rooms.all", b"")])
            with pytest.raises((Error, OSError)):
                await connection.publish([("rooms.all", b"")])


async def test_an_attempt_to_connect_that_is_cancelled_leaves_nothing_behind() -> None:
    async with fake_server(greets=False) as server:
        connecting = asyncio.create_task(NatsBroker(server.url, timings=BrokerTimings(connect=60.0)).connect())
        async with asyncio.timeout(30):
            await server.met.wait()
        connecting.cancel()  # and not once more, as a deadline around the attempt would
        await asyncio.wait((connecting,), timeout=30)
        assert connecting.cancelled()
        async with asyncio.timeout(30):
            await server.gone.wait()


async def test_a_closed_connection_takes_nothing(server: NatsEngine) -> None:
    connection = await steady(f"127.0.0.1:{server.port}").connect()
    await connection.close()
    for call in (
        connection.publish([("rooms.all", b"")]),
        connection.subscribe(["rooms.all"]),
        connection.receive(),
    ):
        with pytest.raises(ConnectionClosedError):
            await call


async def test_a_connection_that_was_never_opened_can_be_closed() -> None:
    connection = nats._NatsConnection(parsed("host", secure=False), timeout=1.0)
    await connection.close()
    connection._transport.write(b"PING\r\n")  # what nats-py may still do
    with pytest.raises(ConnectionClosedError):
        await connection.publish([])


async def test_message_bytes_follow_the_server() -> None:
    for engine in started(NatsEngine(config="max_payload: 65536")):
        broker = steady(f"127.0.0.1:{engine.port}")
        assert broker.message_bytes == 1024 * 1024
        async with connected(broker) as connection:
            assert broker.message_bytes == 65536
            assert await echo(connection, bytes(65536)) == bytes(65536)


@pytest.mark.parametrize("publish", [False, True])
async def test_a_confirmation_is_of_what_was_sent_before(publish: bool) -> None:
    async with fake_server() as server, connected(steady(server.url)) as connection:
        if publish:
            await connection.publish([("rooms.all", b"data")])
        else:
            await connection.subscribe(["rooms.all"])
        command = next(line for line in server.lines if line.startswith(b"PUB" if publish else b"SUB"))
        assert b"PING\r\n" in server.lines[server.lines.index(command) :]


@dataclass
class FakeServer:
    """Speaks just enough NATS to be connected to, and keeps what it is told."""

    greets: bool
    answers: int
    hangs_up: bool
    url: str = ""
    accepted: int = 0
    lines: list[bytes] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.met.set()
        try:
            if self.greets:
                writer.write(b'INFO {"server_id":"fake","version":"2.12.0","max_payload":1048576}\r\n')
                await self._answer(reader, writer)
            else:
                await reader.read()
        finally:
            self.gone.set()
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.lines.append(line)
            if line == b"PING\r\n":
                if self.answers:
                    self.answers -= 1
                    writer.write(b"PONG\r\n")
                elif self.hangs_up:
                    return


@asynccontextmanager
async def fake_server(
    *, greets: bool = True, answers: int = 1000, hangs_up: bool = True
) -> AsyncIterator[FakeServer]:
    fake = FakeServer(greets=greets, answers=answers, hangs_up=hangs_up)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()
