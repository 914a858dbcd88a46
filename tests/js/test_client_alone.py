"""The JavaScript client with sockets, streams and a clock that obey: `node --test tests/js/*.test.mjs`."""

import re
from pathlib import Path

import pytest

from .javascript import HERE, node, run


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.name.split(".")[0])
def test_the_client_does_what_its_own_tests_say(file: Path) -> None:
    printed = run(node(), "--test", "--test-reporter=spec", str(file))
    print(printed)
    assert re.search(r"pass [1-9]", printed), printed
