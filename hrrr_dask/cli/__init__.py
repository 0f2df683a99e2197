"""The command line ``hrrr-dask``: parses, calls the API, prints. Results go to stdout, progress and messages to stderr.

Uses everything below; nothing uses it.
"""

from __future__ import annotations

from hrrr_dask.cli import services  # noqa: F401  its commands join the group
from hrrr_dask.cli.commands import cli, main

__all__ = ["cli", "main"]
