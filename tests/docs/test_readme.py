"""The README's examples, as a stranger runs them: files in an empty folder, and `uvicorn main:app`."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import connect

from .snippets import ROOT, Block, blocks_of

START_WITHIN = 60.0
STOP_WITHIN = 30.0
RUNNING = re.compile(rb"running on http://127\.0\.0\.1:(\d+)")


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[int]:
    """The folder's `main.py` on a free port, told to stop at the end; it must stop."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = (sys.executable, "-m", "uvicorn", "main:app", "--port", "0")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stderr=pipe)
    try:
        async with asyncio.timeout(START_WITHIN):
            port = await _port_of(process)
        yield port
        process.terminate()
        async with asyncio.timeout(STOP_WITHIN):
            _, output = await process.communicate()
        assert b"Traceback" not in output, output.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def block_with(words: str, language: str = "python") -> Block:
    """The README's block that has these words."""
    blocks = blocks_of(ROOT / "README.md")
    return next(one for one in blocks if one.language == language and words in one.code)


def with_endpoints(folder: Path) -> Path:
    """The example that keeps its own endpoints, in one file."""
    (folder / "main.py").write_text(block_with("rooms = RoomManager()").code, encoding="utf-8")
    return folder


async def _port_of(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    seen = b""
    while line := await process.stderr.readline():
        seen += line
        if found := RUNNING.search(line):
            return int(found[1])
    raise AssertionError(f"uvicorn did not start:\n{seen.decode()}")


async def post(port: int, target: str) -> bytes:
    """The whole answer to a POST without a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_the_example_with_endpoints_works_pasted_into_an_empty_folder(tmp_path: Path) -> None:
    async with served(with_endpoints(tmp_path)) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        async with connect(f"{url}/lobby") as ada, connect(f"{url}/lobby") as bob, connect(f"{url}/other") as eve:
            await ada.send("hello")
            assert [await ada.recv(), await bob.recv()] == ["hello", "hello"]
            assert b'"queued":2' in await post(port, "/say/lobby?text=from%20HTTP")
            assert [await ada.recv(), await bob.recv()] == ["from HTTP", "from HTTP"]
            assert b'"queued":1' in await post(port, "/say/other?text=only%20eve")
            assert await eve.recv() == "only eve"


async def test_the_example_with_endpoints_tells_its_clients_when_it_is_stopped(tmp_path: Path) -> None:
    async with served(with_endpoints(tmp_path)) as port:
        client = await connect(f"ws://127.0.0.1:{port}/ws/lobby")
    with pytest.raises(websockets.ConnectionClosed):
        await client.recv()
    assert client.close_code == 1012


def test_the_example_with_endpoints_is_short() -> None:
    code = block_with("rooms = RoomManager()").code
    server = [line for line in code.split('"""')[0].splitlines() if line.strip()]
    assert len(server) <= 20


def test_the_readme_opens_with_a_live_page_in_two_files_of_under_25_lines_together() -> None:
    first, page = blocks_of(ROOT / "README.md")[1:3]
    assert "hub = Hub" in first.code
    assert "rooms.js" in page.code
    assert len([line for line in (first.code + page.code).splitlines() if line.strip()]) < 25


def test_the_readme_names_the_two_commands_and_what_is_not_there_yet() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in ("make run", "make test", "python -m fastapi_rooms examples", "not there yet"):
        assert words in text
