"""The command line, `python -m fastapi_rooms`: `examples` opens the gallery; the others are in `commands`."""

import argparse
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.client import RoomsClientError
from fastapi_rooms.commands import add_commands, check, publish, tail, tail_hub
from fastapi_rooms.errors import BrokerUnavailable, MissingExtra, RoomsError
from fastapi_rooms.private_engine import private_redis

if TYPE_CHECKING:
    import uvicorn
else:
    try:
        import uvicorn
    except ImportError:
        uvicorn = None  # the command that needs it says so

_GRACE: Final = 5
"""Seconds that open pages have at Ctrl+C until the server stops without them."""

_LONGEST_MESSAGE: Final = 1024 * 1024
"""Bytes that the server takes as one message; the examples' own limits are far below."""

_PROTOCOL: Final = "fastapi_rooms.transports.shared_frames:SharedFramesProtocol"

_DESCRIPTION: Final = "Live connections for FastAPI."

_EXAMPLES_DESCRIPTION: Final = """\
Serve the gallery of examples, each on its own page: echo, chat, dashboard, draw, notify and game.

Nothing outside of this machine reaches it unless --host says so. Sign-ins of the chat end with the server, unless
the environment variable ROOMS_SECRET holds a key (32 characters or more).

Processes with the same ROOMS_BROKER, the URL of a broker such as redis://127.0.0.1:6379, share the rooms; for
sign-ins they need the same ROOMS_SECRET too. Several workers get both if they are not set: a Redis of their own
runs as long as they do."""

_MOST_WORKERS: Final = 64


class ExamplesNotFound(RoomsError):
    """Neither the installed package nor a checkout around it holds the examples."""

    def __init__(self) -> None:
        super().__init__("the examples are not here: they come with the wheel and with a checkout")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What stands behind `python -m fastapi_rooms`. `None`: `sys.argv`.

    Returns:
        The exit code: 0 when the command ended by itself, 1 when its broker is out of reach or its hub ended it,
        2 when it could not begin, 130 after Ctrl+C. A server that cannot start, such as at a port in use, ends the
        process with its own code.
    """
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except KeyboardInterrupt:
        return 130
    except RoomsError as error:
        sys.stderr.write(f"{error}\n")
        return 1 if isinstance(error, (BrokerUnavailable, RoomsClientError)) else 2
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.command == "publish":
        publish(options.room, options.message, url=options.broker, prefix=options.prefix)
    elif options.command == "tail":
        check(options)
        if options.url is not None:
            tail_hub(options.room, url=options.url, token=options.token, since=options.since)
        else:
            tail(options.room, url=options.broker, prefix=options.prefix, as_json=options.json)
    else:
        _run_examples(host=options.host, port=options.port, reload=options.reload, workers=options.workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fastapi_rooms", description=_DESCRIPTION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    examples = commands.add_parser(
        "examples",
        help="serve the gallery of examples",
        description=_EXAMPLES_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    examples.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    examples.add_argument(
        "--port", type=_port, default=8000, help="port; 0 takes a free one (default: %(default)s)"
    )
    either = examples.add_mutually_exclusive_group()
    either.add_argument("--reload", action="store_true", help="restart when a file of the examples changes")
    either.add_argument(
        "--workers", type=_workers, default=1, help="processes that share the rooms (default: %(default)s)"
    )
    add_commands(commands)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers: 1 to {_MOST_WORKERS}")
    return int(text)


def _run_examples(*, host: str, port: int, reload: bool, workers: int) -> None:
    if uvicorn is None or find_spec("psutil") is None or find_spec("jwt") is None:
        raise MissingExtra(extra="examples", feature="The gallery of examples")
    package, folder = _examples()
    with _in_common(workers):
        uvicorn.run(
            f"{package}.gallery:app",
            app_dir=str(folder.parent),
            host=host,
            port=port,
            reload=reload,
            reload_dirs=[str(folder)] if reload else None,
            workers=workers,
            ws=_PROTOCOL,
            ws_max_size=_LONGEST_MESSAGE,
            timeout_graceful_shutdown=_GRACE,
            access_log=False,
        )


@contextmanager
def _in_common(workers: int) -> Iterator[None]:
    """What the environment must hold for several workers: a key for sign-ins and a broker; a URL that can work."""
    with ExitStack() as stack:
        if workers > 1 and not os.environ.get("ROOMS_SECRET"):
            os.environ["ROOMS_SECRET"] = secrets.token_urlsafe(32)
        if workers > 1 and not os.environ.get("ROOMS_BROKER"):
            os.environ["ROOMS_BROKER"] = stack.enter_context(private_redis())
        if url := os.environ.get("ROOMS_BROKER"):
            broker_from_url(url)  # workers would say it too, each with a traceback
        yield


def _examples() -> tuple[str, Path]:
    """The package that holds the examples, and its folder: inside the wheel, or beside `src` in a checkout."""
    here = Path(__file__).resolve().parent
    if (here / "_examples" / "gallery.py").is_file():
        return "fastapi_rooms._examples", here / "_examples"
    checkout = here.parent.parent / "examples"
    if (checkout / "gallery.py").is_file():
        return "examples", checkout
    raise ExamplesNotFound


if __name__ == "__main__":
    sys.exit(main())
