"""The JavaScript client, as a hub serves it."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fastapi_rooms.errors import RoomsError

_NAME: Final = "rooms.js"


class ScriptNotFound(RoomsError):
    """The package was installed without its JavaScript client."""

    def __init__(self) -> None:
        super().__init__(f"{_NAME} is not where it should be: neither in the wheel nor in js/ beside src/")


def script_response(request: Request) -> Response:
    """The script, or 304 where the browser has this one.

    Raises:
        ScriptNotFound: It is not there.
    """
    body, tag = find_script()
    headers = {"ETag": tag, "Cache-Control": "no-cache"}  # a new version reaches pages at their next load
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="text/javascript; charset=utf-8", headers=headers)


@cache
def find_script() -> tuple[bytes, str]:
    """The script, and its entity tag (RFC 9110 §8.8.3).

    Raises:
        ScriptNotFound: It is not there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_js", package.parent.parent / "js"):  # in the wheel, in a checkout
        path = folder / _NAME
        if path.is_file():
            body = path.read_bytes()
            return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    raise ScriptNotFound
