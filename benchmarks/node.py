"""Node's `ws`, installed by npm into the git-ignored results."""

import shutil
import subprocess

from benchmarks.machine import HOST, RESULTS, ROOT

FOLDER = RESULTS / "node"
PACKAGE = "ws@8"
SERVER = ROOT / "benchmarks" / "apps" / "node_ws.cjs"


def command(port: int, deflate: bool) -> list[str]:  # noqa: FBT001 - the shape of `Command`
    return ["node", str(SERVER), str(FOLDER), HOST, str(port), *(["deflate"] if deflate else [])]


def missing() -> str:
    """Install it; or say why that cannot be."""
    if (FOLDER / "node_modules" / "ws").exists():
        return "" if shutil.which("node") else "no node here"
    if absent := [program for program in ("node", "npm") if shutil.which(program) is None]:
        return f"no {' and no '.join(absent)} here"
    FOLDER.mkdir(parents=True, exist_ok=True)
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER), PACKAGE]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    return (
        ""
        if done.returncode == 0
        else f"npm install {PACKAGE}: {(done.stderr.strip() or 'failed').splitlines()[-1]}"
    )
