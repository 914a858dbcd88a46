"""fastapi-websocket-pubsub, installed into an environment of its own under the git-ignored results.

It brings a fork of `broadcaster` that installs itself under the same name: in one environment, `broadcaster` would
be whichever of the two was copied last.
"""

import subprocess
import sys
from importlib.metadata import version

from benchmarks.machine import RESULTS

FOLDER = RESULTS / "pubsub"
PYTHON = FOLDER / "bin" / "python"
PACKAGE = "fastapi-websocket-pubsub>=1.0"
_SHARED = ("fastapi", "starlette", "uvicorn", "uvloop", "websockets")
"""What the others run on, too: the same versions here."""


def missing() -> str:
    """Install it; or say why that cannot be."""
    if (FOLDER / "installed").exists():
        return ""
    pinned = [f"{name}=={version(name)}" for name in _SHARED]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(FOLDER)],
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE, *pinned],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            return f"{' '.join(command[1:4])}: {(done.stderr.strip() or 'failed').splitlines()[-1]}"
    (FOLDER / "installed").touch()
    return ""
