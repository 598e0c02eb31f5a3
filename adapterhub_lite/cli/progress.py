"""What long work says while it runs: the package's log, as plain lines on stderr.

Imported only by commands that run a model, since `logging` is not free at start-up.
"""

from __future__ import annotations

import logging

from adapterhub_lite.cli.output import echo


class _Stderr(logging.Handler):
    """Writes to the stderr of the moment, which tests replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message."""
        echo(self.format(record), err=True)


_HANDLER = _Stderr()


def show_log(*, quiet: bool) -> None:
    """Show what the package logs: everything from information up, or only errors."""
    log = logging.getLogger("adapterhub_lite")
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    logging.getLogger("transformers").setLevel(logging.ERROR if quiet else logging.WARNING)
    if _HANDLER not in log.handlers:
        log.addHandler(_HANDLER)
