"""``hrrr-dask``: parse the command line, call the API, print. stdout has the result, stderr has progress and messages.

Uses everything below; nothing uses it.
"""

from __future__ import annotations

from hrrr_dask.cli.commands import cli, main

__all__ = ["cli", "main"]
