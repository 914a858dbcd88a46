"""What every test must leave behind: nothing.

A test fails at its teardown if it leaves a pending asyncio task, an error in the log of `fastapi_rooms` or
`asyncio`, a coroutine that was never awaited, or a task whose exception nobody saw. (The last two show once they
are collected: Python warns of the one, which `filterwarnings = error` turns into a failure; asyncio's default
exception handler logs the other.)
"""

import asyncio
import gc
import importlib
import logging
import pkgutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

import fastapi_rooms
from brokers.scale import examples

pytest_plugins = ["pytester", "chromium"]

WATCHED_LOGGERS = ("fastapi_rooms", "asyncio")
TURN = 0.0002
"""Seconds that pass with each turn of a loop whose time passes by turns."""

LOGGED_ERRORS_MARKER = (
    "logged_errors(*loggers): this test logs errors on purpose, to 'fastapi_rooms' or to the loggers named"
)
UNMEASURED_MARKER = "unmeasured: what this test runs of ours was measured elsewhere"
WHOLE_MARKER = "whole: what users see, as a whole; for `make test-all`, and CI"

WHOLES = ("examples", "proofs")
WHOLE_FILES = ("test_tutorial", "test_readme_page", "test_hostile")
"""Tests of what users see, as a whole, as are all in a browser: they take as long as all others."""

ELSEWHERE = ("conformance", "differential", "docs", "examples", "js", "proofs", "rfc")
"""Folders of tests whose servers are processes of their own: what is measured here is the tests."""

STORIES = {
    Path("client", "test_tail.py"),
    *(
        Path("brokers", f"test_{name}.py")
        for name in (
            *("story_of_rooms", "races", "history_processes", "history_stalled", "history_entry"),
            *("presence_processes", "worker_processes", "rooms_across_processes", "four_workers"),
            *("presence", "outages", "history_outages", "redis_cluster", "ticket_stores"),
            *("broker_conformance", "stream_conformance"),
        )
    ),
}
"""Tests that take long over what others have tried."""

LIGHT = ("auth", "rfc", "testing", "unit")
"""Folders whose modules go to a worker whole: pytest-xdist takes longer to hand out their tests than they take."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Measure how our modules are imported, and not how tests are found: that takes twice as long measured."""
    tracing = sys.gettrace()
    if tracing is not None:
        for module in pkgutil.walk_packages(fastapi_rooms.__path__, "fastapi_rooms."):
            importlib.import_module(module.name)
        sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracing)


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A module's pages share one browser, and so one worker; what takes longest comes first."""
    items.sort(key=lambda item: item.path.parent.name not in WHOLES)
    for item in items:
        alone = any(item.iter_markers("xdist_group")) or item.get_closest_marker("hypothesis")
        if item.path.parent.name in LIGHT and not alone:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        if {"browser", "whole_browser"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(f"chromium {item.path.stem}"))
            item.add_marker(pytest.mark.whole)
        if item.path.parent.name in WHOLES or item.path.stem.startswith(WHOLE_FILES):
            item.add_marker(pytest.mark.whole)
        if item.path.parent.name in ELSEWHERE or Path(*item.path.parts[-2:]) in STORIES:
            item.add_marker(pytest.mark.unmeasured)


class Tracer:
    """What measures a test, its fixtures and its teardown, and not pytest around them."""

    of_test: Any = None

    @classmethod
    @contextmanager
    def at_work(cls) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(cls.of_test)
        try:
            yield
        finally:
            sys.settrace(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage where others have, fixtures included: it would take twice as long.

    (pytest-cov's own marker, `no_cover`, does nothing in a worker of pytest-xdist: two measure there, one inside
    the other, and the outer goes on.)
    """
    tracing = sys.gettrace()
    unmeasured = any(item.get_closest_marker(name) for name in ("unmeasured", "hypothesis"))
    Tracer.of_test = None if unmeasured else tracing
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracing)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    with Tracer.at_work():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    with Tracer.at_work():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    with Tracer.at_work():
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", LOGGED_ERRORS_MARKER)
    config.addinivalue_line("markers", UNMEASURED_MARKER)
    config.addinivalue_line("markers", WHOLE_MARKER)
    # How slowly examples are made, and tried, says how busy the machine is.
    calm = [HealthCheck.too_slow]
    settings.register_profile("scaled", max_examples=examples(100), deadline=None, suppress_health_check=calm)
    settings.load_profile("scaled")
    # A shell without job control starts what is in the background with SIGINT ignored; servers would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ErrorRecords(logging.Handler):
    """Keeps what the watched loggers report as an error."""

    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def complain_unless(self, allowed: tuple[str, ...]) -> None:
        errors = [self._text(record) for record in self.records if record.name.split(".")[0] not in allowed]
        if errors:
            pytest.fail("errors were logged:\n" + "\n".join(errors), pytrace=False)

    @staticmethod
    def _text(record: logging.LogRecord) -> str:
        return logging.Formatter("%(name)s %(levelname)s: %(message)s").format(record)


@pytest.fixture(scope="module", autouse=True)
def what_is_older_is_no_garbage() -> None:
    """What the modules before have left is collected before it is set aside."""
    gc.collect()


@pytest.fixture(autouse=True)
def no_error_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test, async or not: no logged errors, and no garbage that complains later.

    What was there before it is set aside: reports alone, by the thousand, take a collection longer than a test.
    """
    gc.freeze()
    errors = ErrorRecords()
    for name in WATCHED_LOGGERS:
        logging.getLogger(name).addHandler(errors)
    try:
        yield
        gc.collect()
    finally:
        for name in WATCHED_LOGGERS:
            logging.getLogger(name).removeHandler(errors)
    marker = request.node.get_closest_marker("logged_errors")
    errors.complain_unless((marker.args or ("fastapi_rooms",)) if marker else ())


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest, no_error_is_left_behind: None) -> None:
    """Async tests get a look at their loop besides, before it closes; sync tests get no loop."""
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("no_task_is_left_behind")


@pytest_asyncio.fixture
async def no_task_is_left_behind(no_error_is_left_behind: None) -> AsyncIterator[None]:
    """Every task has ended with the test and its fixtures: this one is set up first, and torn down last."""
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        pytest.fail("tasks were left behind:\n" + "\n".join(map(repr, tasks)), pytrace=False)


@pytest_asyncio.fixture
async def time_by_turns(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Time that passes with the turns of the loop, and stands still while the machine does.

    For tests without threads and sockets, of what must not happen before its time: nobody can be late for it.
    """
    loop, passed = asyncio.get_running_loop(), 0.0
    began, began_at = loop.time(), time.time()

    async def pass_on() -> None:
        nonlocal passed
        while True:
            passed += TURN
            await asyncio.sleep(0)

    monkeypatch.setattr(loop, "time", lambda: began + passed)
    monkeypatch.setattr(time, "time", lambda: began_at + passed)
    passing = asyncio.create_task(pass_on())
    yield
    passing.cancel()
    await asyncio.wait((passing,))
