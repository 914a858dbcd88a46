"""Tables and links of the documentation against the code: names, defaults, codes, modules."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

import fastapi_rooms
from fastapi_rooms import CloseCode, DisconnectReason, Limits, QueueLimits, auth, errors, testing
from fastapi_rooms.hub import Hub

from .snippets import PAGES, ROOT

DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE_ROW = re.compile(r"^\| (\d{4}) \| `([A-Z_]+)` \| .* \| (yes|no) \|$", re.MULTILINE)
KIB = 1024


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_every_close_code_is_in_the_table_with_its_advice() -> None:
    rows = CODE_ROW.findall(text_of("reference/close-codes.md"))
    told = {(int(code), name, advice == "yes") for code, name, advice in rows}
    assert told == {(code.value, code.name, code.reconnect) for code in CloseCode}


def test_the_pages_rule_for_coming_back_is_that_of_the_library() -> None:
    found = re.search(r"!\[([\d, ]+)\]\.includes", text_of("reference/close-codes.md"))
    assert found is not None
    listed = {int(code) for code in found[1].split(",")}
    assert listed == {code.value for code in CloseCode if code < 4000 and not code.reconnect}


def test_every_reason_for_a_disconnect_is_explained() -> None:
    told = set(re.findall(r"`([A-Z_]+)`", text_of("topics/lifecycle.md")))
    assert {reason.name for reason in DisconnectReason} <= told


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("QueueLimits.messages", "1,024"),
        ("QueueLimits.bytes", "1 MiB"),
        ("QueueLimits.send_timeout", "5 s"),
        ("QueueLimits.close_timeout", "2 s"),
        ("Limits.message_bytes", "64 KiB"),
        ("Limits.inbox_messages", "32"),
        ("Limits.inbox_bytes", "256 KiB"),
        ("Limits.idle_timeout", "off"),
    ],
)
def test_the_defaults_in_the_tables_are_those_of_the_code(name: str, default: str) -> None:
    assert f"| `{name}` | {default} |" in text_of("topics/backpressure.md")
    options, field = name.split(".")
    assert _amount(default) == getattr({"QueueLimits": QueueLimits(), "Limits": Limits()}[options], field)


def _amount(text: str) -> float | None:
    if text == "off":
        return None
    number, _, unit = text.replace(",", "").partition(" ")
    return float(number) * {"": 1, "s": 1, "KiB": KIB, "MiB": KIB * KIB}[unit]


def test_every_option_is_in_the_reference() -> None:
    names = {field.name for options in (QueueLimits, Limits) for field in fields(options)}
    docstrings = f"{QueueLimits.__doc__}{Limits.__doc__}"
    assert {name for name in names if f"    {name}: " not in docstrings} == set()


def test_every_public_name_is_in_the_reference() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    told = set(re.findall(r"^::: fastapi_rooms\.(?:\w+\.)*(\w+)$", pages, re.MULTILINE))
    told |= set(re.findall(r"^ +- (\w+)$", pages, re.MULTILINE))  # members of the errors module
    public = {*fastapi_rooms.__all__, *auth.__all__, *testing.__all__} - {"DEFAULT_SOURCES"}
    assert public - told == set()
    assert "DEFAULT_SOURCES" in pages


@pytest.mark.parametrize("manager", [fastapi_rooms.ConnectionManager, fastapi_rooms.RoomManager, Hub])
def test_every_method_of_a_manager_is_in_the_reference(manager: type) -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    ours = [one for one in manager.__mro__ if one.__module__.startswith("fastapi_rooms.")]
    public = {one.__name__ for one in ours if any(not name.startswith("_") for name in vars(one))}
    assert public - set(re.findall(r"^::: fastapi_rooms\.(?:\w+\.)*(\w+)$", pages, re.MULTILINE)) == set()


def test_the_tree_of_errors_is_the_one_in_the_module() -> None:
    tree = re.search(r"```text\n(.*?)```", text_of("reference/errors.md"), re.DOTALL)
    assert tree is not None
    told = set(re.findall(r"^[│├└─ ]*(\w+)", tree[1], re.MULTILINE))
    classes = {name for name in dir(errors) if _is_ours(getattr(errors, name))}
    classes |= {name for name in auth.__all__ if _is_ours(getattr(auth, name))}
    assert told == classes


def _is_ours(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, errors.RoomsError)


def test_the_layer_table_names_every_module_once_and_in_the_order_of_the_contract() -> None:
    house = text_of("topics/design.md").split("## The house")[1].split("## ")[0]
    rows = [line.split("|")[2] for line in house.splitlines() if re.match(r"\| (\d )?\|", line)]
    told = [[name.strip("/") for name in re.findall(r"`([\w/]+)`", row)] for row in rows]
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("layers = [")[1].split("]")[0]
    layers = [names.split(" | ") for names in re.findall(r'"([^"]+)"', contract)]
    assert [sorted(row) for row in told if row] == [sorted(layer) for layer in layers]
    package = Path(fastapi_rooms.__file__).parent
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert {name for row in told for name in row} == modules - {"__init__", "_examples"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files_that_exist(name: str) -> None:
    text = without_code((ROOT / name).read_text(encoding="utf-8"))
    targets = [match["target"].split("#")[0] for match in LINK.finditer(text)]
    relative = [target for target in targets if target and "://" not in target]
    assert [target for target in relative if not (ROOT / target).exists()] == []


def test_no_page_asks_another_host_for_anything() -> None:
    """Links may lead away; images, scripts, fonts and styles may not."""
    for path in PAGES:
        text = without_code(path.read_text(encoding="utf-8"))
        assert re.search(r"!\[[^\]]*\]\(https?://|<(script|link|img|iframe)\b", text) is None, path
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "://" not in settings
