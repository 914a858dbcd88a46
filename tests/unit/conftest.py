"""Quick collections: hundreds of small tests each end with one (see `tests/conftest.py`)."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def what_is_imported_is_not_collected() -> Iterator[None]:
    """Modules are no garbage: set aside, they need not be walked through after every test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
