"""What a contestant's clients say and hear: bare messages, or a protocol around them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Speech:
    """The words of one protocol, as options of the load's client.

    Attributes:
        prologue: What each connection does once it is open, in order: `("send", text)`, or `("await", prefix)`.
        publish: What the client that talks sends; `$payload` stands for the message.
        delivered: What each client must receive, to the byte; `None`: anything that contains the message as it is.
        joined: Whether several of these may come in one message, as a JSON array.
        stream: The path of event streams, which all clients are then. Who talks is one WebSocket more, to which
            `prologue` and `publish` apply, and which gets nothing. `None`: they are WebSockets, and one talks.
        greeting: How the first events of a stream begin, before messages.
        acknowledge: What each delivery is answered with; `$name` stands for that string member of the delivery.
        answer: A message that is no delivery, and what it is answered with.
        ignored: How messages begin that are no deliveries either.
    """

    prologue: tuple[tuple[str, str], ...] = ()
    publish: str = "$payload"
    delivered: str | None = "$payload"
    joined: bool = False
    stream: str | None = None
    greeting: tuple[str, ...] = ()
    acknowledge: str | None = None
    answer: tuple[str, str] | None = None
    ignored: str | None = None

    def options(self) -> list[str]:
        options = [option for step, text in self.prologue for option in (f"--{step}", text)]
        options += ["--publish", self.publish]
        options += ["--contains"] if self.delivered is None else ["--delivered", self.delivered]
        options += ["--joined"] if self.joined else []
        if self.stream is not None:
            options += ["--stream", self.stream]
            options += [word for text in self.greeting for word in ("--greeting", text)]
        if self.acknowledge is not None:
            options += ["--acknowledge", self.acknowledge]
        if self.answer is not None:
            options += ["--asked", self.answer[0], "--reply", self.answer[1]]
        if self.ignored is not None:
            options += ["--ignore", self.ignored]
        return options


SOCKET_IO = Speech(
    prologue=(("await", "0{"), ("send", "40"), ("await", "40{")),
    publish='42["message",$payload]',
    delivered='42["message",$payload]',
    answer=("2", "3"),
)
"""Socket.IO 5 over engine.io 4: open, connect to the namespace, and ping 2 with pong 3."""

PUBSUB = Speech(
    prologue=(
        ("send", '{"request":{"method":"subscribe","arguments":{"topics":["general"]},"call_id":"1"}}'),
        ("await", '{"request":null,"response":'),
    ),
    publish='{"request":{"method":"publish","arguments":{"topics":["general"],"data":$payload,"sync":false,'
    '"notifier_id":"somebody"},"call_id":"2"}}',
    delivered=None,
    acknowledge='{"response":{"result":"None","result_type":"str","call_id":"$call_id"}}',
    ignored='{"request":null,"response":',
)
"""Its JSON-RPC. The server awaits the answer of each subscriber, and who publishes is one: it must not wait."""

_CONNECT = (("send", '{"type":"connect","id":1}'), ("await", '{"type":"connected",'))
_MESSAGE = '{"room":"general","data":$payload}'

HUB = Speech(
    prologue=(
        *_CONNECT,
        ("send", '{"type":"join","id":2,"room":"general"}'),
        ("await", '{"type":"joined",'),
    ),
    publish='{"type":"publish","room":"general","event":"message","data":$payload}',
    delivered=_MESSAGE,
    joined=True,
)
"""`rooms.v1`. Without an id what a client publishes is not answered."""

HUB_STREAMS = Speech(
    prologue=_CONNECT,
    publish='{"type":"send","command":"say","data":$payload}',
    delivered=_MESSAGE,
    stream="/live/sse?room=general",
    greeting=('{"type":"connected",', '{"type":"joined",'),
)
"""The same on event streams. Who talks is in no room."""
