"""What a contestant's clients say and hear: bare messages, or a protocol around them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Speech:
    """The words of one protocol, as options of the load's client.

    Attributes:
        prologue: What each connection does once it is open, in order: `("send", text)`, or `("await", prefix)`.
        publish: What the client that talks sends; `$payload` stands for the message.
        delivered: What each client must receive, to the byte; `None`: anything that contains the message as it is.
        acknowledge: What each delivery is answered with; `$name` stands for that string member of the delivery.
        answer: A message that is no delivery, and what it is answered with.
        ignored: How messages begin that are no deliveries either.
    """

    prologue: tuple[tuple[str, str], ...] = ()
    publish: str = "$payload"
    delivered: str | None = "$payload"
    acknowledge: str | None = None
    answer: tuple[str, str] | None = None
    ignored: str | None = None

    def options(self) -> list[str]:
        options = [option for step, text in self.prologue for option in (f"--{step}", text)]
        options += ["--publish", self.publish]
        options += ["--contains"] if self.delivered is None else ["--delivered", self.delivered]
        if self.acknowledge is not None:
            options += ["--acknowledge", self.acknowledge]
        if self.answer is not None:
            options += ["--asked", self.answer[0], "--reply", self.answer[1]]
        if self.ignored is not None:
            options += ["--ignore", self.ignored]
        return options
