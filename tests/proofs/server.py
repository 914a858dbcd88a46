"""One worker, ready to begin: it has imported all that it needs, and waits to be told its port.

    python -m tests.proofs.server WS

It prints "ready", reads the port from its standard input, and serves until SIGTERM: so one may replace another on
the same port as soon as that is free.
"""

import sys

import uvicorn

from .hub_app import app


def main() -> None:
    print("ready", flush=True)
    port = int(sys.stdin.readline())
    config = uvicorn.Config(app, port=port, ws=sys.argv[1], log_level="warning", ws_ping_interval=600)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
