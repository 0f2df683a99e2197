"""Point series of the whole HRRR archive, through Dask, in one Zarr store."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrrr_dask.api import add_points, add_variables, backfill, plan, update
    from hrrr_dask.audit.assess import assess
    from hrrr_dask.audit.check import check
    from hrrr_dask.audit.checksums import verify_checksums
    from hrrr_dask.audit.status import compact, status
    from hrrr_dask.audit.verify import verify
    from hrrr_dask.events.watch import watch
    from hrrr_dask.grid.points import read_points
    from hrrr_dask.read.opening import open_dataset
    from hrrr_dask.report.assessment import Assessment
    from hrrr_dask.report.checked import CheckReport
    from hrrr_dask.report.differences import VerifyReport
    from hrrr_dask.report.results import Report, Status
    from hrrr_dask.report.watched import WatchReport
    from hrrr_dask.tables.export import export
    from hrrr_dask.tables.report import ExportReport
    from hrrr_dask.telemetry.logs import configure_logs

__version__ = "0.2.0"

__all__ = [
    "Assessment",
    "CheckReport",
    "ExportReport",
    "Report",
    "Status",
    "VerifyReport",
    "WatchReport",
    "__version__",
    "add_points",
    "add_variables",
    "assess",
    "backfill",
    "check",
    "compact",
    "configure_logs",
    "export",
    "open_dataset",
    "plan",
    "read_points",
    "status",
    "update",
    "verify",
    "verify_checksums",
    "watch",
]

_HOMES = {
    "Assessment": "report.assessment",
    "CheckReport": "report.checked",
    "ExportReport": "tables.report",
    "Report": "report.results",
    "Status": "report.results",
    "VerifyReport": "report.differences",
    "WatchReport": "report.watched",
    "add_points": "api",
    "add_variables": "api",
    "assess": "audit.assess",
    "backfill": "api",
    "check": "audit.check",
    "compact": "audit.status",
    "configure_logs": "telemetry.logs",
    "export": "tables.export",
    "open_dataset": "read.opening",
    "plan": "api",
    "read_points": "grid.points",
    "status": "audit.status",
    "update": "api",
    "verify": "audit.verify",
    "verify_checksums": "audit.checksums",
    "watch": "events.watch",
}


def __getattr__(name: str) -> Any:
    """Import names on first use, so that a worker loads only what it needs."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hrrr_dask' has no attribute {name!r}")
    return getattr(import_module(f"hrrr_dask.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
