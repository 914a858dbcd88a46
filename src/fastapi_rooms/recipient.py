"""What a broadcast looks at for each of its recipients."""

from fastapi_rooms.ports import DirectSend, Pipe


class Recipient:
    """The part of a connection that a broadcast touches, and its writer keeps up to date.

    It stands on the connection itself, and first: what a broadcast costs beside the server's work is, for most of
    it, memory to fetch.

    Attributes:
        pipe: The transport's `pipe` while messages are taken, none is in flight, and it is ready. A broadcast puts
            messages there by itself; the pipe counts them.
        direct: The transport's `direct` while messages are taken and none is in flight. A broadcast steps it by
            itself, and then counts the message in `written`, or calls the writer's `begin` or `fail`.
        written: Messages that never waited (see `tally`).
    """

    __slots__ = ("direct", "pipe", "written")

    def __init__(self) -> None:
        self.direct: DirectSend | None = None
        self.pipe: Pipe | None = None
        self.written = 0
