"""Settings that must stand before anything imports torch."""

from __future__ import annotations

import os

# Tests run in one process a core (`make test`); threads of torch on top would only get in the way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
