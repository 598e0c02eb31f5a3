"""What `ahl` and `python -m adapterhub_lite` start."""

from __future__ import annotations

import gc


def run() -> None:
    """Run the command line.

    Starting makes no garbage, so none is looked for until a command works (`AhlCommand.brief`).
    """
    gc.disable()
    from adapterhub_lite.cli import main

    main()


if __name__ == "__main__":
    run()
