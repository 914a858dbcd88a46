"""The contestants: one ASGI application each, alike in everything but what is measured.

In the fan-out applications whoever sends a text has it broadcast to all, unchanged.
"""

import os

from benchmarks import sampler

if sampler.VARIABLE in os.environ:
    sampler.start()
