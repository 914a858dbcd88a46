"""How long the tests run: for minutes, as in CI, or as long as `make soak` takes."""

import os
from typing import Final

SOAK: Final = bool(os.environ.get("ROOMS_SOAK"))
"""Whether deadlines are those that users have, and runs are long: `make soak`. Else deadlines are a tenth."""

LONGER: Final = 10 if SOAK else 1


def examples(of_soak: int) -> int:
    """How many examples Hypothesis tries: so many in `make soak`, else a quarter."""
    return of_soak if SOAK else max(10, of_soak // 4)
