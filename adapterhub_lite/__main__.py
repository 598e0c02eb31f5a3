"""`python -m adapterhub_lite` is `ahl`."""

from adapterhub_lite.cli import main

main()
