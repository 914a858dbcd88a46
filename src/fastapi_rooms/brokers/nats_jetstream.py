"""Requests to JetStream, with nats-py's core: several at once, and answers of many messages."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from fastapi_rooms.errors import BrokerUnavailable, MissingExtra

try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NatsBroker") from error

_NOBODY: Final = "503"
_END: Final = ("204", "404")
"""The end of a batch, and a batch of nothing."""


class Refused(BrokerUnavailable):
    """JetStream says no.

    Attributes:
        code: Like an HTTP status. 503 without an error code: nobody answers such requests.
        error_code: What is the matter; the numbers are in nats-server's `errors.json`.
    """

    def __init__(self, text: str, *, code: int, error_code: int = 0) -> None:
        self.code = code
        self.error_code = error_code
        super().__init__(f"JetStream: {text}")


class JetStream:
    """JetStream, as one connection sees it. Nothing here has a deadline: it is the caller's.

    nats-py's own requests would wait for answers that cannot come any more, once the connection is lost.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox: str | None = None
        self._waiting: dict[str, Callable[[Msg], None]] = {}
        self._numbers = itertools.count()

    async def publish(self, subject: str, data: bytes, headers: dict[str, str]) -> "asyncio.Future[Msg]":
        """Hand over a message for a stream; the answer is for `result`."""
        return await self._ask(subject, data, headers)

    async def call(self, what: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One call of the API.

        Raises:
            Refused: It says no.
        """
        data = b"" if request is None else json.dumps(request).encode()
        return self.result(await (await self._ask(f"$JS.API.{what}", data)))

    async def batch(self, what: str, request: Mapping[str, Any]) -> AsyncIterator[Msg]:
        """A call that answers with several messages, or none.

        Raises:
            Refused: It says no.
        """
        answers: asyncio.Queue[Msg] = asyncio.Queue()
        token = await self._send(f"$JS.API.{what}", json.dumps(request).encode(), None, answers.put_nowait)
        try:
            while (status := _status(answer := await answers.get())) not in _END:
                if status is not None:
                    raise Refused(f"status {status}", code=int(status))
                yield answer
        finally:
            self._waiting.pop(token, None)

    def result(self, answer: Msg) -> dict[str, Any]:
        """What an answer says.

        Raises:
            Refused: It says no.
        """
        if _status(answer) == _NOBODY:
            raise Refused("nobody answers", code=503)
        said: dict[str, Any] = json.loads(answer.data)
        if "error" in said:
            no = said["error"]
            raise Refused(no.get("description", ""), code=no.get("code", 0), error_code=no.get("err_code", 0))
        return said

    async def _ask(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> "asyncio.Future[Msg]":
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        def heard(message: Msg) -> None:
            if not answer.done():
                answer.set_result(message)

        token = await self._send(subject, data, headers, heard)
        answer.add_done_callback(lambda _: self._waiting.pop(token, None))
        return answer

    async def _send(
        self, subject: str, data: bytes, headers: dict[str, str] | None, heard: Callable[[Msg], None]
    ) -> str:
        if self._inbox is None:
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._came)
        token = str(next(self._numbers))
        self._waiting[token] = heard
        await self._client.publish(subject, data, reply=f"{self._inbox}.{token}", headers=headers)
        return token

    async def _came(self, message: Msg) -> None:
        heard = self._waiting.get(message.subject.rpartition(".")[2])
        if heard is not None:
            heard(message)


def _status(message: Msg) -> str | None:
    """What the server says instead of a message."""
    return None if message.data or message.headers is None else message.headers.get("Status")
