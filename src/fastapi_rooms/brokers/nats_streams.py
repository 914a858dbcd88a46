"""Streams at NATS: one of JetStream's for each prefix, which the server publishes from as it stores."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from fastapi_rooms.brokers.nats_history import HistoryStream
from fastapi_rooms.brokers.nats_jetstream import JetStream, Refused
from fastapi_rooms.brokers.nats_kept import IDENTITY, NOTE, Note, Stored, entries_of, noted
from fastapi_rooms.brokers.streams import REMEMBERED, Append, Appended, Page, Place, placed
from fastapi_rooms.errors import ConfigurationError, MessageTooLarge, MissingExtra

try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NatsBroker") from error

HARMLESS: Final = (ConfigurationError, MessageTooLarge)
"""Errors after which the connection is as good as before."""

HEADERS: Final = 256
"""Bytes, at most, that the headers of a message take of the server's `max_payload`."""

MOST_KNOWN: Final = 10_000
"""Channels whose beginning a connection remembers; of others it asks once more."""

_WRONG_LAST: Final = (10071, 10164)
_IN_PROCESS: Final = 10158
"""In a cluster: one with the same identity has come, and is not stored yet."""

_ABOVE_ALL: Final = 1 << 64


class _Sent(NamedTuple):
    message: Append
    birth: int
    expected: int | None
    answer: asyncio.Future[Msg]


class NatsStreams:
    """The streams of all channels of a prefix, as one connection sees them.

    They are one stream of JetStream, `PREFIX_history`. What is published to `PREFIX~history.REST` is stored there,
    and the server publishes it to the channel `PREFIX.REST` in the same step. (No prefix has a tilde, so that
    no other manager's channel is among these.) An offset is a sequence of that stream.

    A channel's stream begins with a record: a message of its own, which is given to nobody. All later messages
    name its sequence, which makes the epoch, together with the run of the server where that is alone. That nothing
    is missing, a page tells only from a message that is still there: the record, or the one that the reader has
    seen last; the oldest always go first. So nothing wrong is concluded, whatever made messages go. The newest
    stays for `REMEMBERED`, at least, so that the stream is known; what is too old is left out by who reads.

    Sequences begin with the time when the stream is made, so that one made anew repeats none of the old one.

    Args:
        client: The connection; connected by the time of the first call.
        prefix: See `Broker`.
        lose: Ends the connection.
    """

    def __init__(self, client: Client, *, prefix: str, lose: Callable[[Exception], None]) -> None:
        self._client = client
        self._prefix = prefix
        self._js = JetStream(client)
        self._stream = HistoryStream(client, self._js, prefix=prefix, lose=lose)
        self._births: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def placed(self, message: Msg) -> bytes | None:
        """What `receive` gives for a message of a channel; `None`: nothing."""
        headers = message.headers
        if headers is None or headers.get("Nats-Stream") != self._stream.name:
            return message.data
        note = noted(headers.get(NOTE))
        if note is None or not note.birth:
            return None
        offset, previous = int(headers["Nats-Sequence"]), int(headers["Nats-Last-Sequence"])
        if previous == note.birth:
            previous = 0
        elif previous == 0:  # those before it are gone, and the record too
            previous = offset - 1
        return placed(Place(self._epoch(note.birth), offset, previous), message.data)

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        """See `StreamConnection.append`.

        Raises:
            MessageTooLarge: One of them, with `HEADERS`, is longer than the server's `max_payload`; none was sent.
            ConfigurationError: The server cannot keep streams.
        """
        if not messages:
            return ()
        most = self._client.max_payload - HEADERS
        for message in messages:
            if len(message.data) > most:
                raise MessageTooLarge(size=len(message.data), limit=most, broker="NATS")
        await self._stream.keep(max(one.messages for one in messages), max(one.seconds for one in messages))
        sent = [
            await (self._send(one) if one.version is None else self._send_if_newer(one, one.version))
            for one in messages
        ]
        return [one if isinstance(one, Appended) else await self._appended(one) for one in sent]

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`.

        Raises:
            ConfigurationError: The server cannot keep streams.
        """
        await self._stream.found()
        last = await self._last(channel)
        if most <= 0 or after >= last.offset:
            return Page(self._epoch(last.birth), last.offset, ())
        found = await self._stream.stored(self._subject(channel), after, until=last.seq)
        oldest = await self._oldest(channel, found[0].seq)
        entries = entries_of(found, oldest=oldest, after=after, most=most, now=self._stream.now())
        return Page(self._epoch(found[-1].birth), found[-1].offset, entries)

    async def _send(self, message: Append) -> _Sent:
        return await self._publish(message, await self._birth(message.channel))

    async def _send_if_newer(self, message: Append, version: int) -> Appended:
        """Append it right after the last message that was looked at; where there is a newer one, look at that."""
        while True:
            last = await self._last(message.channel)
            newest = last.note.version
            if newest is None:
                newest = await self._version_before(message.channel, last)
            if newest is not None and version <= newest:
                return await self._stale(message, last)
            try:
                return await self._appended(await self._publish(message, last.birth, expected=last.seq))
            except Refused as refusal:
                if refusal.error_code not in _WRONG_LAST:
                    raise

    async def _version_before(self, channel: str, last: Stored) -> int | None:
        """That of the last one that has one, among those that are there."""
        past = () if last.begins else await self._past(channel, last)
        return next((one.note.version for one in reversed(past) if one.note.version is not None), None)

    async def _stale(self, message: Append, last: Stored) -> Appended:
        """Where it was appended before, if it was; the server looks at identities after the last sequence."""
        if message.idempotency_key is not None:
            identity = _identity(message.channel, message.idempotency_key)
            for one in await self._past(message.channel, last):
                if one.identity == identity:
                    return Appended(self._epoch(one.birth), one.seq, repeated=True)
        return Appended(self._epoch(last.birth), last.offset, stale=True)

    async def _past(self, channel: str, last: Stored) -> list[Stored]:
        return await self._stream.stored(self._subject(channel), last.birth, until=last.seq)

    async def _publish(self, message: Append, birth: int, *, expected: int | None = None) -> _Sent:
        headers = {NOTE: Note(birth, message.messages, message.seconds, message.version).text()}
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        if message.idempotency_key is not None:
            headers[IDENTITY] = _identity(message.channel, message.idempotency_key)
        answer = await self._js.publish(self._subject(message.channel), message.data, headers)
        return _Sent(message, birth, expected, answer)

    async def _appended(self, sent: _Sent) -> Appended:
        while True:
            try:
                said = self._js.result(await sent.answer)
            except Refused as refusal:
                if refusal.error_code != _IN_PROCESS:
                    raise
                sent = await self._publish(sent.message, sent.birth, expected=sent.expected)
            else:
                self._know(sent.message.channel, sent.birth)
                return Appended(self._epoch(sent.birth), said["seq"], repeated=said.get("duplicate", False))

    async def _birth(self, channel: str) -> int:
        """Where the channel's stream began; as remembered, unless it may have been forgotten at the server."""
        birth, at = self._births.get(channel, (0, 0.0))
        if birth and time.monotonic() - at < REMEMBERED / 2:
            return birth
        return (await self._last(channel)).birth

    def _know(self, channel: str, birth: int) -> None:
        self._births[channel] = birth, time.monotonic()
        self._births.move_to_end(channel)
        if len(self._births) > MOST_KNOWN:
            self._births.popitem(last=False)

    async def _last(self, channel: str) -> Stored:
        """The newest message; with none, the record of the beginning, which is made if need be."""
        while True:
            last = await self._stream.get({"last_by_subj": self._subject(channel)})
            if last is not None:
                self._know(channel, last.birth)
                return last
            headers = {NOTE: Note().text(), "Nats-Expected-Last-Subject-Sequence": "0"}
            try:
                self._js.result(await (await self._js.publish(self._subject(channel), b"", headers)))
            except Refused as refusal:
                if refusal.error_code not in _WRONG_LAST:  # else another was faster
                    raise

    async def _oldest(self, channel: str, seq: int) -> int:
        """The first message from this one on that is there."""
        oldest = await self._stream.get({"seq": seq, "next_by_subj": self._subject(channel)})
        return _ABOVE_ALL if oldest is None else oldest.seq

    def _subject(self, channel: str) -> str:
        return f"{self._prefix}~history{channel[len(self._prefix) :]}"

    def _epoch(self, birth: int) -> str:
        """Another after each start of a server that is alone: it may have come back with an older copy."""
        server = self._client._server_info
        run = server["server_id"] if server.get("jetstream") and not server.get("cluster") else ""
        return hashlib.sha256(f"{birth} {run}".encode()).hexdigest()[:22]


def _identity(channel: str, key: str) -> str:
    return hashlib.sha256(f"{channel}\n{key}".encode(errors="surrogatepass")).hexdigest()
