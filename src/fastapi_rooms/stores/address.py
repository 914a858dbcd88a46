"""URLs of engines, shown without what is secret in them. Pure."""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, urlsplit

from fastapi_rooms.errors import ConfigurationError

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:@/\s]+)(:(?P<port>[0-9]{1,5}))?")


def parsed(url: str, *, schemes: Collection[str], store: str) -> SplitResult:
    """A URL, looked over.

    Raises:
        ConfigurationError: It cannot work. The text has no part of it, since any part may be a password's.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise unusable(store) from None
    if parts.scheme not in schemes:
        raise ConfigurationError(f"{store}: the URL must begin with {' or '.join(f'{one}://' for one in schemes)}")
    hosts = _hosts(parts)
    stray = "@" in parts.path + parts.query + parts.fragment or parts.netloc.count("@") > 1
    if stray or (hosts and not all(map(_is_host, hosts.split(",")))):
        raise unusable(store)
    return parts


def shown(parts: SplitResult) -> str:
    """Hosts, ports and path: what logs may hold."""
    return f"{_hosts(parts)}{parts.path}".rstrip("/") or "its default address"


def unusable(store: str) -> ConfigurationError:
    """What to say of a URL that cannot work."""
    return ConfigurationError(
        f"{store} cannot use this URL: percent-encode what user and password hold of @ : / ? # %, "
        "and look at host, port and options"
    )


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65_536)


def _hosts(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
