"""A NATS that knows its users by JWT and NKey: who is let in, who is not, and files that change."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nats.errors import Error

from fastapi_rooms.brokers.nats import NatsBroker
from fastapi_rooms.cluster.health import BrokerHealth
from fastapi_rooms.testing import eventually
from rfc.certificate import Certificate, make_certificate

from .engines import STEADY, running
from .nats_engine import UNHURRIED, NatsEngine
from .nats_keys import Operator, User, account
from .workers import SOON, Manager, Worker, workers

OPERATOR = Operator()
OURS = account()
THEIRS = account()


@pytest.fixture(scope="module")
def server() -> Iterator[NatsEngine]:
    """One that knows two accounts."""
    with running(NatsEngine(config=OPERATOR.config(OURS, THEIRS))) as engine:
        yield engine


@pytest.fixture
def good() -> str:
    """What is in a credentials file of a user of ours."""
    return User(OURS).credentials()


@pytest.fixture
def file(tmp_path: Path, good: str) -> Path:
    """That file."""
    return written(tmp_path / "user.creds", good)


def written(path: Path, text: str) -> Path:
    path.write_text(text, newline="")
    return path


def manager(engine: NatsEngine, file: Path) -> Manager:
    return Manager(NatsBroker(engine.url, timings=STEADY, user_credentials=file))


def health(worker: Worker) -> BrokerHealth:
    found = worker.manager.health()
    assert found is not None
    return found


async def said_by(worker: Worker, room: str) -> str:
    """How far what this process says in the room goes."""
    return (await worker.manager.broadcast("hello", room=room)).scope


async def refused(engine: NatsEngine, file: Path) -> str:
    """What a process says whose broker does not let it in: it runs, and is local."""
    async with workers(1, lambda: manager(engine, file)) as (worker,):
        assert not health(worker).connected
        assert await said_by(worker, "red") == "local"
        socket = await worker.join("ann", "red")
        assert await said_by(worker, "red") == "local"
        assert await socket.receive_text() == "hello"
        return health(worker).error or ""


async def test_processes_with_a_credentials_file_reach_each_other(server: NatsEngine, file: Path) -> None:
    async with workers(2, lambda: manager(server, file)) as (near, far):
        socket = await far.join("ann", "red")
        assert await said_by(near, "red") == "cluster"
        assert await socket.receive_text() == "hello"


async def test_another_account_on_the_same_server_hears_nothing(
    server: NatsEngine, file: Path, tmp_path: Path
) -> None:
    foreign = written(tmp_path / "their.creds", User(THEIRS).credentials())
    files = iter((file, file, foreign))
    async with workers(3, lambda: manager(server, next(files))) as (near, far, stranger):
        ours, theirs = await far.join("ann", "red"), await stranger.join("bob", "red")
        assert await said_by(near, "red") == "cluster"
        assert await ours.receive_text() == "hello"
        await stranger.manager.broadcast("theirs", room="red")
        assert await theirs.receive_text() == "theirs"
        assert health(stranger).peers == 0


def _with_a_wrong_seed() -> str:
    return User(OURS).credentials(seed=User(OURS).key.seed)


def _of_an_account_that_the_server_does_not_know() -> str:
    return User(account()).credentials()


def _whose_time_is_over() -> str:
    return User(OURS, good_for=-60).credentials()


@pytest.mark.parametrize(
    "credentials", [_with_a_wrong_seed, _of_an_account_that_the_server_does_not_know, _whose_time_is_over]
)
async def test_who_is_refused_stays_local_and_says_so_without_a_secret(
    server: NatsEngine,
    tmp_path: Path,
    credentials: Callable[[], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = credentials()
    with caplog.at_level(logging.DEBUG):
        error = await refused(server, written(tmp_path / "user.creds", text))
    assert "Authorization Violation" in error
    assert "Authorization Violation" in caplog.text
    assert_no_secret(text, in_text=error + caplog.text)


def assert_no_secret(credentials: str, *, in_text: str) -> None:
    for line in credentials.splitlines():
        if line.startswith(("ey", "SU")):
            assert line[:20] not in in_text


def _without_anything(text: str) -> str:
    return ""


def _without_a_seed(text: str) -> str:
    return text.partition("-----BEGIN USER")[0]


def _without_a_jwt(text: str) -> str:
    return text[text.index("-----BEGIN USER") :]


def _cut_in_the_middle_of_the_seed(text: str) -> str:
    return text[: text.index("\nSU") + 30]


def _not_even_ascii(text: str) -> str:
    return text.replace("\nSU", "\nSUé")


@pytest.mark.parametrize(
    ("spoil", "missing"),
    [
        (_without_anything, "user JWT"),
        (_without_a_jwt, "user JWT"),
        (_without_a_seed, "user NKey seed"),
        (_cut_in_the_middle_of_the_seed, "user NKey seed"),
        (_not_even_ascii, "user NKey seed"),
    ],
)
async def test_a_file_that_is_no_credentials_file_is_named_and_not_quoted(
    server: NatsEngine,
    file: Path,
    good: str,
    spoil: Callable[[str], str],
    missing: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written(file, spoil(good))
    error = await refused(server, file)
    assert error == f"ConfigurationError: NatsBroker: user_credentials={str(file)!r} has no {missing}"
    assert_no_secret(good, in_text=error + caplog.text)


async def test_a_seed_that_is_none_is_refused_and_not_quoted(
    server: NatsEngine, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = User(OURS).credentials(seed=f"SU{'A' * 30}")
    error = await refused(server, written(file, text))
    assert "invalid seed" in error
    assert_no_secret(text, in_text=error + caplog.text)


async def test_a_file_with_the_line_ends_of_windows_is_read(server: NatsEngine, file: Path, good: str) -> None:
    written(file, good.replace("\n", "\r\n"))
    async with workers(1, lambda: manager(server, file)) as (worker,):
        assert health(worker).connected


async def test_a_process_that_was_refused_comes_in_as_soon_as_its_file_is_right(
    server: NatsEngine, file: Path, good: str
) -> None:
    written(file, _with_a_wrong_seed())
    async with workers(1, lambda: manager(server, file)) as (worker,):
        assert not health(worker).connected
        written(file, good)
        await worker.manager.logged("restored")
        assert health(worker).error is None


async def test_a_file_that_was_removed_is_named_at_the_next_connection(server: NatsEngine, tmp_path: Path) -> None:
    broker = _whose_file_was_removed(server, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"user\.creds"):
        await broker.connect()


def _whose_file_was_removed(server: NatsEngine, directory: Path) -> NatsBroker:
    file = written(directory / "user.creds", User(OURS).credentials())
    broker = NatsBroker(server.url, timings=STEADY, user_credentials=file)
    file.unlink()
    return broker


async def test_a_file_that_changed_is_read_when_the_server_is_back(tmp_path: Path) -> None:
    old, new = User(OURS), User(OURS)
    file = written(tmp_path / "user.creds", old.credentials())
    with running(NatsEngine(config=OPERATOR.config(OURS))) as engine:
        async with workers(2, lambda: manager(engine, file)) as (near, far):
            socket = await far.join("ann", "red")
            engine.kill()
            for worker in (near, far):
                await worker.manager.logged("lost")
            engine.configure(OPERATOR.config(OURS, revoked=(old,)))
            engine.start()
            for worker in (near, far):
                await eventually(lambda worker=worker: revoked(worker), timeout=SOON)  # type: ignore[misc]
                assert await said_by(worker, "blue") == "local"
            written(file, new.credentials())
            for worker in (near, far):
                await worker.manager.logged("restored")
            assert await said_by(near, "red") == "cluster"
            assert await socket.receive_text() == "hello"


def revoked(worker: Worker) -> bool:
    return "Authorization Violation" in (health(worker).error or "")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def encrypting(certificate: Certificate) -> Iterator[NatsEngine]:
    """One that wants TLS, and no certificate of its clients."""
    tls = f'tls {{ cert_file: "{certificate.chain}", key_file: "{certificate.key}", {UNHURRIED} }}\n'
    with running(NatsEngine(config=tls + OPERATOR.config(OURS))) as engine:
        yield engine


def over_tls(engine: NatsEngine, certificate: Certificate, file: Path | None) -> NatsBroker:
    url = f"tls://127.0.0.1:{engine.port}"
    return NatsBroker(url, timings=STEADY, tls=certificate.trusted(), user_credentials=file)


async def test_over_tls_a_server_lets_in_who_has_a_credentials_file_and_nobody_else(
    encrypting: NatsEngine, certificate: Certificate, file: Path
) -> None:
    async with workers(1, lambda: Manager(over_tls(encrypting, certificate, file))) as (worker,):
        assert await said_by(worker, "red") == "cluster"
    with pytest.raises(Error, match="Authorization Violation"):
        await over_tls(encrypting, certificate, None).connect()


async def test_who_is_put_out_when_its_time_ends_says_so_and_comes_in_with_another_file(
    encrypting: NatsEngine, certificate: Certificate, file: Path, good: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Over TLS: there the server's reason comes together with the end.
    written(file, User(OURS, good_for=8).credentials())
    async with workers(1, lambda: Manager(over_tls(encrypting, certificate, file))) as (worker,):
        assert health(worker).connected
        await worker.manager.logged("lost")
        assert "user authentication expired" in caplog.text
        written(file, good)
        await worker.manager.logged("restored")
