"""The client's types: they fit how it is used, and what it is."""

import json
import re
from pathlib import Path

import pytest

from .javascript import CLIENT, HERE, node, run, tsc

STRICT = ("--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess")
QUICKLY = ("--skipDefaultLibCheck",)  # TypeScript's own declarations are right
TARGET = ("--target", "es2022")


@pytest.mark.parametrize("lib", ["es2022,dom", "es2022"], ids=["in a page", "elsewhere"])
def test_what_is_right_is_taken_and_what_is_wrong_is_refused(lib: str) -> None:
    run(
        tsc(),
        *STRICT,
        *QUICKLY,
        *TARGET,
        "--module",
        "nodenext",
        "--lib",
        lib,
        str(HERE / "usage.ts"),
        str(CLIENT / "rooms.d.ts"),
    )


def test_the_package_is_found_by_its_name_with_its_types(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "fastapi-rooms"
    package.mkdir(parents=True)
    for name in ("package.json", *json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))["files"]):
        (package / name).write_bytes((CLIENT / name).read_bytes())
    page = 'import { Rooms } from "fastapi-rooms";\nconst state: Rooms["state"] = "waiting";\nstate;\n'
    (tmp_path / "page.mts").write_text(page, encoding="utf-8")
    for module, how in (("nodenext", "nodenext"), ("esnext", "bundler")):
        run(
            tsc(),
            *STRICT,
            *QUICKLY,
            *TARGET,
            "--module",
            module,
            "--moduleResolution",
            how,
            "--lib",
            "es2022",
            "page.mts",
            cwd=tmp_path,
        )
    (tmp_path / "run.mjs").write_text(
        'import { Rooms } from "fastapi-rooms"; console.log(Rooms.name);', encoding="utf-8"
    )
    assert run(node(), "run.mjs", cwd=tmp_path).strip() == "Rooms"


def test_all_that_the_client_has_is_declared_and_nothing_else() -> None:
    script = f"""
        import {{ Rooms, RoomsError }} from "{(CLIENT / "rooms.js").as_uri()}";
        const names = (it) => {{
          const found = new Set(Object.keys(it));
          for (let kind = it.constructor.prototype; kind !== Object.prototype; kind = kind.__proto__) {{
            for (const name of Object.getOwnPropertyNames(kind)) found.add(name);
          }}
          return [...found].filter((name) => !name.startsWith("_") && name !== "constructor").sort();
        }};
        const socket = class {{ close() {{}} }};
        const rooms = new Rooms("http://hub.test", {{ WebSocket: socket }});
        const room = rooms.join("lobby");
        const all = {{ Rooms: names(rooms), Room: names(room), Presence: names(room.presence) }};
        rooms.close();
        console.log(JSON.stringify(all));
    """
    there = json.loads(run(node(), "--input-type=module", "--eval", script))
    declared = _declared((CLIENT / "rooms.d.ts").read_text(encoding="utf-8"))
    known_once_connected = {"Rooms": {"user", "connection"}, "Room": set(), "Presence": set()}
    for kind, names in there.items():
        assert set(names) | known_once_connected[kind] == declared[kind], kind


def _declared(types: str) -> dict[str, set[str]]:
    found = {}
    for kind in ("Rooms", "Room", "Presence"):
        body = re.search(rf"^export (?:class|interface) {kind}<.*?^}}", types, re.DOTALL | re.MULTILINE)
        assert body is not None, kind
        members = re.findall(r"^  (?:readonly )?(\w+)(?:<.*?>)?[(:]", body[0], re.MULTILINE)
        found[kind] = set(members) - {"constructor"}
    return found
