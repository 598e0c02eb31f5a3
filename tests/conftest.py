"""Settings that must stand before anything imports torch, and those of hypothesis."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Tests run in one process a core (`make test`); threads of torch on top would only get in the way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test fails for being slow: how long something takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
