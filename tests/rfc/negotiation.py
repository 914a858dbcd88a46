"""What was agreed in `Sec-WebSocket-Extensions` (RFC 6455 section 9.1, RFC 7692 section 7.1)."""

from dataclasses import dataclass

EXTENSION = "permessage-deflate"
_BITS = tuple(str(bits) for bits in range(8, 16))
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")

Parameters = dict[str, str | None]


class Violation(AssertionError):
    """What the server sent is not what the RFC lets it send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """The four parameters of a negotiated permessage-deflate."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15


def agreed(offer: str | None, answer: str | None) -> Deflate | None:
    """What the server's answer means; `None`: nothing was negotiated.

    Raises:
        Violation: The answer is none that this offer allows.
    """
    if answer is None:
        return None
    answers = _elements(answer)
    if [name for name, _ in answers] != [EXTENSION]:
        raise Violation(f"RFC 6455 9.1: {offer!r} was offered, and answered with {answer!r}")
    parameters = answers[0][1]
    if parameters is None or not all(_valid(name, value) for name, value in parameters.items()):
        raise Violation(f"RFC 7692 7.1: malformed parameters in {answer!r}")
    offers = [offered for name, offered in _elements(offer or "") if name == EXTENSION and offered is not None]
    if not any(_accepts(offered, parameters) for offered in offers):
        raise Violation(f"RFC 7692 7.1: {answer!r} is no answer to {offer!r}")
    return Deflate(
        server_no_context_takeover="server_no_context_takeover" in parameters,
        client_no_context_takeover="client_no_context_takeover" in parameters,
        server_max_window_bits=int(parameters.get("server_max_window_bits") or 15),
        client_max_window_bits=int(parameters.get("client_max_window_bits") or 15),
    )


def _elements(header: str) -> list[tuple[str, Parameters | None]]:
    """Every element with its parameters, or `None` where a parameter comes twice."""
    found: list[tuple[str, Parameters | None]] = []
    for element in header.split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        pairs = [_pair(part) for part in rest]
        parameters = dict(pairs)
        found.append((name, parameters if len(parameters) == len(pairs) else None))
    return found


def _pair(parameter: str) -> tuple[str, str | None]:
    name, has_value, value = parameter.partition("=")
    return name.strip(), value.strip().strip('"') if has_value else None


def _valid(name: str, value: str | None) -> bool:
    """Whether an answer may have this parameter at all; there, both window sizes need a value."""
    return value is None if name in _FLAGS else name.endswith("_max_window_bits") and value in _BITS


def _accepts(offered: Parameters, answer: Parameters) -> bool:
    if not all(
        _valid(name, value) or (name, value) == ("client_max_window_bits", None) for name, value in offered.items()
    ):
        return False  # this one had to be declined
    if "server_no_context_takeover" in offered and "server_no_context_takeover" not in answer:
        return False
    if "server_max_window_bits" in offered and not _at_most(answer, offered, "server_max_window_bits"):
        return False
    if "client_max_window_bits" in answer:
        return "client_max_window_bits" in offered and _at_most(answer, offered, "client_max_window_bits")
    return True


def _at_most(answer: Parameters, offered: Parameters, name: str) -> bool:
    return name in answer and int(answer[name] or 15) <= int(offered[name] or 15)
