"""The protocol as a JSON Schema, made from the models, for who writes a client in another language.

The documentation's copy is written anew by
`python -m fastapi_rooms.protocol.schema > docs/assets/rooms.v1.schema.json`.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fastapi_rooms.protocol.client_frames import CLIENT_FRAMES, MOST_ID
from fastapi_rooms.protocol.reading import MOST_FRAMES
from fastapi_rooms.protocol.server_frames import SERVER_FRAMES

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of all that goes over the wire: a message of a client, or of a server.

    Its `$defs` have each frame by its model's name, and `ClientFrame`, `ClientMessage`, `ServerFrame`,
    `ServerMessage`, and `ClientRequest`: the body of a POST.
    """
    clients: list[type[BaseModel]] = list(CLIENT_FRAMES.values())
    _, both = models_json_schema([(model, "validation") for model in (*clients, *SERVER_FRAMES)])
    definitions: dict[str, Any] = {name: _without_noise(one) for name, one in both["$defs"].items()}
    for model in clients:
        definitions[model.__name__]["required"] = _required(model, sent=False)
    for model in SERVER_FRAMES:
        definition = definitions[model.__name__]
        definition["required"] = _required(model, sent=True)
        for name in definition["properties"].keys() - set(definition["required"]):
            definition["properties"][name] = _never_null(definition["properties"][name])
    definitions["ClientFrame"] = _one_of(clients)
    definitions["ServerFrame"] = _one_of(SERVER_FRAMES)
    definitions["ClientMessage"] = _message("ClientFrame", most=MOST_FRAMES)
    definitions["ServerMessage"] = _message("ServerFrame", most=None)
    definitions["ClientRequest"] = {
        "description": "What the client of an event stream posts.",
        "type": "object",
        "properties": {
            "session": {"type": "string"},
            "number": {"type": "integer", "minimum": 1, "maximum": MOST_ID},
            "frames": _frames("ClientFrame", most=MOST_FRAMES),
        },
        "required": ["session", "number", "frames"],
    }
    return {
        "$schema": _DRAFT,
        "title": "rooms.v1",
        "anyOf": [_ref("ClientMessage"), _ref("ServerMessage"), _ref("ClientRequest")],
        "$defs": dict(sorted(definitions.items())),
    }


def text() -> str:
    """The schema as it is in the documentation."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _required(model: type[BaseModel], *, sent: bool) -> list[str]:
    """What must be there; of what a server sends, all but what is left out while it is `None`."""
    fields = model.model_fields.items()
    return [
        name
        for name, field in fields
        if field.is_required() or ((sent or name == "type") and field.default is not None)
    ]


def _without_noise(definition: dict[str, Any]) -> dict[str, Any]:
    """Without titles and defaults, and of a description the first line: the page has the rest."""
    plain: dict[str, Any] = {}
    for key, value in definition.items():
        if key == "description":
            plain[key] = value.partition("\n")[0]
        elif key == "properties":
            plain[key] = {name: _without_noise(one) for name, one in value.items()}
        elif key not in ("title", "default"):
            plain[key] = value
    return plain


def _never_null(definition: dict[str, Any]) -> dict[str, Any]:
    (kind,) = [one for one in definition["anyOf"] if one != {"type": "null"}]
    return {**{key: value for key, value in definition.items() if key != "anyOf"}, **kind}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _one_of(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    return {"oneOf": [_ref(model.__name__) for model in models]}


def _message(frame: str, *, most: int | None) -> dict[str, Any]:
    return {"anyOf": [_ref(frame), _frames(frame, most=most)]}


def _frames(frame: str, *, most: int | None) -> dict[str, Any]:
    bounds = {"minItems": 1} if most is None else {"minItems": 1, "maxItems": most}
    return {"type": "array", "items": _ref(frame), **bounds}


if __name__ == "__main__":
    sys.stdout.write(text())
