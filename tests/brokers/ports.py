"""Ports for servers of tests, on 127.0.0.1.

They lie below those that the system gives to whoever connects: a port that was free a moment ago, or that a server
left for a restart, would else be taken by some client now and then. A client that tries again might even get the
very port that it connects to, and talk to itself.
"""

import itertools
import os
import random
import socket
from typing import Final

_FIRST: Final = 20_000
_EACH: Final = 1_000
"""Ports of each of pytest-xdist's workers."""

_MOST: Final = 12
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MOST
_numbers = itertools.count(random.randrange(_EACH))  # two runs at once begin at different places


def free_port() -> int:
    """One that nobody has, and that is not given again for a while."""
    for number in itertools.islice(_numbers, _EACH):
        port = _FIRST + _worker * _EACH + number % _EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("all ports are taken")
