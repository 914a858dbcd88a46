"""Node, the TypeScript compiler and axe-core, where they are; in CI they must be."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
CLIENT = CHECKOUT / "js"
AXE = CHECKOUT / ".venv" / "js" / "node_modules" / "axe-core" / "axe.min.js"
TSC = CHECKOUT / ".venv" / "js" / "node_modules" / ".bin" / "tsc"
OLDEST = 20
WITHIN = 120.0


def node() -> str:
    """Its path."""
    path = shutil.which("node")
    if path is None:
        _missing("no node here")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        _missing(f"node {version} is older than {OLDEST}")
    return path


def sockets(path: str) -> tuple[str, ...]:
    """The flags with which this node has a `WebSocket`."""
    code = "process.exit(typeof WebSocket === 'undefined' ? 1 : 0)"
    return () if subprocess.call([path, "--eval", code]) == 0 else ("--experimental-websocket",)


def tsc() -> str:
    """Its path."""
    if not TSC.exists():
        _missing(f"no TypeScript compiler here; npm puts it under {TSC.parents[2].relative_to(CHECKOUT)}")
    return str(TSC)


def axe() -> str:
    """The source of axe-core, which looks for what keeps people out of a page."""
    if not AXE.exists():
        _missing(f"no axe-core here; npm puts it under {AXE.parents[2].relative_to(CHECKOUT)}")
    return AXE.read_text(encoding="utf-8")


def run(*command: str, cwd: Path = CHECKOUT) -> str:
    """What it prints; fails with it if it does not end well."""
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            printed, _ = process.communicate(timeout=WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
            printed += f"it did not end within {WITHIN:g} s"
    printed = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    if process.returncode:
        pytest.fail(printed, pytrace=False)
    return printed


def _missing(why: str) -> NoReturn:
    if "CI" in os.environ:
        pytest.fail(f"CI is set: {why}")
    pytest.skip(why)
