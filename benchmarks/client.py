"""The load in Python, for machines without a C compiler.

The same options, commands and output as `epoll/main.c`, and every message is checked likewise; but it offers no
compression, has no stalled connections and no event streams, opens one connection after the other, and is slow
enough to be what is measured.
"""

import argparse
import json
import selectors
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

from benchmarks.wire import TIMEOUT, Connection, handshake

WORDS = ("the", "meeting", "is", "at", "three", "and", "we", "should", "ship", "before", "lunch", "today", "again")


def payload(number: int, size: int) -> str:
    """JSON of an exact size, numbered, each message different."""
    at = 1764000000000 + number * 37
    start = f'{{"type":"message","id":{number},"room":"general","from":"ada","at":{at},"text":"'
    room = size - len(start) - 2
    if room < 0:
        raise RuntimeError(f"messages must have at least {size - room} bytes")
    words = " ".join(WORDS[(number + step) % len(WORDS)] for step in range(room))
    return f'{start}{words[:room]:<{room}}"}}'


@dataclass
class Load:
    """Who is connected, what was sent, who still lacks it, and how long it took."""

    options: argparse.Namespace
    connections: list[Connection] = field(default_factory=list)
    sent: int = 0
    done: int = 0
    expected: dict[int, bytes] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    sent_at: deque[float] = field(default_factory=deque)
    progress: float = 0.0

    def __post_init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.processes = [psutil.Process(pid) for pid in self.options.cpu_of]

    def open(self) -> dict[str, object]:
        start, cpu = time.perf_counter(), self.cpu()
        for _ in range(self.options.connections):
            connection = Connection(handshake(self.options.host, self.options.port, self.options.path))
            self._prologue(connection)
            self.selector.register(connection.socket, selectors.EVENT_READ, connection)
            self.connections.append(connection)
        took = {"seconds": time.perf_counter() - start, "cpu_seconds": self.cpu() - cpu}
        return {"connections": len(self.connections), **took, "extensions": ""}

    def _prologue(self, connection: Connection) -> None:
        arrived: Iterator[bytes] = iter(())
        for awaits, text in self.options.steps or ():
            if not awaits:
                connection.send(text)
                continue
            message = next(arrived, None)
            while message is None:
                arrived = connection.read()
                message = next(arrived, None)
            if not message.startswith(text.encode()):
                raise RuntimeError(f"not what the prologue awaits: {message!r}")

    def cpu(self) -> float:
        times = [process.cpu_times() for process in self.processes]
        return sum(one.user + one.system for one in times)

    def send_next(self, size: int) -> None:
        text = payload(self.sent, size)
        delivered = text if self.options.contains else self.options.delivered.replace("$payload", text)
        self.expected[self.sent] = delivered.encode()
        self.left[self.sent] = len(self.connections)
        self.sent_at.append(time.perf_counter())
        self.sent += 1
        self.connections[0].send(self.options.publish.replace("$payload", text))

    def pump(self, seconds: float) -> None:
        for key, _ in self.selector.select(max(seconds, 0)):
            for message in key.data.read():
                self.check(key.data, message)

    def check(self, connection: Connection, message: bytes) -> None:
        options = self.options
        if options.asked is not None and message == options.asked.encode():
            connection.send(options.reply)
        elif options.joined and message.startswith(b"["):
            self.check_joined(connection, message)
        elif options.ignore is None or not message.startswith(options.ignore.encode()):
            expected = self.next_to(connection, message)
            if not (expected in message if options.contains else expected == message):
                raise RuntimeError(f"message {connection.number} is not what was sent: {message[:80]!r}")
            if options.acknowledge is not None:
                connection.send(_acknowledgement(options.acknowledge, message))
            self.delivered(connection)

    def check_joined(self, connection: Connection, message: bytes) -> None:
        """A JSON array: one delivery after the other, and nothing else."""
        at = 0
        while at == 0 or message[at : at + 1] == b",":
            expected = self.next_to(connection, message)
            if not message.startswith(expected, at + 1):
                raise RuntimeError(f"message {connection.number} is not what was sent: {message[at:][:80]!r}")
            at += 1 + len(expected)
            self.delivered(connection)
        if message[at:] != b"]":
            raise RuntimeError(f"an array without its end: {message[at:][:80]!r}")

    def next_to(self, connection: Connection, message: bytes) -> bytes:
        expected = self.expected.get(connection.number)
        if expected is None:
            raise RuntimeError(f"a message that nobody sent: {message[:80]!r}")
        return expected

    def delivered(self, connection: Connection) -> None:
        self.left[connection.number] -= 1
        connection.number += 1

    def finished(self) -> Iterator[float]:
        """For each message that all have by now: seconds that it took."""
        while self.done < self.sent and not self.left[self.done]:
            del self.left[self.done], self.expected[self.done]
            self.done += 1
            self.progress = time.perf_counter()
            yield self.progress - self.sent_at.popleft()

    def closed(self, outstanding: int, size: int, warm_up: float, seconds: float) -> dict[str, object]:
        times: list[float] = []
        first, cpu = self.sent, 0.0
        start, begin, end = time.perf_counter(), 0.0, 0.0
        self.progress = start
        for _ in range(outstanding):
            self.send_next(size)
        while self.done < self.sent:
            self.pump(1.0)
            for took in self.finished():
                at = self.progress
                if begin and not end:
                    times.append(took)
                if not begin and self.done - first > outstanding and at - start >= warm_up:
                    begin, cpu = at, -self.cpu()
                whole = bool(times) and len(times) % outstanding == 0
                if begin and not end and whole and at - begin >= seconds:
                    end, cpu = at, cpu + self.cpu()
                if not end:
                    self.send_next(size)
            if time.perf_counter() - self.progress > TIMEOUT:
                raise RuntimeError(
                    f"stalled: message {self.done} is missing on {self.left[self.done]} connections"
                )
        return self._report(times, end - begin, cpu)

    def paced(self, rate: float, size: int, seconds: float, patience: float) -> dict[str, object]:
        times: list[float] = []
        first, cpu = self.sent, -self.cpu()
        start = at = self.progress = time.perf_counter()
        stopped = False
        while (at - start < seconds or self.done < self.sent) and not stopped:
            due = start + (self.sent - first) / rate
            if at - start < seconds and at >= due:
                self.send_next(size)
            self.pump(min(0.01, due - at) if at - start < seconds else 0.01)
            times += self.finished()
            at = time.perf_counter()
            self.progress = at if self.done == self.sent else self.progress
            stopped = at - self.progress > patience
        stood = at - self.sent_at[0] if stopped else 0.0
        report = self._report(times, at - start, cpu + self.cpu())
        return {**report, "sent": self.sent - first, "stopped": stopped, "stood_seconds": stood}

    def _report(self, times: list[float], seconds: float, cpu: float) -> dict[str, object]:
        ordered = [1e3 * took for took in sorted(times)] or [-1.0]
        count = len(times)
        figures = {"p50_ms": ordered[count // 2], "p99_ms": ordered[count * 99 // 100], "most_ms": ordered[-1]}
        counts = {"client": "python", "broadcasts": count, "deliveries": count * len(self.connections)}
        return {**counts, "seconds": seconds, "cpu_seconds": cpu, **figures}


def _acknowledgement(template: str, message: bytes) -> str:
    before, _, rest = template.partition("$")
    name = rest[: len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyz_"))]
    value = message.decode().partition(f'"{name}":"')[2].partition('"')[0]
    return f"{before}{value}{rest[len(name) :]}"


class _Step(argparse.Action):
    """`--send` and `--await`, in the order in which they stand."""

    def __call__(
        self, _parser: object, namespace: argparse.Namespace, value: object, option: object = None
    ) -> None:
        namespace.steps = [*(namespace.steps or []), (option == "--await", value)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--cpu-of", type=int, action="append", default=[])
    parser.add_argument("--send", dest="steps", action=_Step)
    parser.add_argument("--await", dest="steps", action=_Step)
    for name in ("asked", "reply", "acknowledge", "ignore"):
        parser.add_argument(f"--{name}")
    for name in ("publish", "delivered"):
        parser.add_argument(f"--{name}", default="$payload")
    parser.add_argument("--contains", action="store_true")
    parser.add_argument("--joined", action="store_true")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    return parser.parse_args()


def main() -> None:
    load = Load(_options())
    print(json.dumps(load.open()), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["closed", outstanding, size, warm_up, seconds]:
                result = load.closed(int(outstanding), int(size), float(warm_up), float(seconds))
            case ["paced", rate, size, seconds, patience]:
                result = load.paced(float(rate), int(size), float(seconds), float(patience))
            case _:
                raise RuntimeError(f"no such command: {line}")
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
