"""The private Redis: which program it is, that it ends with its context, and what it says when it cannot start."""

import importlib.util
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fastapi_rooms import private_engine
from fastapi_rooms.private_engine import EngineFailed, EngineNotFound, private_redis

BROKEN = "#!/bin/sh\necho no memory left\nexit 1\n"


def ask(port: int, *lines: str) -> list[str]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        connection.makefile("r") as answers,
    ):
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        return [answers.readline().strip() for _ in lines]


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def test_it_answers_who_knows_the_password_and_nobody_else_and_is_gone_afterwards() -> None:
    with private_redis() as url:
        parts = urlsplit(url)
        assert parts.port is not None
        refused, *answers = ask(parts.port, "PING", f"AUTH {parts.password}", "PING")
        assert refused.startswith("-NOAUTH")
        assert answers == ["+OK", "+PONG"]
    with pytest.raises(ConnectionRefusedError):
        ask(parts.port, "PING")


def test_sigterm_ends_the_context_and_the_handler_of_before_is_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, private_redis() as url:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(ConnectionRefusedError):
        ask(urlsplit(url).port or 0, "PING")


def test_the_program_on_path_comes_before_the_one_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "valkey-server", BROKEN)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr(private_engine, "_NAMES", ("valkey-server",))
    with pytest.raises(EngineFailed) as failed, private_redis():
        pass
    assert failed.value.log == "no memory left\n"
    assert "no memory left" in str(failed.value)


def test_without_a_program_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineNotFound, match="fastapi-rooms"), private_redis():
        pass
