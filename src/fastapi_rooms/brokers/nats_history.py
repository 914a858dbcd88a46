"""The stream of JetStream's in which a prefix has its history: found or made, widened, watched, and read."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from fastapi_rooms.brokers.nats_jetstream import JetStream, Refused
from fastapi_rooms.brokers.nats_kept import Stored, seconds_at, stored, stored_in
from fastapi_rooms.brokers.streams import IDEMPOTENT_FOR, REMEMBERED
from fastapi_rooms.errors import BrokerUnavailable, ConfigurationError, MissingExtra

try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NatsBroker") from error

_BATCH_BYTES: Final = 8 * 1024 * 1024
_SECOND: Final = 1_000_000_000

_NOT_ENABLED: Final = (10039, 10076)
_NO_MESSAGE: Final = 10037
_NO_STREAM: Final = 10059
_NAME_IN_USE: Final = 10058


class HistoryStream:
    """The stream `PREFIX_history`, as one connection sees it. What raises `Refused` was refused by the server.

    Args:
        client: The connection.
        js: Its requests.
        prefix: See `Broker`.
        lose: Ends the connection: the stream was deleted.
    """

    def __init__(self, client: Client, js: JetStream, *, prefix: str, lose: Callable[[Exception], None]) -> None:
        self.name = f"{prefix}_history"
        self._republish = {"src": f"{prefix}~history.>", "dest": f"{prefix}.>"}
        self._client = client
        self._js = js
        self._lose = lose
        self._finding = asyncio.Lock()
        self._listens = False
        self._config: dict[str, Any] | None = None
        self._changes = 0
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds since 1970, by the server's clock."""
        return time.time() + self._ahead

    async def get(self, request: dict[str, Any]) -> Stored | None:
        """One message, as the stream's leader has it: a direct get may be answered by one that lags behind."""
        try:
            answer = await self._js.call(f"STREAM.MSG.GET.{self.name}", request)
        except Refused as refusal:
            if refusal.error_code == _NO_MESSAGE:
                return None
            raise
        return stored_in(answer["message"])

    async def stored(self, subject: str, start: int, *, until: int) -> list[Stored]:
        """All messages from one sequence to another, and those after it that are there already."""
        found: list[Stored] = []
        while not found or found[-1].seq < until:
            request = {
                "seq": found[-1].seq + 1 if found else max(start, 1),
                "next_by_subj": subject,
                "batch": 1000,
                "max_bytes": _BATCH_BYTES,
            }
            answers = self._js.batch(f"DIRECT.GET.{self.name}", request)
            found.extend([stored(one.headers or {}, one.data) async for one in answers])
        return found

    async def keep(self, messages: int, seconds: float) -> None:
        """Have the stream keep at least so much: it has one bound for all its channels."""
        while True:
            config = await self.found()
            wanted = {
                **config,
                "max_msgs_per_subject": _at_least(config["max_msgs_per_subject"], messages + 1),  # and the record
                "max_age": _at_least(config["max_age"], int(max(seconds, REMEMBERED) * _SECOND)),
            }
            if wanted == config:
                return
            await self._js.call(f"STREAM.UPDATE.{self.name}", wanted)
            self._look_again()  # another may have changed it at the same time

    async def found(self) -> dict[str, Any]:
        """The stream's configuration; the stream is made if there is none."""
        async with self._finding:
            if self._config is not None:
                return self._config
            await self._listen()
            changes = self._changes
            info = await self._info()
            config: dict[str, Any] = info["config"]
            if config.get("republish") != self._republish:
                raise ConfigurationError(f"the stream {self.name!r} at NATS is not one of fastapi-rooms")
            self._ahead = seconds_at(info["ts"]) - time.time()
            if changes == self._changes:  # else it may be older than the last change
                self._config = config
            return config

    async def _listen(self) -> None:
        """Hear what others do to the stream, before it is looked at."""
        if self._listens:
            return
        version = self._client.connected_server_version
        if (version.major, version.minor) < (2, 11):
            text = f"history needs NATS 2.11 or newer, and this is {version.major}.{version.minor}"
            raise ConfigurationError(text)
        await self._client.subscribe(f"$JS.EVENT.ADVISORY.STREAM.*.{self.name}", cb=self._changed)
        self._listens = True

    def _look_again(self) -> None:
        self._changes += 1
        self._config = None

    async def _changed(self, message: Msg) -> None:
        self._look_again()
        if ".DELETED." in message.subject:
            self._lose(BrokerUnavailable(f"the stream {self.name!r} at NATS was deleted"))

    async def _info(self) -> dict[str, Any]:
        try:
            return await self._js.call(f"STREAM.INFO.{self.name}")
        except Refused as refusal:
            nobody = refusal.code == 503 and not self._client._server_info.get("jetstream")
            if nobody or refusal.error_code in _NOT_ENABLED:
                raise ConfigurationError(
                    "history needs JetStream, which this NATS server has not enabled: "
                    "put `jetstream {}` into its configuration, or start it with -js"
                ) from refusal
            if refusal.error_code != _NO_STREAM:
                raise
        try:
            return await self._js.call(f"STREAM.CREATE.{self.name}", self._new())
        except Refused as refusal:
            if refusal.error_code == _NAME_IN_USE:  # another process has just made it
                return await self._js.call(f"STREAM.INFO.{self.name}")
            raise ConfigurationError(f"the stream {self.name!r} cannot be made at NATS: {refusal}") from refusal

    def _new(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "subjects": [self._republish["src"]],
            "republish": self._republish,
            "allow_direct": True,
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "first_seq": time.time_ns() // 1000,
            "max_msgs_per_subject": 2,
            "max_age": int(REMEMBERED * _SECOND),
            "duplicate_window": int(IDEMPOTENT_FOR * _SECOND),
        }


def _at_least(bound: int, wanted: int) -> int:
    """A bound, or a wider one; 0 or less is none."""
    return bound if bound <= 0 or bound >= wanted else wanted
