"""Regular expressions that strangers wrote, tried with a bound on time and memory.

PEFT's configs may hold an expression that chooses modules by name, and Python's engine needs
exponential time for some of a dozen letters: `([a-z_0-9.]+)+X` does not return.  It cannot be
interrupted from inside, so it runs in a process of its own that is ended when its time is over.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.foreign.reading import Reader

LONGEST = 1000
"""Characters of a pattern: longer than any that a person writes."""

MOST = 100_000
"""Names that one pattern is tried on: more than any model has modules."""

SECONDS = 3.0

_CHILD = """
import json, re, resource, sys
seconds, memory = int(sys.argv[1]), 512 * 2**20
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
pattern, names = json.load(sys.stdin)
try:
    compiled = re.compile(pattern)
except (re.error, OverflowError, RecursionError, MemoryError) as error:
    json.dump(str(error) or type(error).__name__, sys.stdout)
else:
    json.dump([compiled.fullmatch(name) is not None for name in names], sys.stdout)
"""


def bounded_fullmatch(
    pattern: str, names: Sequence[str], *, seconds: float = SECONDS
) -> tuple[bool, ...]:
    """Return for each name whether the whole of it matches, as `re.fullmatch` would.

    Raises:
        ExchangeError: too long, no regular expression, or not done in time.
    """
    if not isinstance(pattern, str) or len(pattern) > LONGEST:
        raise ExchangeError(f"a pattern is text of at most {LONGEST} characters")
    if len(names) > MOST:
        raise ExchangeError(f"a pattern is tried on at most {MOST} names, found {len(names)}")
    answer = _ask(pattern, names, seconds)
    if isinstance(answer, str):
        raise ExchangeError(f"`{pattern}` is no regular expression: {answer}")
    return tuple(answer)


def _ask(pattern: str, names: Sequence[str], seconds: float) -> list[bool] | str:
    command = [sys.executable, "-I", "-S", "-c", _CHILD, str(int(seconds) + 1)]
    try:
        run = subprocess.run(  # noqa: S603  # our own interpreter on the program above
            command,
            input=json.dumps([pattern, list(names)]).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        raise ExchangeError(
            f"the pattern `{pattern}` does not come to an end on {len(names)} names",
            hint="list the modules by name instead of by a pattern",
        ) from None
    answer: list[bool] | str = Reader(ExchangeError).json(run.stdout, "the answer of a pattern")
    return answer
