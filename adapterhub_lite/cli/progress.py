"""What long work says while it runs: the package's log, as plain lines on stderr.

Imported only by commands that run a model, since `logging` is not free at start-up.
"""

from __future__ import annotations

import logging

from adapterhub_lite.cli.output import echo


class _Stderr(logging.Handler):
    """Writes to the stderr of the moment, which tests replace."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message, and keep it if it is a warning."""
        if record.levelno == logging.WARNING:
            self.warnings.append(record.getMessage())
        echo(self.format(record), err=True)


_HANDLER = _Stderr()


def show_log(*, quiet: bool) -> None:
    """Show what the package logs: everything from information up, or only errors."""
    _HANDLER.warnings.clear()
    log = logging.getLogger("adapterhub_lite")
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    logging.getLogger("transformers").setLevel(logging.ERROR if quiet else logging.WARNING)
    if _HANDLER not in log.handlers:
        log.addHandler(_HANDLER)


def warnings() -> list[str]:
    """Return what was warned of since `show_log`, for `--json`; nothing with `--quiet`."""
    return list(_HANDLER.warnings)
