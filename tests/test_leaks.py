"""That `conftest.py` fails a test for each kind of thing left behind. Each runs a small suite of its own."""

from pathlib import Path
from textwrap import dedent

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text()
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = --strict-markers -p no:cacheprovider -p no:hypothesispytest -p no:xdist
filterwarnings = error
"""
IMPORTS = """
import asyncio
import gc
import logging

import pytest
"""

pytestmark = pytest.mark.logged_errors("fastapi_rooms", "asyncio")  # those of the small suites


def outcome(pytester: pytest.Pytester, test: str) -> pytest.RunResult:
    pytester.makeini(SETTINGS)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(IMPORTS + dedent(test))
    return pytester.runpytest_inprocess()


def assert_fails(pytester: pytest.Pytester, test: str, *complaints: str) -> None:
    result = outcome(pytester, test)
    counts = result.parseoutcomes()
    assert counts.get("errors", 0) + counts.get("failed", 0) == 1
    result.stdout.fnmatch_lines([f"*{complaint}*" for complaint in complaints])


def assert_passes(pytester: pytest.Pytester, test: str, *, passed: int = 1) -> None:
    outcome(pytester, test).assert_outcomes(passed=passed)


def test_a_test_that_leaves_nothing_passes(pytester: pytest.Pytester) -> None:
    assert_passes(
        pytester,
        """
        async def test_async():
            task = asyncio.create_task(asyncio.sleep(0))
            await task
            logging.getLogger("fastapi_rooms").warning("no error")
            logging.getLogger("another").error("not ours")

        def test_sync():
            asyncio.run(asyncio.sleep(0))
        """,
        passed=2,
    )


def test_a_task_that_is_left_behind_fails_the_test(pytester: pytest.Pytester) -> None:
    assert_fails(
        pytester,
        """
        async def test_leak():
            asyncio.create_task(asyncio.Event().wait(), name="forgotten")
        """,
        "tasks were left behind:",
        "name='forgotten'",
    )


def test_a_task_that_a_fixture_ends_is_not_left_behind(pytester: pytest.Pytester) -> None:
    assert_passes(
        pytester,
        """
        @pytest.fixture
        async def task():
            task = asyncio.create_task(asyncio.Event().wait())
            yield task
            task.cancel()
            await asyncio.wait({task})

        async def test_uses_it(task):
            await asyncio.sleep(0)
        """,
    )


@pytest.mark.parametrize("logger", ["fastapi_rooms", "fastapi_rooms.writer", "asyncio"])
@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_logged_error_fails_the_test(pytester: pytest.Pytester, logger: str, kind: str) -> None:
    assert_fails(
        pytester,
        f"""
        {kind} test_leak():
            logging.getLogger({logger!r}).error("it broke")
        """,
        "errors were logged:",
        f"{logger} ERROR: it broke",
    )


def test_the_marker_allows_our_errors_only(pytester: pytest.Pytester) -> None:
    test = """
        @pytest.mark.logged_errors
        def test_ours():
            logging.getLogger("fastapi_rooms.writer").error("on purpose")

        @pytest.mark.logged_errors("asyncio")
        def test_named():
            logging.getLogger("asyncio").error("on purpose")
        """
    assert_passes(pytester, test, passed=2)
    assert_fails(
        pytester,
        """
        @pytest.mark.logged_errors
        def test_not_asyncio():
            logging.getLogger("asyncio").error("it broke")
        """,
        "asyncio ERROR: it broke",
    )


def test_a_coroutine_that_is_never_awaited_fails_the_test(pytester: pytest.Pytester) -> None:
    assert_fails(
        pytester,
        """
        async def test_leak():
            asyncio.sleep(0)
        """,
        "*coroutine 'sleep' was never awaited*",
    )


def test_so_does_one_that_only_the_collector_finds(pytester: pytest.Pytester) -> None:
    assert_fails(
        pytester,
        """
        async def test_leak():
            cycle = [asyncio.sleep(0)]
            cycle.append(cycle)
        """,
        "*coroutine 'sleep' was never awaited*",
    )


def test_a_task_whose_exception_nobody_saw_fails_the_test(pytester: pytest.Pytester) -> None:
    assert_fails(
        pytester,
        """
        async def fails():
            raise LookupError("unseen")

        async def test_leak():
            task = asyncio.create_task(fails())
            await asyncio.wait({task})
        """,
        "asyncio ERROR: Task exception was never retrieved",
        "LookupError: unseen",
    )


def test_so_does_a_task_of_a_sync_test(pytester: pytest.Pytester) -> None:
    assert_fails(
        pytester,
        """
        async def fails():
            raise LookupError("unseen")

        async def run():
            cycle = [asyncio.create_task(fails())]
            cycle.append(cycle)
            await asyncio.wait(cycle[:1])

        def test_leak():
            asyncio.run(run())
        """,
        "asyncio ERROR: Task exception was never retrieved",
    )
