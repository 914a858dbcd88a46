"""A credentials file of NATS: the JWT of a user, and the seed of the key that signs for it."""

import importlib.util
import re
from pathlib import Path
from typing import Final

from fastapi_rooms.errors import ConfigurationError, MissingExtra

try:
    from nats.aio.client import RawCredentials
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NATS") from error

_JWT: Final = re.compile(r"BEGIN NATS USER JWT-*\s+([\w.=-]+)\s")
_SEED: Final = re.compile(r"BEGIN USER NKEY SEED-*\s+([A-Z2-7]+)\s")


class CredentialsFile:
    """Where the file is.

    Args:
        path: Its path.

    Raises:
        ConfigurationError: There is no such file.
        MissingExtra: There is no nkeys package.
    """

    def __init__(self, path: str | Path) -> None:
        if importlib.util.find_spec("nkeys") is None:
            raise MissingExtra(extra="nats", feature="NatsBroker(user_credentials=...)")
        self._path = Path(path)
        if not self._path.is_file():
            raise self._useless("is not a file")

    def read(self) -> RawCredentials:
        """What is in the file now, read at once: a JWT and a seed that belong together.

        nats-py would read it twice, and for ever where there is no JWT.

        Raises:
            ConfigurationError: It has no JWT, or no seed. Nothing that it has is in the message.
            OSError: It cannot be read.
        """
        text = self._path.read_text(encoding="ascii", errors="replace")  # an error would quote the file
        jwt, seed = _JWT.search(text), _SEED.search(text)
        if jwt is None or seed is None:
            raise self._useless(f"has no {'user JWT' if jwt is None else 'user NKey seed'}")
        return RawCredentials(f"BEGIN NATS USER JWT\n{jwt[1]}\nBEGIN USER NKEY SEED\n{seed[1]}\n")

    def _useless(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"NatsBroker: user_credentials={str(self._path)!r} {why}")
