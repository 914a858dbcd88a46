"""The page of the wire protocol against the models: its examples, its tables, and the schema beside it."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from fastapi_rooms import CloseCode, Limits
from fastapi_rooms.history_ports import Reason
from fastapi_rooms.hub import exchange, failures, uplinks
from fastapi_rooms.options import Heartbeat
from fastapi_rooms.protocol.client_frames import CLIENT_FRAMES, MOST_ID
from fastapi_rooms.protocol.reading import MOST_FRAMES, SUBPROTOCOL, Flaw, read
from fastapi_rooms.protocol.schema import schema, text
from fastapi_rooms.protocol.server_frames import SERVER_FRAMES, ServerFrame

from .snippets import ROOT

PAGE = (ROOT / "docs/reference/protocol.md").read_text(encoding="utf-8")
SCHEMA_FILE = ROOT / "docs/assets/rooms.v1.schema.json"
SCHEMA = schema()
DEFINITIONS = SCHEMA["$defs"]
BLOCK = re.compile(r"^```json (?P<who>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [(found["who"], found["text"]) for found in BLOCK.finditer(PAGE)]
SERVER: dict[str | None, type[ServerFrame]] = {kind.model_fields["type"].default: kind for kind in SERVER_FRAMES}


def blocks_of(who: str) -> list[str]:
    return [text for one, text in BLOCKS if one == who]


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    table = re.search(rf"^#+ {heading}$(?:.|\n)*?((?:^\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()[2:]]


def codes_in(path: Path) -> set[str]:
    """The codes of errors that a module answers with."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("HubError", "ErrorFrame"):
                found |= _texts(node.args[:1])
            found |= _texts([one.value for one in node.keywords if one.arg == "code"])
    return found


def _texts(nodes: list[ast.expr]) -> set[str]:
    return {one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def all_codes() -> set[str]:
    found = {failures.INTERNAL, *failures._CODE_OF_STATUS.values()}
    for folder in ("hub", "protocol"):
        for path in (ROOT / "src/fastapi_rooms" / folder).glob("*.py"):
            found |= codes_in(path)
    source = Path(failures.__file__).read_text(encoding="utf-8")
    return found | set(re.findall(r'^ +return "(\w+)",', source, re.MULTILINE))


def test_every_block_says_who_says_it() -> None:
    assert len(BLOCKS) == PAGE.count("```json")
    assert {who for who, _ in BLOCKS} == {"client", "server", "post"}


@pytest.mark.parametrize("block", blocks_of("client"))
def test_what_a_client_says_on_the_page_is_read_without_a_flaw(block: str) -> None:
    (frame,) = read(block)
    assert not isinstance(frame, Flaw)
    told = json.loads(block)
    assert type(frame) is CLIENT_FRAMES[told["type"]]
    assert frame.model_dump(include=set(told)) == told, "a field of the example is none of the model"


@pytest.mark.parametrize("block", blocks_of("server"))
def test_what_the_server_says_on_the_page_is_what_the_models_say(block: str) -> None:
    told = json.loads(block)
    frame = SERVER[told.get("type")].model_validate(told)
    assert frame.model_dump() == told
    assert json.loads(str(frame.payload().data)) == told


@pytest.mark.parametrize("block", blocks_of("post"))
def test_what_a_client_posts_on_the_page_is_taken(block: str) -> None:
    up = uplinks.read_up(block.encode())
    assert up is not None
    assert up.model_dump() == json.loads(block)
    assert not any(isinstance(frame, Flaw) for frame in read(json.dumps(up.frames)))


def test_every_frame_has_an_example() -> None:
    for who, types in (("client", CLIENT_FRAMES), ("server", SERVER)):
        told = {json.loads(block).get("type") for block in blocks_of(who)}
        assert told == set(types)


def test_the_errors_on_the_page_are_those_of_the_code() -> None:
    told = {code for cells in rows_of("Errors") for code in re.findall(r"`([a-z_]+)`", cells[0])}
    assert told == all_codes()


def test_errors_are_looked_for_where_they_are_made() -> None:
    assert {"not_joined", "unknown_command", "forbidden"} <= codes_in(Path(exchange.__file__))


def test_the_statuses_of_http_mean_what_the_page_says() -> None:
    for cells in rows_of("Errors"):
        codes = re.findall(r"`(\w+)`", cells[0])
        statuses = re.search(r"in HTTP: ([\d, ]+)$", cells[1])
        if statuses is not None:
            told = dict(zip(map(int, statuses[1].split(",")), codes, strict=True))
            assert told.items() <= failures._CODE_OF_STATUS.items()


def test_the_reasons_for_messages_that_are_missing_are_those_of_the_code() -> None:
    row = next(cells for cells in rows_of("Rooms") if cells[0] == "`reason`")
    assert set(re.findall(r"`(\w+)`", row[1])) == set(get_args(Reason))


def test_the_statuses_of_posts_on_the_page_are_those_of_the_code() -> None:
    told = {
        int(status) for cells in rows_of("Where WebSockets do not pass") for status in re.findall(r"\d+", cells[0])
    }
    statuses = {uplinks.TAKEN, uplinks.ANOTHER_USER, uplinks.NO_SESSION, uplinks.OUT_OF_ORDER, uplinks.TOO_LONG}
    assert statuses | {uplinks.FULL, uplinks.OUT_OF_REACH} <= told


def test_the_close_codes_on_the_page_are_those_of_the_library() -> None:
    told = {int(code) for code in re.findall(r"\b(?:4[05]\d\d|10[01]\d)\b", PAGE)} - {4000, 4499, 4500, 4999}
    assert told <= {code.value for code in CloseCode}


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    assert f"`{SUBPROTOCOL}`" in PAGE
    assert f"{MOST_FRAMES} at most" in PAGE
    assert MOST_ID == 2**53 - 1
    assert "from 0 to 2⁵³ \N{MINUS SIGN} 1" in PAGE
    assert f"within {Limits().authentication_timeout:g} s" in PAGE
    heartbeat = Heartbeat()
    connected = next(json.loads(one) for one in blocks_of("server") if '"connected"' in one)
    assert connected["heartbeat"] == heartbeat.interval + heartbeat.timeout


def test_the_schema_beside_the_page_is_made_from_the_models() -> None:
    again = "python -m fastapi_rooms.protocol.schema > docs/assets/rooms.v1.schema.json"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == text(), f"write it anew: {again}"


def test_the_schema_is_written_by_a_command() -> None:
    command = [sys.executable, "-m", "fastapi_rooms.protocol.schema"]
    written = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert written.stdout.decode("utf-8") == text()


# What the schema says is checked by a validator of the few keywords that it uses.


def valid(value: Any, rule: dict[str, Any]) -> bool:
    if "$ref" in rule:
        return valid(value, DEFINITIONS[rule["$ref"].rpartition("/")[2]])
    unknown = rule.keys() - CHECKS.keys() - NOTES
    assert not unknown, unknown
    return all(check(value, rule[key], rule) for key, check in CHECKS.items() if key in rule)


def _has_type(value: Any, name: str, _rule: dict[str, Any]) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    return isinstance(value, kinds[name]) and (name == "boolean" or not isinstance(value, bool))


NOTES = {"description"}
CHECKS: dict[str, Callable[[Any, Any, dict[str, Any]], bool]] = {
    "type": _has_type,
    "const": lambda value, const, _: value == const,
    "enum": lambda value, values, _: value in values,
    "anyOf": lambda value, rules, _: any(valid(value, rule) for rule in rules),
    "oneOf": lambda value, rules, _: sum(valid(value, rule) for rule in rules) == 1,
    "required": lambda value, names, _: set(names) <= value.keys(),
    "properties": lambda value, rules, _: all(
        valid(value[name], rules[name]) for name in rules.keys() & value.keys()
    ),
    "additionalProperties": lambda value, rule, all_: (
        rule is True
        or all(valid(one, rule) for name, one in value.items() if name not in all_.get("properties", {}))
    ),
    "items": lambda value, rule, _: all(valid(one, rule) for one in value),
    "minItems": lambda value, bound, _: len(value) >= bound,
    "maxItems": lambda value, bound, _: len(value) <= bound,
    "minLength": lambda value, bound, _: len(value) >= bound,
    "maxLength": lambda value, bound, _: len(value) <= bound,
    "minimum": lambda value, bound, _: value >= bound,
    "maximum": lambda value, bound, _: value <= bound,
}
DEFINED = {"client": "ClientMessage", "server": "ServerMessage", "post": "ClientRequest"}


@pytest.mark.parametrize(("who", "block"), BLOCKS)
def test_every_example_is_valid_by_the_schema_and_without_a_field_it_is_not(who: str, block: str) -> None:
    value = json.loads(block)
    assert valid(value, DEFINITIONS[DEFINED[who]])
    assert valid(value, {"anyOf": SCHEMA["anyOf"]})
    if who != "post":
        assert valid([value, value], DEFINITIONS[DEFINED[who]])
        name = (CLIENT_FRAMES if who == "client" else SERVER)[value.get("type")].__name__
        for field in DEFINITIONS[name]["required"]:
            if field == "type" and "data" in value and who == "server":
                continue  # without one it is a message
            assert not valid({key: one for key, one in value.items() if key != field}, DEFINITIONS[DEFINED[who]])


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"type": "what"},
        {"type": "join", "id": True, "room": "a"},
        {"type": "join", "id": 2**53, "room": "a"},
        {"type": "send", "command": ""},
        {"type": "left", "id": None, "room": "a"},
        {"type": "joined", "room": "a", "presence": True, "reason": "because"},
        [{"type": "join", "id": 1, "room": "a"}] * 65,
        {"session": "s", "number": 0, "frames": [{"type": "pong"}]},
        {"session": "s", "number": 1, "frames": []},
    ],
)
def test_the_schema_refuses_what_is_none_of_it(value: Any) -> None:
    assert not valid(value, {"anyOf": SCHEMA["anyOf"]})


def test_what_the_schema_calls_valid_of_clients_is_read_without_a_flaw() -> None:
    for name, model in CLIENT_FRAMES.items():
        least = {
            field: _some(DEFINITIONS[model.__name__]["properties"][field], name)
            for field in DEFINITIONS[model.__name__]["required"]
        }
        assert valid(least, DEFINITIONS["ClientMessage"])
        assert not any(isinstance(frame, Flaw) for frame in read(json.dumps(least)))
        TypeAdapter(model).validate_python(least)


def _some(rule: dict[str, Any], name: str) -> Any:
    return rule.get("const") or {"integer": 0, "string": name, "object": {}}[rule["type"]]
