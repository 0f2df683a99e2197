"""Shared by the scripts: JSON logs, a clean stop on SIGTERM, and exit codes for Kubernetes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrrr_dask.errors import HrrrDaskError
from hrrr_dask.telemetry import faults
from hrrr_dask.telemetry.logs import FORMAT_VARIABLE, LEVEL_VARIABLE, configure_logs, get_log, reset_logs

if TYPE_CHECKING:
    from hrrr_dask.report.results import Report
    from hrrr_dask.report.watched import WatchReport

EXIT_WITH_GAPS = 3
"""Exit code of ``hrrr-dask`` if everything is done and the archive has gaps."""


_log = get_log()


def run_and_report(action: Callable[[], Report | WatchReport], *, gaps_are_done: bool) -> int:
    """Run an action, print its report as JSON to stdout and its logs to stderr, and return the exit code.

    Parameters
    ----------
    action : callable
        Returns the report.
    gaps_are_done : bool
        Whether gaps are a success: for Kubernetes, every exit code except 0 is a failure.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container ignores it by default
    configure_logs(os.environ.get(FORMAT_VARIABLE, "json"), os.environ.get(LEVEL_VARIABLE, "info"))
    if complaint := faults.prepare():
        _log.warning(complaint)
    try:
        with faults.reported("command", command=Path(sys.argv[0]).name):
            report = action()
    except HrrrDaskError as error:
        _log.error(str(error), code=error.code)
        return error.exit_code
    except KeyboardInterrupt:
        _log.warning("stopped; run the same command again to do the rest")
        return 1
    finally:
        reset_logs()
    json.dump({"outcome": report.outcome, **dataclasses.asdict(report)}, sys.stdout, default=datetime.isoformat)
    sys.stdout.write("\n")
    return 0 if gaps_are_done and report.exit_code == EXIT_WITH_GAPS else report.exit_code


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Parse settings such as ``lead_hours=0-36`` into keyword arguments of ``hrrr_dask.backfill``."""
    return {name: _number_or_text(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _number_or_text(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
