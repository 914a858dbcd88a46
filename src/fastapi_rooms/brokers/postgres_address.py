"""The address of a PostgreSQL: looked over before it is used, and shown without its password. Pure."""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from fastapi_rooms.errors import ConfigurationError

_HOST: Final = re.compile(r"(\[[^\]]+\]|[^\[\]:@/]+)(:(?P<port>[0-9]{1,5}))?")
_SETTING: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def shown(dsn: str) -> str:
    """Hosts, ports and database of a URL: what logs may hold.

    Raises:
        ConfigurationError: It cannot work. The text has no part of it, since any part may be a password's.
    """
    try:
        parts = urlsplit(dsn)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise _unusable("is no URL") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise _unusable("must begin with postgresql://")
    _, _, hosts = parts.netloc.rpartition("@")
    if parts.netloc.count("@") > 1 or parts.fragment or "@" in parts.path:
        raise _unusable("holds a stray @ or #: percent-encode what the password holds of @ : / ? # %")
    if not all(map(_SETTING.fullmatch, query)):
        raise _unusable("has a stray ?, or something behind it that is no setting")
    if hosts and not all(map(_is_host, hosts.split(","))):
        raise _unusable("has a host or a port that cannot be one: percent-encode what the password holds of / ? #")
    if not all(port.isdecimal() and 0 < int(port) < 65_536 for port in _listed(query, "port")):
        raise _unusable("has a port that cannot be one")
    return _where(parts, hosts, query)


def _is_host(host: str) -> bool:
    found = _HOST.fullmatch(host)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65_536)


def _listed(query: dict[str, str], name: str) -> list[str]:
    value = query.get(name, "")
    return value.split(",") if value else []


def _where(parts: SplitResult, hosts: str, query: dict[str, str]) -> str:
    port = "".join(f":{port}" for port in _listed(query, "port"))
    at = unquote(hosts) or query.get("host", "") + port or "its default address"
    database = unquote(parts.path.removeprefix("/")) or query.get("dbname") or query.get("database")
    return f"{at}/{database}" if database else at


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(f"PostgresBroker: the URL {why}")
