"""`python -m fastapi_rooms`: what it says, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastapi_rooms import __main__ as command


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fastapi_rooms", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_option_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["examples", "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    for part in ("--host", "127.0.0.1", "--port", "8000", "--reload", "ROOMS_SECRET"):
        assert part in text


def test_it_runs_from_any_folder_and_explains_itself(tmp_path: Path) -> None:
    ended = run("--help", folder=tmp_path)
    assert ended.returncode == 0
    assert "serve the gallery of examples" in ended.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["exmaples"], ["examples", "--port", "65536"], ["examples", "--port", "x"]]
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m fastapi_rooms" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["psutil", "jwt"])
def test_a_missing_package_ends_with_2_and_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == missing else object())
    assert command.main(["examples"]) == 2
    assert 'pip install "fastapi-rooms[examples]"' in capsys.readouterr().err


def test_a_missing_server_ends_with_2_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "uvicorn", None)
    assert command.main(["examples"]) == 2
    assert 'pip install "fastapi-rooms[examples]"' in capsys.readouterr().err


def test_examples_inside_the_package_are_found_before_those_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[tuple[str, dict[str, object]]] = []

    class Uvicorn:
        @staticmethod
        def run(app: str, **options: object) -> None:
            started.append((app, options))

    def gallery_in(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "gallery.py").touch()

    package = tmp_path / "src" / "fastapi_rooms"
    monkeypatch.setattr(command, "uvicorn", Uvicorn)
    monkeypatch.setattr(command, "__file__", str(package / "__main__.py"))
    assert command.main(["examples"]) == 2
    assert "the examples are not here" in capsys.readouterr().err

    gallery_in(tmp_path / "examples")
    assert command.main(["examples", "--port", "0", "--reload"]) == 0
    gallery_in(package / "_examples")
    assert command.main(["examples", "--host", "::1"]) == 0

    (checkout, in_checkout), (wheel, in_wheel) = started
    assert (checkout, in_checkout["app_dir"]) == ("examples.gallery:app", str(tmp_path))
    assert (in_checkout["port"], in_checkout["host"], in_checkout["reload"]) == (0, "127.0.0.1", True)
    assert wheel == "fastapi_rooms._examples.gallery:app"
    assert (in_wheel["port"], in_wheel["host"], in_wheel["reload"]) == (8000, "::1", False)
