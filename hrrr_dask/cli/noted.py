"""The result of the running command, for the options that do something with it when the command ends."""

from __future__ import annotations

from typing import Any, Final

import click

__all__ = ["note_report", "noted_report"]

_REPORT: Final = "hrrr_dask.report"


def note_report(report: object) -> None:
    """Keep the result of the running command."""
    click.get_current_context().meta[_REPORT] = report


def noted_report() -> Any:
    """Return the result of the running command; None if it has none yet."""
    return click.get_current_context().meta.get(_REPORT)
