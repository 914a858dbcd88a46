"""ASGI connection scopes, as a server that speaks ASGI 3.0 with spec version 2.4 makes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from fastapi_rooms.errors import ConfigurationError

HeaderInput = Mapping[str, str] | Iterable[tuple[str, str]]
"""Headers as a test gives them: a mapping, or pairs where a name may repeat."""

ASGI_VERSION: Final = {"version": "3.0", "spec_version": "2.4"}

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH_CHARACTERS: Final = "/%:@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The address under which the app is reached.

    Attributes:
        secure: Whether the schemes are `https` and `wss`.
        host: The `Host` header.
        address: Host and port.
        root_path: The path under which the app is mounted, or "".
    """

    secure: bool
    host: str
    address: tuple[str, int]
    root_path: str

    @classmethod
    def at(cls, base_url: str) -> "Server":
        """The server at `http://` or `https://` host, port and root path.

        Raises:
            ConfigurationError: It is not such a URL.
        """
        url = urlsplit(base_url)
        if url.scheme not in _DEFAULT_PORTS or not url.hostname or url.query or url.fragment:
            raise ConfigurationError(f"base_url={base_url!r} must look like 'http://testserver'")
        address = (url.hostname, url.port or _DEFAULT_PORTS[url.scheme])
        return cls(secure=url.scheme == "https", host=url.netloc, address=address, root_path=url.path.rstrip("/"))


def http_scope(
    *,
    server: Server,
    client: tuple[str, int],
    method: str,
    target: str,
    headers: Iterable[tuple[bytes, bytes]],
    state: dict[str, Any],
) -> Scope:
    """The scope of one HTTP request."""
    return {
        **_common(server=server, client=client, target=target, headers=headers, state=state),
        "type": "http",
        "scheme": "https" if server.secure else "http",
        "method": method.upper(),
        "extensions": {},
    }


def websocket_scope(
    *,
    server: Server,
    client: tuple[str, int],
    target: str,
    headers: Iterable[tuple[bytes, bytes]],
    subprotocols: Sequence[str],
    state: dict[str, Any],
    denial_response: bool,
) -> Scope:
    """The scope of one WebSocket; its handshake headers are those of RFC 6455 §4.1."""
    handshake = [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
        (b"sec-websocket-version", b"13"),
    ]
    if subprotocols:
        handshake.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("latin-1")))
    all_headers = [*handshake, *headers]
    return {
        **_common(server=server, client=client, target=target, headers=all_headers, state=state),
        "type": "websocket",
        "scheme": "wss" if server.secure else "ws",
        "subprotocols": _offered_subprotocols(all_headers),
        "extensions": {"websocket.http.response": {}} if denial_response else {},
    }


def encode_headers(
    headers: HeaderInput | None, *, cookies: Mapping[str, str] | None = None
) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them: lower-case names, Latin-1 bytes; the cookies in one `Cookie` header."""
    pairs = cast("Iterable[tuple[str, str]]", headers.items() if isinstance(headers, Mapping) else headers or ())
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    if cookies:
        joined = "; ".join(f"{name}={value}" for name, value in cookies.items())
        encoded.append((b"cookie", joined.encode("latin-1")))
    return encoded


def decode_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers that the app sent; their names in lower case, however the app wrote them."""
    return Headers(raw=[(name.lower(), value) for name, value in raw])


def _common(
    *,
    server: Server,
    client: tuple[str, int],
    target: str,
    headers: Iterable[tuple[bytes, bytes]],
    state: dict[str, Any],
) -> dict[str, Any]:
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise ConfigurationError(f"{target!r} must be a path that begins with '/'")
    raw_path = quote(server.root_path + path, safe=_PATH_CHARACTERS)
    given = list(headers)
    if all(name != b"host" for name, _ in given):
        given.insert(0, (b"host", server.host.encode("latin-1")))
    return {
        "asgi": dict(ASGI_VERSION),
        "http_version": "1.1",
        "server": server.address,
        "client": client,
        "root_path": server.root_path,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode("ascii"),
        "query_string": quote(query, safe=_PATH_CHARACTERS + "?").encode("ascii"),
        "headers": given,
        "state": state.copy(),
    }


def _offered_subprotocols(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    values = [value.decode("latin-1") for name, value in headers if name == b"sec-websocket-protocol"]
    return [token.strip() for value in values for token in value.split(",") if token.strip()]
