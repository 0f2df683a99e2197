"""The command line ``hrrr-dask``: parses, calls the API, prints. Results go to stdout, progress and messages to stderr.

Uses everything below; nothing uses it.
"""

from __future__ import annotations

from hrrr_dask.cli.commands import cli, main
from hrrr_dask.cli.services import check_command, export_command, watch_command  # noqa: F401  they join the group

__all__ = ["cli", "main"]
