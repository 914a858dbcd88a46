"""What two clients were told, and what went over their wires, without what may differ: ids, epochs, timing."""

import re
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import jwt

from hub.usual import whole

from .script import FROM_OUTSIDE

Entry = dict[str, Any]

_OWN_WORDS = {"timeout", "lost", "offline", "closed", "removed", "overflow", "not_joined"}
"""Codes of clients themselves, which say the same in words of their own."""

_OF_THE_WAY = {"session", "close", "ping", "pong", "presence-diff"}
"""Frames that one way has and the other has not, or that time decides about."""

_POSITION = re.compile(r"(\d+)\.[\w-]{8}\.[\w-]+")


def transcript(journals: dict[str, list[Entry]], answers: list[Any], tag: str) -> Entry:
    """All of it.

    Args:
        journals: Of each client.
        answers: What became of the orders.
        tag: What names have at their end.
    """
    told: Entry = {"answers": [_plain(_answer(answer)) for answer in answers]}
    for name, journal in journals.items():
        told[name] = {"is told": _told(journal), "says": _said(journal), "hears": _heard(journal)}
    plain: Entry = _everywhere(told, lambda text: _POSITION.sub(r"position \1", text.replace(tag, "")))
    return plain


def _answer(answer: Any) -> Any:
    (order, result), *_ = answer.items()
    error = result.get("error") if isinstance(result, dict) else None
    if error is not None and error["code"] in _OWN_WORDS:
        return {order: {"error": {"code": error["code"]}}}
    return answer


def _told(journal: Iterable[Entry]) -> Entry:
    """What the application has learned."""
    entries = [{name: value for name, value in entry.items() if name != "at"} for entry in journal]
    states = [entry["kind"] for entry in entries if entry["kind"].startswith("state ")]
    lasting = [state for state, _ in groupby(state for state in states if state != "state connecting")]
    rooms: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry["kind"] in ("joined", "left", "message"):
            rooms.setdefault(entry.pop("room", "none"), []).append(_plain(entry))
    presence = [
        _plain(entry)
        for entry in entries
        if entry["kind"].startswith("presence ") and entry["user"].startswith("bob")
    ]
    others = [_plain(entry) for entry in entries if entry["kind"] in ("closed", "dropped")]
    return {"states": lasting, "rooms": rooms, "presence": presence, "others": others}


def _said(journal: Iterable[Entry]) -> list[Entry]:
    """Its frames; ids say which of them are answered."""
    ids: dict[int, int] = {}
    said = []
    for frame in _frames(journal, "up "):
        plain = _plain(frame)
        if "id" in plain:
            plain["id"] = ids.setdefault(plain["id"], len(ids) + 1)
        if "token" in plain:
            plain["token"] = jwt.decode(plain["token"], options={"verify_signature": False})["serial"]
        said.append(plain)
    return said


def _heard(journal: Iterable[Entry]) -> Entry:
    """The hub's frames: a reply may come before or after what others are told by the same command."""
    journal = list(journal)
    ids: dict[int, int] = {}
    for frame in _frames(journal, "up "):
        if "id" in frame:
            ids.setdefault(frame["id"], len(ids) + 1)
    kinds: dict[str, list[Entry]] = {"message": [], "answer": [], "other": []}
    connections = 0
    for frame in _frames(journal, "down "):
        plain = _plain(frame)
        if plain["type"] == "presence":
            plain = {"type": "presence", "room": plain["room"], "listed": plain["listed"]}
        if plain["type"] == "connected":
            connections += 1
            plain["connection"] = f"connection {connections}"
            plain["heartbeat"] = float(plain["heartbeat"])  # JavaScript has one kind of number
        if "id" in plain:
            plain["id"] = ids.get(plain["id"])
        if isinstance(plain.get("data"), dict) and "expires_in" in plain["data"]:
            plain["data"] = {"expires_in": "soon" if plain["data"]["expires_in"] < 60.0 else "late"}
        kind = plain["type"] if plain["type"] in kinds else "answer" if "id" in plain else "other"
        if kind != "answer" or plain["id"] is not None:
            kinds[kind].append(plain)
    return kinds


def _frames(journal: Iterable[Entry], direction: str) -> list[Entry]:
    found = [whole(entry["frame"]) for entry in journal if entry["kind"].startswith(direction)]
    return [frame for frame in found if frame["type"] not in _OF_THE_WAY and frame.get("data") != FROM_OUTSIDE]


def _plain(value: Any) -> Any:
    """Without what is not there: `None`, in Python, is left out in JavaScript. A copy."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _everywhere(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): _everywhere(one, change) for name, one in value.items()}
    return [_everywhere(one, change) for one in value] if isinstance(value, list) else value
