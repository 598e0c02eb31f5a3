"""Settings that must stand before anything imports torch, and those of hypothesis."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

# Tests run in one process a core (`make test`); threads of torch on top would only get in the way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What tests trust is nobody's business but theirs: the user's own record stays as it is.
_config = tempfile.mkdtemp(prefix="ahl-config-")
atexit.register(shutil.rmtree, _config, ignore_errors=True)
os.environ["XDG_CONFIG_HOME"] = _config

# No test fails for being slow: how long something takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
