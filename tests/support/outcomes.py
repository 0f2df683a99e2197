"""Outcomes of files with one lead time."""

from __future__ import annotations

from typing import Any

from hrrr_dask.records import FileOutcome, GribFile


def hourly_outcome(file: GribFile, *args: Any, **about: Any) -> FileOutcome:
    """Make the outcome of a file of an hourly product."""
    return FileOutcome(file, 60 * file.lead_hours, *args, **about)
